"""Files beside the code agree with it: the version, the hooks, the list of changes, what a contributor reads."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

import layerdrop_plugin

ROOT = Path(__file__).parents[2]


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def test_pre_commit_runs_what_the_tests_run_first():
    hooks = re.findall(r"^ +entry: \.venv/bin/(.*)$", read(".pre-commit-config.yaml"), re.MULTILINE)
    assert hooks == ["ruff check .", "ruff format --check --extend-exclude '*.md' .", "mypy"]
    commands = re.sub(r" >.*", "", read("scripts/test.sh"))
    assert "\n" + "\n".join(hooks) + "\n" in commands


@pytest.mark.parametrize("option", ["--help", "-h"])
@pytest.mark.parametrize("path", sorted([*ROOT.glob("scripts/*.sh"), *ROOT.glob("scripts/benchmarks/*.sh")]))
def test_help_of_each_script_is_its_first_comment(path, option, tmp_path):
    done = subprocess.run(["bash", str(path), option], capture_output=True, text=True, check=True, cwd=tmp_path)
    comment = re.match(r"(?:#!.*\n)?((?:#.*\n)+)", path.read_text(encoding="utf-8"))[1]
    if path.name == "demo.sh":  # it leaves out what is for readers of the script
        comment = "".join(comment.splitlines(keepends=True)[:6])
    assert done.stdout == re.sub("^# ?", "", comment, flags=re.MULTILINE)
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_tests_that_start_first_are_there():
    first = re.search(r"^FIRST = \((.*?)^\)", read("tests/conftest.py"), re.DOTALL | re.MULTILINE)[1]
    paths = re.findall(r'"(\S+\.py)"', first)
    assert len(paths) == 11
    assert [path for path in paths if not (ROOT / "tests" / path).is_file()] == []


def test_the_changelog_begins_with_what_is_unreleased_and_has_the_version():
    headings = re.findall(r"^## (.*)$", read("CHANGELOG.md"), re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", heading) for heading in headings[1:])
    assert headings[1].startswith(f"[{layerdrop_plugin.__version__}] - ")


def test_the_version_is_in_one_place():
    assert not re.search(r"^version:", read("CITATION.cff"), re.MULTILINE)
    others = ("CITATION.cff", "README.md", "CONTRIBUTING.md", "setup.py", "pyproject.toml", "noxfile.py")
    pattern = rf"(?<![\d.]){re.escape(layerdrop_plugin.__version__)}(?![\d.])"
    assert [name for name in others if re.search(pattern, read(name))] == []


def test_what_contributing_names_is_there():
    named = re.findall(r"`((?:layerdrop_plugin|fairseq_adapter|cli|compat|tests|scripts|configs)/[\w/.]*)", GUIDE)
    assert len(named) >= 15
    places = (ROOT, ROOT / "layerdrop_plugin", ROOT / "layerdrop_plugin" / "fairseq_adapter")
    assert [name for name in named if not any((place / name).exists() for place in places)] == []


def test_contributing_names_every_session():
    text = read("noxfile.py")
    assert "`tests-3.9` to `tests-3.13`" in GUIDE
    pythons = re.findall(r'"(3\.\d+)": ', text)
    assert pythons == ["3.9", "3.10", "3.11", "3.12", "3.13"]
    for session in re.findall(r"^def (\w+)\(session: nox\.Session\) -> None:", text, re.MULTILINE):
        assert session == "tests" or f"`{session}`" in GUIDE or f"nox -s {session} " in GUIDE


def test_the_sessions_install_what_set_up_installs():
    line = re.search(r'"\$numpy" (bitarray .*)$', read("scripts/setup.sh"), re.MULTILINE)[1]
    needed = re.search(r"^NEEDED_BY_FAIRSEQ = \((.*?)\)$", read("noxfile.py"), re.MULTILINE | re.DOTALL)[1]
    assert sorted([*shlex.split(line), "numpy"]) == sorted(re.findall(r'"(.+?)"', needed))


GUIDE = read("CONTRIBUTING.md")
