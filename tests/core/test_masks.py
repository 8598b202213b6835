"""Masks: which layers are dropped, by seed, update, forward pass and stack."""

from __future__ import annotations

import pytest
import torch
from shared.toy_stacks import DEPTH

from layerdrop_plugin import rates
from layerdrop_plugin.dropping import dropped_groups


@pytest.mark.parametrize(
    ("seed", "update", "forward_pass", "stack", "mask"),
    [
        (0, 0, 0, "encoder", "110001011000"),
        (0, 0, 0, "decoder", "000011110100"),
        (0, 0, 1, "encoder", "010010111000"),
        (0, 1, 0, "encoder", "101000011101"),
        (1, 0, 0, "encoder", "100010011110"),
        (1, 12345, 3, "decoder", "101000000110"),
    ],
)
def test_masks_never_change_from_version_to_version(seed, update, forward_pass, stack, mask):
    """A run that is continued with a newer version must go on as it would have."""
    dropped = dropped_groups((0.5,) * DEPTH, seed=seed, update=update, forward_pass=forward_pass, name=stack)
    assert dropped == tuple(digit == "1" for digit in mask)


def test_a_mask_does_not_depend_on_depth_and_grows_with_the_rate():
    def dropped(depth, rate):
        return dropped_groups((rate,) * depth, seed=0, update=0, forward_pass=0, name="encoder")

    assert dropped(5, 0.5) == (True, True, False, False, False)
    low, high = dropped(100, 0.2), dropped(100, 0.6)
    assert [i for i in range(100) if low[i] and not high[i]] == []
    assert 0 < sum(low) < sum(high) < 100


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.2, 0.5, 0.9])
def test_layers_are_dropped_at_the_rate_each_on_its_own(rate):
    draws = torch.tensor(
        [dropped_groups((rate,) * 4, seed=1, update=u, forward_pass=0, name="decoder") for u in range(2000)],
        dtype=torch.float64,
    )
    four_deviations = 4 * (rate * (1 - rate) / 2000) ** 0.5
    assert ((draws.mean(0) - rate).abs() <= four_deviations).all()
    together = (draws[:, 0] * draws[:, 1]).mean() - rate * rate
    assert abs(together) <= 4 * (rate**2 * (1 - rate**2) / 2000) ** 0.5


def test_each_layer_is_dropped_at_its_own_rate():
    by_layer = rates.parse("linear:0:0.9", 5)
    assert by_layer == pytest.approx((0.0, 0.225, 0.45, 0.675, 0.9), abs=1e-15)
    draws = torch.tensor(
        [dropped_groups(by_layer, seed=2, update=u, forward_pass=0, name="encoder") for u in range(3000)],
        dtype=torch.float64,
    )
    for share, rate in zip(draws.mean(0).tolist(), by_layer):
        assert abs(share - rate) <= 4 * (rate * (1 - rate) / 3000) ** 0.5
