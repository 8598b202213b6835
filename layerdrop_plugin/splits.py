"""Splits of a model's layers over its stacks: which of them a budget leaves, and the walk to the fastest good one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Callable

from .cost_model import Split


def largest(depths: Sequence[int], least: Sequence[int], fits: Callable[[Split], bool]) -> list[Split]:
    """Return the splits that fit, without those that another one has at least as many layers of in each stack.

    The deepest encoder comes first.

    Args:
        least: how few layers each stack may have.

    >>> largest([6, 6], [1, 1], lambda split: split[0] + 3 * split[1] <= 12)
    [(6, 2), (3, 3)]
    """
    ranges = (range(depth, low - 1, -1) for depth, low in zip(depths, least))
    found: list[Split] = []
    for split in filter(fits, itertools.product(*ranges)):  # one that has more layers comes earlier
        if not any(all(a >= b for a, b in zip(larger, split)) for larger in found):
            found.append(split)
    return found


def fastest_within(
    depths: Sequence[int],
    least: Sequence[int],
    seconds: Callable[[Split], float],
    within: Callable[[Split], bool],
) -> Split:
    """Return the fastest split that is within, or full depth if no other is.

    It is taken for granted that a split is not within if one that has at least as many layers in each stack is not.
    So the walk takes layer after layer off the last stack until a split is not within. With each layer less of the
    first stack it goes on from there, back up where it must. Splits that are no faster than the best so far are not
    asked about.

    >>> fastest_within([4], [1], sum, lambda split: split[0] >= 2)
    (2,)
    >>> fastest_within([6, 6], [1, 1], lambda split: split[0] + 3 * split[1], lambda split: sum(split) >= 8)
    (6, 2)
    """
    best = tuple(depths)
    inner = depths[-1]
    while inner > least[-1] and within((*depths[:-1], inner - 1)):
        inner -= 1
        best = (*depths[:-1], inner)
    for outer in range(depths[0] - 1, least[0] - 1, -1) if len(depths) > 1 else ():
        while inner <= depths[-1] and seconds((outer, inner)) < seconds(best):
            if within((outer, inner)):
                best = (outer, inner)
                break
            inner += 1
    return best
