"""The strategies, against tables worked out by hand."""

from __future__ import annotations

from fractions import Fraction

import pytest

from layerdrop_plugin import selection


@pytest.mark.parametrize(
    ("depth", "keep", "kept"),
    [
        (1, 1, (0,)),
        (6, 1, (0,)),
        (6, 2, (0, 3)),
        (6, 3, (0, 2, 4)),
        (6, 4, (0, 1, 3, 4)),  # floor of 0, 1.5, 3, 4.5
        (6, 5, (0, 1, 2, 3, 4)),  # floor of 0, 1.2, 2.4, 3.6, 4.8
        (6, 6, (0, 1, 2, 3, 4, 5)),
        (12, 5, (0, 2, 4, 7, 9)),  # floor of 0, 2.4, 4.8, 7.2, 9.6
        (16, 8, (0, 2, 4, 6, 8, 10, 12, 14)),
    ],
)
def test_every_other_spaces_layers_evenly(depth, keep, kept):
    assert selection.every_other(depth, keep) == kept


@pytest.mark.parametrize(("keep", "kept"), [(1, (0,)), (2, (0, 1)), (6, (0, 1, 2, 3, 4, 5))])
def test_first_keeps_what_is_nearest_to_the_input(keep, kept):
    assert selection.first(6, keep) == kept


@pytest.mark.parametrize(("keep", "kept"), [(1, (5,)), (2, (4, 5)), (6, (0, 1, 2, 3, 4, 5))])
def test_last_keeps_what_is_nearest_to_the_output(keep, kept):
    assert selection.last(6, keep) == kept


@pytest.mark.parametrize(
    ("depth", "rate", "kept"),
    [
        (6, "1/2", (0, 2, 4)),
        (7, "1/2", (0, 2, 4, 6)),
        (6, "1/3", (0, 1, 3, 4)),
        (6, "0.4", (0, 2, 4)),  # floor(2.5) = 2
        (12, "0.25", (0, 1, 2, 4, 5, 6, 8, 9, 10)),
        (16, "0.5", (0, 2, 4, 6, 8, 10, 12, 14)),
        (16, "0.2", (0, 1, 2, 3, 5, 6, 7, 8, 10, 11, 12, 13, 15)),
        (4, "0.2", (0, 1, 2, 3)),  # the first to go would be the fifth
        (1, "0.5", (0,)),
    ],
)
def test_drop_takes_every_nth_layer_out(depth, rate, kept):
    assert selection.drop(depth, Fraction(rate)) == kept


@pytest.mark.parametrize(
    ("rates", "keep", "kept"),
    [
        ((0.5,), 1, (0,)),
        ((0.1, 0.2, 0.3), 2, (0, 1)),
        ((0.3, 0.2, 0.1), 2, (1, 2)),
        ((0.3, 0.1, 0.3, 0.1), 2, (1, 3)),
        ((0.3, 0.1, 0.3, 0.1), 3, (0, 1, 3)),  # of equal ones, the first
        ((0.2, 0.2, 0.2, 0.2), 2, (0, 1)),
        ((0.4, 0.3, 0.2, 0.1), 4, (0, 1, 2, 3)),
    ],
)
def test_learned_keeps_the_lowest_rates(rates, keep, kept):
    assert selection.learned(rates, keep) == kept


def test_a_specification_can_name_these_strategies():
    assert list(selection.BY_COUNT) == ["every_other", "first", "last"]
