"""Checkpoints for layerdrop-prune, and those that it must write."""

from __future__ import annotations

import argparse

import pytest
import torch

from layerdrop_plugin.fairseq_adapter.checkpoints.write_pruned import pruned

SPECS = {
    "transformer": {"encoder": "0,3", "decoder": "1-2"},
    "transformer_lm": {"decoder": "every_other:2"},
    "roberta": {"encoder": "last:2"},
}


def pruned_state(*args, **kwargs):
    """What `pruned` returns, the checkpoint as fairseq's dict."""
    checkpoint, kept = pruned(*args, **kwargs)
    return checkpoint.as_state(), kept


def same(value, other):
    """Whether two parts of checkpoints are the same, to any depth; fairseq never sets `_float_tensor`."""
    if isinstance(value, torch.Tensor):
        return torch.equal(value, other)
    if isinstance(value, dict):
        return (
            isinstance(other, dict)
            and list(value) == list(other)
            and all(same(value[k], other[k]) for k in value if not str(k).endswith("_float_tensor"))
        )
    return value == other


@pytest.fixture
def saved(tmp_path, monkeypatch):
    """A function that saves, as `model.pt` in the working directory, a checkpoint of two layers made by hand."""
    monkeypatch.chdir(tmp_path)

    def save(weights=None, name="model.pt", **entries):
        options = argparse.Namespace(_name="layerdrop_transformer_lm", arch="layerdrop_transformer_lm")
        vars(options).update(decoder_layers=2, decoder_layerdrop=0.2, user_dir="layerdrop_plugin")
        state = {
            "args": None,
            "cfg": {"model": options, "common": {"user_dir": "layerdrop_plugin"}},
            "model": by_hand() if weights is None else weights,
            "optimizer_history": [{"num_updates": 7}],
            "extra_state": {"train_iterator": {"epoch": 1}, "best": 2.5, "val_loss": 3.0},
        }
        torch.save({**state, **entries}, name)
        return name

    return save


def by_hand():
    """Weights of two layers; the output's table is the embedding's."""
    table = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    return {
        "decoder.version": torch.tensor([3.0]),
        "decoder.embed_tokens.weight": table,
        "decoder.layers.0.fc1.weight": torch.tensor([[10.0, 11.0]]),
        "decoder.layers.1.fc1.weight": torch.tensor([[20.0, 21.0]]),
        "decoder.output_projection.weight": table,
    }
