"""The costs of a model's parts, fitted to measured depths."""

from __future__ import annotations

import pytest

from layerdrop_plugin.cost_model import CostModel, fit, probes


def test_exact_times_are_fitted_exactly():
    costs = CostModel(0.5, (0.25, 2.0))
    assert fit({split: costs.seconds(split) for split in probes([6, 6], [True, True])}) == costs


def test_the_relative_errors_count():
    """Twice the time of a short run weighs as much as twice that of a long one."""
    noisy = fit({(1,): 2.0, (2,): 3.0, (100,): 101.0, (200,): 221.1})  # 10% more than 201
    assert noisy.seconds((1,)) == pytest.approx(2.0, rel=0.06)


def test_no_part_costs_less_than_nothing():
    assert fit({(4, 4): 8.0, (1, 4): 8.3, (4, 1): 2.0, (1, 1): 2.2}).layers[0] == 0.0
    assert fit({(4,): 4.0, (1,): 0.5}).fixed == 0.0


def test_a_stack_of_one_layer():
    assert fit({(1, 4): 5.0, (1, 1): 2.0}).seconds((1, 2)) == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("depths", "searched", "splits"),
    [
        ([1], [True], [(1,)]),
        ([2], [True], [(2,), (1,)]),
        ([5], [True], [(5,), (1,), (3,)]),
        ([12, 6], [True, True], [(12, 6), (1, 6), (12, 1), (1, 1), (6, 3)]),
        ([12, 6], [True, False], [(12, 6), (1, 6), (6, 6)]),
    ],
)
def test_what_is_measured(depths, searched, splits):
    assert probes(depths, searched) == splits
