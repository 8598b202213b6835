"""Search on Valid (paper, section 3.2.3): which layers to keep, by what a set of layers scores on held-out data."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Callable, NamedTuple

import numpy

from .candidates import Candidate
from .selection import Kept

FINALISTS = 10
"""At least this many candidates are left at the end of a race, and this many are shown."""

ROUNDS_FROM = 128
"""The first round of a race runs on one in this many batches, so a race costs at most a tenth of a full search."""

TOO_MANY = 1_000_000
"""An exhaustive search takes at most this many candidates."""

MOST = 20_000
"""A race begins with all candidates, or with this many of them, drawn at random."""

Totals = numpy.ndarray
"""Sums over the two halves of some data, shape (candidates, 2, 3): negative log-likelihood in bits, count, correct."""

Measure = Callable[[Sequence[Candidate], Sequence[int]], Totals]
"""A function from sorted candidates and numbers of batches to sums over the batches; batch i is in half i % 2."""


class Ranked(NamedTuple):
    """A candidate and its totals, shape (2, 3)."""

    candidate: Candidate
    totals: Totals

    @property
    def loss(self) -> float:
        """Negative log-likelihood in bits a prediction; perplexity is 2 to the power of it."""
        return float(self.totals[:, 0].sum() / self.totals[:, 1].sum())

    @property
    def perplexity(self) -> float:
        """2 to the power of the loss; infinity where no float is as high."""
        return math.inf if self.loss >= 1024 else 2.0**self.loss

    @property
    def accuracy(self) -> float:
        """The share of predictions that are right, from 0 to 1."""
        return float(self.totals[:, 2].sum() / self.totals[:, 1].sum())

    def value(self, metric: str) -> float:
        """Return the number to minimize; infinity for a loss that is not a number."""
        value = -self.accuracy if metric == "accuracy" else self.loss
        return math.inf if math.isnan(value) else value

    def halves(self, metric: str) -> tuple[float, float]:
        """Return the value on each half of the data; nan for an empty half, as with a single batch."""
        column, sign = (2, -1) if metric == "accuracy" else (0, 1)
        with numpy.errstate(invalid="ignore"):
            first, second = sign * self.totals[:, column] / self.totals[:, 1]
        return float(first), float(second)


def exhaustive(measure: Measure, candidates: Sequence[Candidate], batches: int, metric: str) -> list[Ranked]:
    """Score all candidates on all batches; the best come first."""
    return rank(candidates, measure(candidates, range(batches)), metric)


def racing(measure: Measure, candidates: Sequence[Candidate], batches: int, metric: str) -> list[Ranked]:
    """Score all candidates on a few batches, the better half on twice as many, and so on; the best come first.

    Successive halving (Jamieson and Talwalkar, 2016): every round costs about as much as any other,
    and what is left at the end, at least `FINALISTS`, is scored on all batches.
    """
    alive = list(candidates)
    known: dict[Candidate, Totals] = {c: numpy.zeros((2, 3)) for c in alive}
    done = 0
    for size in rounds(batches):
        sums = measure(alive, range(done, size))
        for candidate, one in zip(alive, sums):
            known[candidate] = known[candidate] + one
        done = size
        ranked = rank(alive, numpy.stack([known[c] for c in alive]), metric)
        if size < batches:
            alive = sorted(r.candidate for r in ranked[: left(len(alive))])
    return ranked


def rounds(batches: int) -> list[int]:
    """Return on how many batches each round of a race has scored: a 128th of them first, then twice as many each time.

    >>> rounds(128), rounds(10), rounds(300)
    ([1, 2, 4, 8, 16, 32, 64, 128], [1, 2, 4, 8, 10], [3, 6, 12, 24, 48, 96, 192, 300])
    """
    sizes = [math.ceil(batches / ROUNDS_FROM)]
    while sizes[-1] < batches:
        sizes.append(min(2 * sizes[-1], batches))
    return sizes


def left(alive: int) -> int:
    """Return how many of the candidates are left after a round of a race.

    >>> left(400), left(15), left(6)
    (200, 10, 6)
    """
    return min(alive, max(FINALISTS, math.ceil(alive / 2)))


def greedy(
    measure: Measure, depths: Sequence[int], keep: Sequence[int], batches: int, metric: str, needed: Sequence[Kept] = ()
) -> list[Ranked]:
    """Drop one layer after another, each time the one that is missed least, of the stacks that have too many.

    Return the candidates of the last step, the best first. They differ in the layer that was dropped last.

    Args:
        needed: by stack, layers that are never dropped.
    """
    current = Ranked(tuple(tuple(range(depth)) for depth in depths), numpy.zeros((2, 3)))
    ranked: list[Ranked] = []
    while any(len(kept) > k for kept, k in zip(current.candidate, keep)):
        smaller = sorted(without_one(current.candidate, keep, needed))
        ranked = rank(smaller, measure(smaller, range(batches)), metric)
        current = ranked[0]
    return ranked or rank([current.candidate], measure([current.candidate], range(batches)), metric)


def without_one(candidate: Candidate, keep: Sequence[int], needed: Sequence[Kept]) -> list[Candidate]:
    """Return the candidates with one layer less, of the stacks that have too many and not of those that are needed."""
    return [
        (*candidate[:stack], tuple(i for i in kept if i != layer), *candidate[stack + 1 :])
        for stack, kept in enumerate(candidate)
        if len(kept) > keep[stack]
        for layer in kept
        if not needed or layer not in needed[stack]
    ]


def rank(candidates: Sequence[Candidate], totals: Totals, metric: str) -> list[Ranked]:
    """Return the candidates with their totals, the best first."""
    return in_order((Ranked(candidate, one) for candidate, one in zip(candidates, totals)), metric)


def in_order(ranked: Iterable[Ranked], metric: str) -> list[Ranked]:
    """Return the best first; of equals, the one with the lower loss, and then the one that sorts first."""
    return sorted(ranked, key=lambda r: (r.value(metric), r.value("loss"), r.candidate))


class Difference(NamedTuple):
    """By how much one candidate is better than another, on all data, and how the two halves of it disagree."""

    better: float
    spread: float

    @property
    def is_noise(self) -> bool:
        """Whether the halves differ by at least as much as the candidates, or there is only one half."""
        return not self.better > self.spread


def difference(one: Ranked, other: Ranked, metric: str) -> Difference:
    """Compare two candidates; as both were scored on the same batches, the effect of the batches cancels out."""
    first, second = (b - a for a, b in zip(one.halves(metric), other.halves(metric)))
    return Difference(other.value(metric) - one.value(metric), abs(first - second))
