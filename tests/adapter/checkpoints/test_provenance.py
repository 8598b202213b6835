"""Where a pruned checkpoint came from: written, read and composed."""

from __future__ import annotations

from layerdrop_plugin.fairseq_adapter.checkpoints import provenance
from layerdrop_plugin.fairseq_adapter.checkpoints.provenance import Origin, Pruned

ONCE = {"decoder": Origin(Pruned(6, (0, 2, 4)), Pruned(6, (0, 2, 4)))}
ENTRY = {"decoder": {"depth": 6, "kept": [0, 2, 4], "last": {"depth": 6, "kept": [0, 2, 4]}}}


def test_an_entry_is_plain_data_and_reads_back():
    assert provenance.as_entry(ONCE) == ENTRY
    assert provenance.read({"layerdrop": ENTRY}) == ONCE


def test_a_checkpoint_that_was_never_pruned_has_no_origin():
    assert provenance.read({}) == {}
    assert provenance.read({"layerdrop": None}) == {}


def test_the_first_pruning_is_also_the_last():
    assert provenance.compose({}, {"decoder": Pruned(6, (0, 2, 4))}) == ONCE


def test_pruned_again_it_names_the_layers_of_the_first_model():
    """Of 0, 2, 4 the layers 0 and 2 stay: those are 0 and 4 of the six."""
    twice = provenance.compose(ONCE, {"decoder": Pruned(3, (0, 2))})
    assert twice == {"decoder": Origin(first=Pruned(6, (0, 4)), last=Pruned(3, (0, 2)))}
    thrice = provenance.compose(twice, {"decoder": Pruned(2, (1,)), "encoder": Pruned(4, (3,))})
    assert thrice == {
        "decoder": Origin(first=Pruned(6, (4,)), last=Pruned(2, (1,))),
        "encoder": Origin(first=Pruned(4, (3,)), last=Pruned(4, (3,))),
    }
    assert provenance.as_entry(ONCE) == ENTRY  # what was composed upon is left alone


def test_keeping_every_layer_is_no_pruning():
    assert provenance.compose({}, {"encoder": Pruned(2, (0, 1))}) == {}
    assert provenance.compose(ONCE, {"decoder": Pruned(3, (0, 1, 2))}) == ONCE


def test_a_pruning_reads_as_in_messages():
    assert str(Pruned(6, (0, 2, 4))) == "[0,2,4] of 6"
