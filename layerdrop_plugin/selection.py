"""Choose which layers to keep: the strategies of the paper (section 3.2.3), as pure functions of depth."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Callable

Kept = tuple[int, ...]


def every_other(depth: int, keep: int) -> Kept:
    """Keep `keep` layers, evenly spaced: layer floor(i * depth / keep) for each i.

    >>> every_other(depth=6, keep=3)
    (0, 2, 4)
    """
    return tuple(i * depth // keep for i in range(keep))


def first(depth: int, keep: int) -> Kept:
    """Keep the layers nearest to the input.

    >>> first(depth=6, keep=2)
    (0, 1)
    """
    return tuple(range(keep))


def last(depth: int, keep: int) -> Kept:
    """Keep the layers nearest to the output.

    >>> last(depth=6, keep=2)
    (4, 5)
    """
    return tuple(range(depth - keep, depth))


def drop(depth: int, rate: Fraction) -> Kept:
    """Keep the layers of the paper's Every Other at a drop rate, 0 < rate <= 1/2.

    Counted from 1, the layers d with d = 0 (mod floor(1 / rate)) are dropped.

    >>> drop(depth=16, rate=Fraction("0.2"))  # without the 5th, 10th and 15th
    (0, 1, 2, 3, 5, 6, 7, 8, 10, 11, 12, 13, 15)
    """
    step = 1 / rate // 1
    return tuple(i for i in range(depth) if (i + 1) % step != 0)


def learned(rates: Sequence[float], keep: int) -> Kept:
    """Keep the layers of the lowest drop rates; of equal ones, those nearest to the input.

    >>> learned((0.3, 0.1, 0.3, 0.1), keep=3)
    (0, 1, 3)
    """
    return tuple(sorted(sorted(range(len(rates)), key=lambda layer: rates[layer])[:keep]))


BY_COUNT: dict[str, Callable[[int, int], Kept]] = {
    "every_other": every_other,
    "first": first,
    "last": last,
}
"""The strategies that a layer specification names with the number of layers to keep."""
