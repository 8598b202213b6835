"""python -m layerdrop_plugin."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from fork_server import programs

import layerdrop_plugin
from layerdrop_plugin import message
from layerdrop_plugin.fairseq_adapter import compat

ROOT = Path(__file__).parents[2]

WITHOUT = [sys.executable, "-S"]  # no site-packages, and with them no fairseq


def report(folder, *options):
    command = [*programs.ASK, *options, "-m", "layerdrop_plugin"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def test_it_tells_versions_patches_and_the_path(fork_server):
    lines = report(ROOT).splitlines()
    assert lines[0] == f"layerdrop_plugin {layerdrop_plugin.__version__}"
    rows = dict(line.split(maxsplit=1) for line in lines if line.startswith("  "))
    assert list(rows)[:6] == ["Python", "torch", "fairseq", "numpy", "hydra-core", "omegaconf"]
    assert rows["Python"] == platform.python_version()
    assert rows["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert {name: rows[name] for name in compat.ACTIVE} == compat.ACTIVE
    assert rows["--user-dir"] == str(ROOT / "layerdrop_plugin")


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_do_not_import_fairseq(option):
    command = [sys.executable, "-Ximporttime", "-m", "layerdrop_plugin", option]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    shown = {"--help": "usage: python -m layerdrop_plugin [--help] [--version]\n", "--version": "layerdrop_plugin "}
    assert done.stdout.startswith(shown[option])
    assert "layerdrop_plugin.message" in done.stderr
    if sys.version_info >= (3, 10):  # before, Python does not tell its own arguments
        assert " torch" not in done.stderr


def test_any_other_argument_is_refused():
    done = subprocess.run([*programs.ASK, "-m", "layerdrop_plugin", "-v"], cwd=ROOT, capture_output=True, text=True)
    line = "python -m layerdrop_plugin: error: arguments must be left out, or --help or --version, but are '-v'.\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", line)


def test_without_fairseq_it_tells_the_versions_and_fails():
    done = subprocess.run([*WITHOUT, "-m", "layerdrop_plugin"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (
        1,
        f"layerdrop_plugin {layerdrop_plugin.__version__}\n"
        f"  Python      {platform.python_version()}\n"
        "  torch       not installed\n"
        "  fairseq     not installed\n"
        "  numpy       not installed\n"
        "  hydra-core  not installed\n"
        "  omegaconf   not installed\n",
        f"python -m layerdrop_plugin: error: {message.no_fairseq()}\n",
    )


def test_without_fairseq_running_says_so():
    code = "import layerdrop_plugin; layerdrop_plugin.running(None)"
    done = subprocess.run([*WITHOUT, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == f"ModuleNotFoundError: {message.no_fairseq()}"
