"""Which trained depths a sweep measures by itself."""

from __future__ import annotations

import pytest
from torch import nn

from layerdrop_plugin import depths
from layerdrop_plugin.dropping import Dropping, LayerDropStack
from layerdrop_plugin.fairseq_adapter.evaluation.sweep import trained_depths

FULL = {"encoder": 4, "decoder": 4}


def stacks(spec):
    trained = depths.parse(spec, FULL) if spec else ()
    return {
        name: LayerDropStack([nn.Linear(1, 1) for _ in range(depth)], Dropping(depths=trained), name)
        for name, depth in FULL.items()
    }


@pytest.mark.parametrize(
    ("spec", "swept", "shown", "left_out"),
    [
        (None, ["encoder", "decoder"], [], []),
        ("3+1,2", ["encoder", "decoder"], [(3, 1), (2,)], []),
        ("4+2,4+1", ["decoder"], [(2,), (1,)], []),
        (
            "4+2,2,1",
            ["decoder"],
            [(2,)],
            [
                "the trained depth 2+2 is left out: its encoder layers are 0,2, not all, as the encoder is not swept",
                "the trained depth 1+1 is left out: its encoder layers are 0, not all, as the encoder is not swept",
            ],
        ),
        ("3,2=0", ["encoder", "decoder"], [(3,)], []),  # 2 was not trained
        (
            "3,4+last:2,first:1",
            ["encoder", "decoder"],
            [(3,), (1,)],  # of one layer, first:1 keeps what every_other:1 does
            ["the trained depth 4+last:2 is left out: its decoder layers are 2,3, not every_other:2"],
        ),
    ],
)
def test_only_depths_that_the_sweep_would_run_are_taken(spec, swept, shown, left_out):
    assert trained_depths(stacks(spec), swept) == (shown, left_out)
