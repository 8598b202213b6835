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


def test_a_pruned_model_of_another_family(command, tmp_path):
    """Its architecture's name alone, without fairseq's registry, does not say where its layers are."""
    weights = {f"encoder.transformer_layers.{i}.fc1.weight": torch.zeros(24, 16) for i in range(2)}
    weights["decoder.layers.0.fc1.weight"] = torch.zeros(24, 16)
    options = {"_name": "s2t_transformer_s", "encoder_layers": 2, "decoder_layers": 1, "encoder_attention_heads": 4}
    origin = {"depth": 12, "kept": [0, 6], "last": {"depth": 12, "kept": [0, 6]}}
    torch.save({"model": weights, "cfg": {"model": options}, "layerdrop": {"encoder": origin}}, tmp_path / "small.pt")
    lines = command("layerdrop-describe", tmp_path / "small.pt").stdout.splitlines()
    assert lines[3:5] == [
        "  encoder       2 layers, pruned to [0,6] of 12, embed 16, ffn 24, 4 heads, 384 parameters a layer",
        "  decoder       1 layer, embed 16, ffn 24, 384 parameters a layer",
    ]
