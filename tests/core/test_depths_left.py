"""Trained depths after pruning: which of them are left, and what is written of them."""

from __future__ import annotations

import pytest

from layerdrop_plugin import depths, depths_left

ONE = {"decoder": 12}
TWO = {"encoder": 6, "decoder": 4}


@pytest.mark.parametrize(
    ("spec", "stacks", "kept", "left"),
    [
        ("9,6,3", ONE, {"decoder": (0, 2, 4, 6, 8, 10)}, "3=0.2"),  # 3 is (0, 4, 8), of which 9 has all, and 6 as well
        ("6,3", ONE, {"decoder": (0, 4, 8)}, None),
        ("6=0.2,3=0.1,1", ONE, {"decoder": (0, 2, 4, 6, 8, 10)}, "3=0.1,1=0.3"),
        ("first:6,first:3,last:2", ONE, {"decoder": (0, 1, 2, 3, 4, 5)}, "first:3=0.2"),
        ("6,4", ONE, {"decoder": tuple(range(12))}, "6=0.3,4=0.3"),  # nothing was pruned
        ("6,4", ONE, {"decoder": (1, 3, 5)}, None),
        ("12=0,6=0.5,3=0.5", ONE, {"decoder": (0, 2, 4, 6, 8, 10)}, "3=0.5"),
        ("12=0,3=0.5,1=0.5", ONE, {"decoder": (0, 2, 4, 6, 8, 10)}, "6=0,3=0.5,1=0.5"),
        ("3+2,2+1", TWO, {"encoder": (0, 2, 4), "decoder": (0, 2)}, None),  # 2 of 6 is (0, 3)
        ("3+2,1+1", TWO, {"encoder": (0, 2, 4), "decoder": (0, 2)}, "1+1=0.3"),
        ("3+2,1+1", TWO, {"encoder": (0, 2, 4)}, "3+2=0.3,1+1=0.3"),  # the decoder keeps its four
    ],
)
def test_depths_that_are_left_after_pruning(spec, stacks, kept, left):
    trained = depths.parse(spec, stacks)
    assert depths_left.pruned(trained, kept) == left
    if left is not None:
        smaller = depths.parse(left, {**stacks, **{stack: len(layers) for stack, layers in kept.items()}})
        before = [{s: list(d.kept[s]) for s in stacks} for d in trained]
        for depth in smaller[1:]:
            assert {s: [kept.get(s, range(12))[i] for i in depth.kept[s]] for s in stacks} in before


@pytest.mark.parametrize(
    ("spec", "stacks", "kept", "left"),
    [
        ("3+2,1+1", TWO, {"encoder": (0, 2, 4)}, "3+4=0,3+2=0.5,1+1=0.5"),
        ("3+2,1+1", TWO, {"encoder": (0, 2, 4), "decoder": (0, 2)}, "1+1=0.3"),  # what is kept was trained
        ("4=0.3,1=0.1", ONE, {"decoder": (0, 3, 6, 9, 11)}, "5=0,4=0.75,1=0.25"),
        ("12=1,6=0,3=0", ONE, {"decoder": (0, 2, 4, 6, 8, 10)}, None),  # and none of these was
        ("12=0.5,6=0,3=0.5", ONE, {"decoder": (0, 2, 4, 6, 8, 10)}, "6=0,3=1"),
        ("6=0,3=1", {"decoder": 6}, {"decoder": (0, 1, 2, 3, 4, 5)}, "6=0,3=1"),
        ("4", ONE, {"decoder": (1, 2)}, None),
    ],
)
def test_a_pruned_model_that_is_not_trained_on_names_what_was_trained(spec, stacks, kept, left):
    assert depths_left.pruned(depths.parse(spec, stacks), kept, trains_on=False) == left


@pytest.mark.parametrize(
    ("spec", "kept", "lost"),
    [
        ("9,6,4,3", (0, 2, 4, 6, 8, 10), ("9", "4")),
        ("9,6,3", (0, 2, 4, 6, 8, 10), ("9",)),
        ("6,3", (0, 2, 4, 6, 8, 10), ()),
        ("first:2,last:2", (0, 1), ("last:2",)),
        ("9=0,6,4=0", (0, 2, 4, 6, 8, 10), ()),  # what has no share was not asked for
    ],
)
def test_depths_that_pruning_loses(spec, kept, lost):
    assert depths_left.lost(depths.parse(spec, ONE), {"decoder": kept}) == lost


def test_shares_of_a_third_are_written_so_that_they_are_read_again():
    trained = depths.parse("12=0,3,2,1", ONE)
    left = depths_left.pruned(trained, {"decoder": (0, 2, 4, 6, 8, 10)})
    assert left == "6=0,3=0.333333333333,2=0.333333333333,1=0.333333333333"
    assert [d.share for d in depths.parse(left, {"decoder": 6})] == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3])
