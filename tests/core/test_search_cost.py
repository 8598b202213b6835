"""What a search costs, against prefixes that are counted one by one."""

from __future__ import annotations

import random

import pytest

from layerdrop_plugin import prefixes, search, search_cost
from layerdrop_plugin.candidates import all_candidates


@pytest.mark.parametrize(
    ("depths", "keep", "needed"),
    [
        ([6], [3], [()]),
        ([6], [3], [(0, 5)]),
        ([5, 4], [3, 2], [(1,), ()]),
        ([4, 6], [4, 3], [(), (2,)]),  # the encoder is not searched
        ([3, 3], [3, 3], [(), ()]),
    ],
)
def test_layers_that_run_for_all_sets(depths, keep, needed):
    every = all_candidates(depths, keep, needed)
    assert search_cost.shared(depths, keep, needed) == prefixes.layer_evaluations(every)
    assert search_cost.apart(depths, keep, needed) == prefixes.layer_evaluations_apart(every)


def test_a_race_of_sets_drawn_at_random():
    """6+6 layers to 3+3 on 4 batches: 400 sets on 1 batch, 200 on 1, 100 on 2."""
    every, generator = all_candidates([6, 6], [3, 3]), random.Random(1)

    def mean(some):
        drawn = [sorted(generator.sample(every, some)) for _ in range(40)]
        return sum(map(prefixes.layer_evaluations, drawn)) / len(drawn)

    expected = 714 + mean(200) + 2 * mean(100)
    assert search_cost.estimates([6, 6], [3, 3], [(), ()], 4)["racing"] == pytest.approx(expected, rel=0.02)


def test_greed_of_one_stack():
    """From 4 to 2 of 4: 4 sets of 3 that share 1 + 1 + 0 + 0 with the one before, then 3 sets of 2."""
    assert search_cost.estimates([4], [2], [()], 1)["greedy"] == 9 + 5
    assert search_cost.estimates([4], [4], [()], 3)["greedy"] == 3 * 4


def test_too_many_sets_are_raced(monkeypatch):
    monkeypatch.setattr(search, "TOO_MANY", 399)
    of = search_cost.estimates([6, 6], [3, 3], [(), ()], 1)
    assert list(of) == ["greedy", "racing"]
    assert search_cost.default_strategy(of) == "racing"


@pytest.mark.parametrize(
    ("exhaustive", "racing", "strategy"),
    [(2000, 1, "exhaustive"), (2001, 1000, "racing"), (2001, 1001, "exhaustive"), (9000, 4500, "exhaustive")],
)
def test_the_default_strategy(exhaustive, racing, strategy):
    assert search_cost.default_strategy({"exhaustive": exhaustive, "racing": racing}) == strategy


def test_more_batches_never_make_the_default_search_much_shorter():
    before = 0
    for batches in range(1, 200):
        of = search_cost.estimates([6, 6], [3, 3], [(), ()], batches)
        cost = of[search_cost.default_strategy(of)]
        assert cost > before / 2
        before = max(before, cost)
