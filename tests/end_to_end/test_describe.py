"""The command `layerdrop-describe`: quick, because it neither imports fairseq nor reads weights."""

from __future__ import annotations

import os

import pytest
import torch

LARGE = 200_000_000  # bytes

MEASURE = """
import resource, sys

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

import layerdrop_plugin_commands
layerdrop_plugin_commands.started = True
from layerdrop_plugin.cli.describe import main
main([sys.argv[2]])
before = peak()
main([sys.argv[1]])
print(peak() - before)
assert "fairseq" not in sys.modules
"""


@pytest.mark.skipif(torch.__version__ < "2.1", reason="torch 2.0 maps no files")
def test_it_neither_imports_fairseq_nor_reads_weights(full, command, tmp_path):
    state = torch.load(full["transformer_lm"])
    state["model"]["decoder.layers.0.fc1.weight"] = torch.ones(LARGE // 400, 100)
    torch.save(state, tmp_path / "large.pt")
    os.utime(tmp_path / "large.pt", (10**9, 10**9))  # what is being written is not mapped
    assert os.path.getsize(tmp_path / "large.pt") > LARGE
    lines = command("python", "-c", MEASURE, tmp_path / "large.pt", full["transformer_lm"]).stdout.splitlines()
    assert int(lines[-1]) < LARGE / 10


def test_several_checkpoints_of_real_training(full, stock_full, command):
    process = command("layerdrop-describe", *full.values(), stock_full)
    starts = [line.split() for line in process.stdout.splitlines() if line.startswith("  architecture")]
    families = ("layerdrop_transformer", "layerdrop_transformer_lm", "layerdrop_roberta", "transformer")
    assert starts == [["architecture", family] for family in families]
    assert process.stderr == ""
