"""Every `bash` and `python` block of README and docs runs as printed, page after page, on a small `demo` folder.

Blocks that need GPUs or much data are `sh`; README's quick start is one, and is run with a small model in place of its.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAV = re.findall(r"([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
PAGES = [ROOT / "README.md", *(ROOT / "docs" / name for name in NAV if (ROOT / "docs" / name).is_file())]
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in PAGES}
BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```", re.DOTALL | re.MULTILINE)
BLOCKS = [(name, *block) for name, text in TEXTS.items() for block in BLOCK.findall(text)]
SMALL = {
    "data-bin": "demo/bin",
    "--arch layerdrop_transformer ": "--arch layerdrop_transformer_tiny --encoder-layers 6 --decoder-layers 6 --cpu ",
    "--max-tokens 4000 --max-update 50000": "--max-tokens 1000 --max-update 3",
    "fairseq-generate ": "fairseq-generate --cpu --beam 1 --max-len-b 20 ",
    "--depths 5,4,3,2": "--depths 2 --cpu --num-batches 1",
}
"""What stands in README's quick start, and what is run in its place."""


@pytest.fixture(scope="module")
def run(path):
    """A function that runs lines of shell in a folder and returns what they wrote."""

    def shell(script, folder):
        argv = ["bash", "-euo", "pipefail", "-c", script]
        done = subprocess.run(argv, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True)
        assert done.returncode == 0, f"{script}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout + done.stderr

    return shell


@pytest.fixture(scope="module")
def folder(tmp_path_factory, run):
    """A working directory with the part of `demo` that the pages use; the blocks run in it in order."""
    folder = tmp_path_factory.mktemp("documents")
    (folder / "configs").symlink_to(ROOT / "configs")
    run(f"python '{ROOT}/scripts/demo/make_data.py' --out demo --pairs 1000 --pieces 300", folder)
    pieces = folder / "demo/pieces"
    run(f"sed -i '21,$d' '{pieces}'/valid.* '{pieces}'/test.*", folder)
    run(
        "fairseq-preprocess --source-lang en --target-lang de --joined-dictionary --destdir demo/bin "
        f"--trainpref '{pieces}/train' --validpref '{pieces}/valid' --testpref '{pieces}/test'",
        folder,
    )
    return folder


@pytest.mark.parametrize("number", range(len(BLOCKS)), ids=[name for name, _, _ in BLOCKS])
def test_block_runs_as_printed(number, folder, run):
    _, language, block = BLOCKS[number]
    if language == "python":
        (folder / "block.py").write_text(block, encoding="utf-8")
        assert run("python block.py 2>/dev/null", folder) == ("3\n" if "print(" in block else "")
        return
    if "--to ctranslate2" in block:
        pytest.importorskip("ctranslate2")
    output = run(block, folder)
    pruned = re.findall("Pruning model to specified layer configuration: ([^(\n]*[0-9])", output)
    decoder = "decoder keeps layers [0,2,4] of 6"
    both = f"encoder keeps layers [0,2,4] of 6; {decoder}"
    expected = {
        "'decoder_layers_to_keep': '0,2,4'": [both],
        "--encoder-layers-to-keep": [both],
        "--decoder-layers-to-keep 0,2,4": [decoder],
        "'drop:0.5'": [decoder],
    }
    assert pruned == next((lines for text, lines in expected.items() if text in block), [])


def test_the_quick_start_of_readme_runs_with_a_small_model(folder, run):
    (block,) = (b for b in re.findall(r"^```sh\n(.*?)^```", TEXTS["README.md"], re.DOTALL | re.MULTILINE) if SWEEP in b)
    for printed, small in SMALL.items():
        assert printed in block
        block = block.replace(printed, small)
    output = run(block, folder)
    assert "encoder keeps layers [0,2,4] of 6; decoder keeps layers [0,2,4] of 6" in output
    assert (folder / "depths.png").is_file()


SWEEP = "layerdrop-sweep"


def test_every_page_is_in_the_navigation_of_the_site():
    written = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert sorted(NAV) == sorted({*written, "index.md", "CHANGELOG.md", "CONTRIBUTING.md"})


def test_every_script_is_run_by_a_test_of_its_own():
    named = set(re.findall(r"scripts/(?:benchmarks/)?\w+\.(?:sh|py)", "".join(TEXTS.values())))
    named -= {"scripts/setup.sh", "scripts/test.sh", "scripts/docs.sh", "scripts/reference.py"}
    tests = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    assert {"scripts/demo.sh", "scripts/wmt16_en_de.sh", "scripts/benchmarks/translation.sh"} <= named
    for script in sorted(named):
        assert (ROOT / script).is_file()
        name = Path(script).stem
        runs = (f'recipe("{name}"', f'recipe("benchmarks/{name}"', f'"{name}.sh"', f'"{name}.py"', f"/{name}.py")
        assert any(run in tests for run in runs), script


def test_readme_opens_with_the_two_commands():
    first = re.search(r"^```sh\n(.*?)^```", TEXTS["README.md"], re.DOTALL | re.MULTILINE)[1]
    assert [line.split("#")[0].strip() for line in first.splitlines()] == [
        "bash scripts/demo.sh",
        "bash scripts/test.sh",
    ]
