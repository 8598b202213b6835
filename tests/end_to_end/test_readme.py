"""Every command of README's how-to runs as printed, on a small `demo` folder."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(bash|python)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


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
    """A working directory with the part of `demo` that the how-to uses; the blocks run in it in order."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "configs").symlink_to(ROOT / "configs")
    run(f"python '{ROOT}/scripts/demo/make_data.py' --out demo --pairs 1000 --pieces 300", folder)
    pieces = folder / "demo/pieces"
    run(
        "fairseq-preprocess --source-lang en --target-lang de --joined-dictionary --destdir demo/bin "
        f"--trainpref '{pieces}/train' --validpref '{pieces}/valid' --testpref '{pieces}/test'",
        folder,
    )
    return folder


@pytest.mark.parametrize("number", range(len(BLOCKS)), ids=[block.split()[0] for _, block in BLOCKS])
def test_block_runs_as_printed(number, folder, run):
    language, block = BLOCKS[number]
    if language == "python":
        (folder / "block.py").write_text(block, encoding="utf-8")
        assert run("python block.py 2>/dev/null", folder) == ("3\n" if "print(" in block else "")
        return
    if "--to ctranslate2" in block:
        pytest.importorskip("ctranslate2")
    output = run(block, folder)
    pruned = re.findall("Pruning model to specified layer configuration: ([^(\n]*[0-9])", output)
    expected = {
        "'decoder_layers_to_keep': '0,2,4'": ["encoder keeps layers [0,2,4] of 6; decoder keeps layers [0,2,4] of 6"],
        "--encoder-layers-to-keep": ["encoder keeps layers [0,2,4] of 6; decoder keeps layers [0,2,4] of 6"],
        "'drop:0.5'": ["decoder keeps layers [0,2,4] of 6"],
    }
    assert pruned == next((lines for text, lines in expected.items() if text in block), [])


def test_every_script_is_run_by_a_test_of_its_own():
    named = set(re.findall(r"scripts/(?:benchmarks/)?\w+\.(?:sh|py)", README)) - {"scripts/setup.sh", "scripts/test.sh"}
    tests = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    assert {"scripts/demo.sh", "scripts/wmt16_en_de.sh", "scripts/benchmarks/translation.sh"} <= named
    for script in sorted(named):
        assert (ROOT / script).is_file()
        name = Path(script).stem
        runs = (f'recipe("{name}"', f'recipe("benchmarks/{name}"', f'"{name}.sh"', f'"{name}.py"', f"/{name}.py")
        assert any(run in tests for run in runs), script


def test_opens_with_the_two_commands():
    first = re.search(r"^```sh\n(.*?)^```", README, re.DOTALL | re.MULTILINE)[1]
    assert [line.split("#")[0].strip() for line in first.splitlines()] == [
        "bash scripts/demo.sh",
        "bash scripts/test.sh",
    ]
