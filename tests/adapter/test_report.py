"""python -m layerdrop_plugin."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

import torch
from fork_server import programs

import layerdrop_plugin
from layerdrop_plugin.fairseq_adapter import compat

ROOT = Path(__file__).parents[2]


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


def test_without_fairseq_it_is_one_line(tmp_path):
    # -S leaves site-packages out, and with it fairseq
    output = report(ROOT, "-S")
    version = layerdrop_plugin.__version__
    assert output == (
        f"layerdrop_plugin {version}: fairseq is not installed here; scripts/setup.sh makes a .venv with it\n"
    )
