"""scripts/setup.sh with a pip that only notes what it should install: the extras are asked for once and stay."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = """#!/usr/bin/env bash
case "$*" in
  "-m pip install"*) echo "${@:4}" >> "$NOTES" ;;
  *"import babel"*) ;; # the last check, which takes seconds
  "- ctranslate2"* | "- transformers"*) ;; # installed, as it were
  *) exec "$REAL" "$@" ;;
esac
"""


@pytest.fixture
def setup(tmp_path):
    """A function that runs it in a checkout of its own, and returns what was installed, nothing if that was nothing."""
    (tmp_path / "scripts").mkdir()
    for name in ("scripts/setup.sh", "scripts/setup_checks.sh", "setup.py", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(PYTHON)
    python.chmod(0o755)
    notes = tmp_path / "notes"

    def run(*argv, status=0):
        notes.write_text("")
        env = {"PATH": "/usr/bin:/bin", "NOTES": str(notes), "REAL": sys.executable}
        script = ["bash", str(tmp_path / "scripts" / "setup.sh"), *argv]
        done = subprocess.run(script, env=env, capture_output=True, text=True)
        assert done.returncode == status, done.stderr
        installed = [line.split("--editable ")[1] for line in notes.read_text().splitlines() if "--editable" in line]
        assert (installed == []) == ("nothing to do" in done.stderr or status > 0)
        return "".join(installed) or done.stderr

    return run


def test_the_extras_are_asked_for_once_and_stay(setup):
    nothing, extras = "setup: nothing to do\n", ",ctranslate2,huggingface,plot,speech"
    assert setup() == ".[demo,recipes,test]"
    assert setup() == nothing
    assert setup("--all") == f".[demo,recipes,test{extras}]"
    assert setup() == nothing
    assert setup("--all") == nothing


def test_they_stay_when_something_else_changed(setup, tmp_path):
    setup("--all")
    with open(tmp_path / "setup.py", "a") as file:
        file.write("# changed\n")
    assert setup() == ".[demo,recipes,test,ctranslate2,huggingface,plot,speech]"


@pytest.mark.parametrize("arguments", [["--al"], ["--all", "now"]])
def test_no_other_option(setup, arguments):
    message = f"setup: the options are --all and --help, but there is '{' '.join(arguments)}'\n"
    assert setup(*arguments, status=1) == message
