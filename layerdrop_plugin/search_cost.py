"""Estimate what a search costs in layer evaluations, before it begins, and choose the default strategy by that.

A layer evaluation is one layer that runs on one batch. Sets that begin with the same layers share them. So the nodes of
the tree of all sets' prefixes are counted, in closed form: there may be more sets than could be listed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

from . import prefixes, search
from .candidates import count_candidates
from .selection import Kept

SHORT = 2_000
"""An exhaustive search of at most this many layer evaluations is not worth a race."""

RACE_FROM = 2
"""A race must be estimated to cost this many times less than an exhaustive search, which can't miss the best set."""


def estimates(depths: Sequence[int], keep: Sequence[int], needed: Sequence[Kept], batches: int) -> dict[str, int]:
    """Return about how many layer evaluations each strategy takes; exhaustive is exact, and left out of too many sets.

    Args:
        depths: of every stack of the model, in the order in which they run.
        keep: how many layers of each; a stack that is not searched keeps all.
        needed: by stack, layers that every set keeps.

    >>> estimates([6, 6], [3, 3], [(), ()], batches=40)
    {'exhaustive': 28560, 'greedy': 11480, 'racing': 4398}
    """
    number = count_candidates(depths, keep, needed)
    found = {"exhaustive": shared(depths, keep, needed) * batches} if number <= search.TOO_MANY else {}
    found["greedy"] = _greedy(depths, keep, needed) * batches
    found["racing"] = _racing(depths, keep, needed, batches)
    return found


def default_strategy(of: dict[str, int]) -> str:
    """Return exhaustive where it is short or a race would not be much shorter, else racing.

    >>> default_strategy({"exhaustive": 28560, "racing": 4398}), default_strategy({"exhaustive": 714, "racing": 714})
    ('racing', 'exhaustive')
    """
    exhaustive = of.get("exhaustive")
    return "exhaustive" if exhaustive is not None and exhaustive <= max(SHORT, RACE_FROM * of["racing"]) else "racing"


def shared(depths: Sequence[int], keep: Sequence[int], needed: Sequence[Kept]) -> int:
    """Return how many layers run for one batch when all sets are scored, and share what they begin with.

    >>> shared([16], [8], [()]), shared([6, 6], [3, 3], [(), ()])
    (24309, 714)
    """
    before, nodes = 1, 0
    for depth, k, held in zip(depths, keep, needed):
        nodes += before * sum(count for count, _ in _prefixes(depth, k, held))
        before *= count_candidates([depth], [k], [held])
    return nodes


def apart(depths: Sequence[int], keep: Sequence[int], needed: Sequence[Kept]) -> int:
    """Return how many layers run for one batch when each set is scored by itself.

    >>> apart([16], [8], [()])
    102960
    """
    return count_candidates(depths, keep, needed) * sum(keep)


def _prefixes(depth: int, keep: int, needed: Kept) -> Iterator[tuple[int, int]]:
    """Yield how many prefixes there are of each kind, and how many sets begin with one of them.

    The kinds differ in their length and in their last layer.
    """
    for last, length in itertools.product(range(depth), range(1, keep + 1)):
        below = sum(layer < last for layer in needed)
        above = sum(layer > last for layer in needed)
        count = _ways(last - below, length - 1 - below)
        begin_so = _ways(depth - 1 - last - above, keep - length - above)
        if count and begin_so:
            yield count, begin_so


def _ways(of: int, choose: int) -> int:
    return math.comb(of, choose) if choose >= 0 else 0


def _of_some(depths: Sequence[int], keep: Sequence[int], needed: Sequence[Kept], some: int) -> float:
    """Return how many layers run for one batch, on average, when that many sets, drawn at random, are scored."""
    left = number = count_candidates(depths, keep, needed)
    if some >= number:
        return shared(depths, keep, needed)
    before, nodes = 1, 0.0
    not_drawn = math.log1p(-some / number)  # of one set, the logarithm of the probability
    for depth, k, held in zip(depths, keep, needed):
        of_stack = count_candidates([depth], [k], [held])
        left //= of_stack
        nodes += before * sum(count * -math.expm1(sets * left * not_drawn) for count, sets in _prefixes(depth, k, held))
        before *= of_stack
    return nodes


def _racing(depths: Sequence[int], keep: Sequence[int], needed: Sequence[Kept], batches: int) -> int:
    alive, before, total = min(count_candidates(depths, keep, needed), search.MOST), 0, 0.0
    for size in search.rounds(batches):
        total += _of_some(depths, keep, needed, alive) * (size - before)
        before, alive = size, search.left(alive)
    return round(total)


def _greedy(depths: Sequence[int], keep: Sequence[int], needed: Sequence[Kept]) -> int:
    """Return the layer evaluations on a batch if the stack that has most layers to lose loses one at each step."""
    current = tuple(tuple(range(depth)) for depth in depths)
    total = 0
    while any(too_many := [len(kept) - k for kept, k in zip(current, keep)]):
        smaller = sorted(search.without_one(current, keep, needed))
        total += prefixes.layer_evaluations(smaller)
        stack = too_many.index(max(too_many))
        current = next(c for c in smaller if c[stack] != current[stack])
    return total or sum(depths)
