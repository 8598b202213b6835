"""The splits that a budget leaves, and the walk to the fastest one that is good enough."""

from __future__ import annotations

import random
from itertools import product

import pytest

from layerdrop_plugin.splits import fastest_within, largest


@pytest.mark.parametrize(
    ("depths", "fits", "found"),
    [
        ([4], lambda s: s[0] <= 2, [(2,)]),
        ([4], lambda s: False, []),
        ([3, 3], lambda s: sum(s) <= 4, [(3, 1), (2, 2), (1, 3)]),
        ([3, 2], lambda s: s[1] <= 1, [(3, 1)]),
        ([6, 6], lambda s: s[0] + 4 * s[1] <= 14, [(6, 2), (2, 3)]),
    ],
)
def test_no_split_has_fewer_layers_in_each_stack_than_another(depths, fits, found):
    assert largest(depths, [1] * len(depths), fits) == found


def test_at_least_so_many_layers():
    assert largest([3, 3], [1, 2], lambda s: sum(s) <= 4) == [(2, 2), (1, 3)]


def test_the_walk_finds_what_brute_force_finds():
    generator = random.Random(1)
    for _ in range(200):
        depths = [generator.randint(1, 6), generator.randint(1, 6)]
        worth = [generator.random(), generator.random()]
        cost = [generator.random(), generator.random()]
        bar = generator.random() * (worth[0] * depths[0] + worth[1] * depths[1])

        def within(s, worth=worth, bar=bar):
            return worth[0] * s[0] + worth[1] * s[1] >= bar

        def seconds(s, cost=cost):
            return cost[0] * s[0] + cost[1] * s[1]

        all_within = [s for s in product(*(range(1, d + 1) for d in depths)) if within(s)]
        assert fastest_within(depths, [1, 1], seconds, within) == min(all_within, key=seconds)


def test_what_the_walk_asks_for():
    """From full depth down; the encoder's later layers only where they would be faster."""
    asked = []

    def within(split):
        asked.append(split)
        return sum(split) >= 6

    assert fastest_within([4, 4], [1, 1], lambda s: s[0] + 2 * s[1], within) == (4, 2)
    assert asked == [(4, 3), (4, 2), (4, 1), (3, 2), (1, 3)]


def test_only_full_depth():
    assert fastest_within([4, 3], [1, 1], sum, lambda split: False) == (4, 3)
    assert fastest_within([1], [1], sum, lambda split: True) == (1,)
