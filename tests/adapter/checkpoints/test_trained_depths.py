"""The depths that a checkpoint names: read, carried over to a pruned one, and noted."""

from __future__ import annotations

from argparse import Namespace

import pytest
from omegaconf import OmegaConf

from layerdrop_plugin.fairseq_adapter.checkpoints import trained_depths
from layerdrop_plugin.fairseq_adapter.checkpoints.checkpoint import Checkpoint
from layerdrop_plugin.fairseq_adapter.checkpoints.provenance import Pruned


def checkpoint(spec):
    cfg = Namespace(decoder_layers=4, layerdrop_depths=spec)
    return Checkpoint.of({"args": None, "cfg": {"model": cfg}, "model": {}, "optimizer_history": [{}]})


def keeping(*kept):
    return {"decoder": Pruned(4, kept)}


@pytest.mark.parametrize("make", [Namespace, lambda **options: OmegaConf.create(options)])
def test_a_list_is_read_as_without_pruning(make):
    cfg = make(decoder_layers=4, layerdrop_depths=["2=0.2", 1])
    assert trained_depths.changed_options(cfg, keeping(0, 2)) == {"layerdrop_depths": "1=0.4"}


def test_no_depths_are_no_change():
    assert trained_depths.changed_options(Namespace(decoder_layers=4), keeping(0, 2)) == {}


@pytest.mark.parametrize(
    ("spec", "kept", "note"),
    [
        ("2,1", keeping(0, 2), None),
        ("2,1", keeping(0, 1, 2), "4, 2, 1"),
        ("4=0,2=1", keeping(0, 1, 2, 3), "2"),  # was pruned to layers that were not trained, and is so again
        ("4=0,2=1", {}, None),  # nothing is pruned
        ("4=0.5,2=0,1=0.5", keeping(0, 2), "4, 1"),
        (None, keeping(0, 1), None),
    ],
)
def test_pruning_to_what_was_not_trained_is_noted(spec, kept, note):
    line = note and f"the layers that are kept are none of the depths that were trained, {note}"
    assert trained_depths.note(checkpoint(spec), kept) == line
