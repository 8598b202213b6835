"""Count, list or draw candidates: the ways to keep a number of layers of each stack."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence

from .selection import Kept

Candidate = tuple[Kept, ...]
"""The layers to keep of each stack, in the order in which the stacks run."""


def count_candidates(depths: Sequence[int], keep: Sequence[int], needed: Sequence[Kept] = ()) -> int:
    """Return how many ways there are to keep `keep[s]` of the `depths[s]` layers of each stack s.

    Args:
        needed: by stack, layers that every candidate keeps; no more than `keep[s]`.

    >>> count_candidates([16], [8]), count_candidates([6, 6], [3, 3]), count_candidates([6, 6], [3, 3], [(), (4,)])
    (12870, 400, 200)
    """
    return math.prod(math.comb(len(free), k) for _, free, k in _choices(depths, keep, needed))


def all_candidates(depths: Sequence[int], keep: Sequence[int], needed: Sequence[Kept] = ()) -> list[Candidate]:
    """Return every way to keep `keep[s]` layers of each stack s, sorted.

    >>> all_candidates([3], [2]), all_candidates([3], [2], [(1,)])
    ([((0, 1),), ((0, 2),), ((1, 2),)], [((0, 1),), ((1, 2),)])
    """
    ways = (
        sorted(tuple(sorted((*held, *chosen))) for chosen in itertools.combinations(free, k))
        for held, free, k in _choices(depths, keep, needed)
    )
    return list(itertools.product(*ways))


def some_candidates(
    depths: Sequence[int], keep: Sequence[int], count: int, seed: int, needed: Sequence[Kept] = ()
) -> list[Candidate]:
    """Return `count` different candidates drawn at random, sorted; all candidates if there are no more."""
    if count >= count_candidates(depths, keep, needed):
        return all_candidates(depths, keep, needed)
    generator = random.Random(seed)
    choices = _choices(depths, keep, needed)
    drawn: set[Candidate] = set()
    while len(drawn) < count:
        drawn.add(tuple(tuple(sorted((*held, *generator.sample(free, k)))) for held, free, k in choices))
    return sorted(drawn)


def holds(candidate: Candidate, needed: Sequence[Kept]) -> bool:
    """Return whether a candidate keeps all layers that are needed.

    >>> holds(((0, 1), (2,)), [(), (2,)]), holds(((0, 1), (2,)), [(2,), (2,)]), holds(((0, 1),), ())
    (True, False, True)
    """
    return all(set(layers) <= set(kept) for layers, kept in zip(needed, candidate))


def _choices(
    depths: Sequence[int], keep: Sequence[int], needed: Sequence[Kept]
) -> list[tuple[Kept, Sequence[int], int]]:
    """Return for each stack the needed layers, the other layers, and how many of the others to choose."""
    by_stack = zip(depths, keep, needed or [()] * len(depths))
    return [(held, [i for i in range(depth) if i not in held], k - len(held)) for depth, k, held in by_stack]
