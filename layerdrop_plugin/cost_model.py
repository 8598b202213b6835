"""What the parts of a model cost: a fixed part, and a layer of each stack, fitted to a few measured depths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy

Split = tuple[int, ...]
"""How many layers each stack has, in the order in which the stacks run."""


@dataclass(frozen=True)
class CostModel:
    """Seconds of the parts.

    Attributes:
        fixed: of all that is outside the layers: embedding, output layer, beam search.
        layers: of one layer of each stack.
    """

    fixed: float
    layers: tuple[float, ...]

    def seconds(self, split: Sequence[int]) -> float:
        """Return what a model of so many layers takes.

        >>> CostModel(1.0, (0.5, 2.0)).seconds((6, 3))
        10.0
        """
        return self.fixed + sum(number * layer for number, layer in zip(split, self.layers))


def probes(depths: Sequence[int], searched: Sequence[bool]) -> list[Split]:
    """Return the splits to measure: full depth, one layer in each searched stack, in all of them, and half of all.

    >>> probes([6], [True]), probes([6, 6], [True, True])
    ([(6,), (1,), (3,)], [(6, 6), (1, 6), (6, 1), (1, 1), (3, 3)])
    >>> probes([6, 6], [False, True])
    [(6, 6), (6, 1), (6, 3)]
    """
    whole = tuple(depths)
    ones = [
        tuple(1 if i == stack else depth for i, depth in enumerate(depths))
        for stack, changes in enumerate(searched)
        if changes
    ]
    least = tuple(1 if changes else depth for depth, changes in zip(depths, searched))
    half = tuple((depth + 1) // 2 if changes else depth for depth, changes in zip(depths, searched))
    return list(dict.fromkeys([whole, *ones, least, half]))


def fit(measured: Mapping[Split, float]) -> CostModel:
    """Return the costs of the parts that fit measured seconds best, by least squares of the relative errors.

    No part costs less than nothing: one that would, by noise, costs 0.

    >>> fit({(6, 6): 10.0, (1, 6): 7.5, (6, 1): 5.0})
    CostModel(fixed=1.0, layers=(0.5, 1.0))
    """
    splits = numpy.array([(1, *split) for split in measured], dtype=float)
    seconds = numpy.array(list(measured.values()))
    parts = list(range(splits.shape[1]))
    while True:
        found = numpy.linalg.lstsq(splits[:, parts] / seconds[:, None], numpy.ones(len(seconds)), rcond=None)[0]
        if len(parts) == 1 or found.min() >= 0:
            break
        del parts[int(found.argmin())]
    costs = dict(zip(parts, found.tolist()))
    fixed, *layers = (round(costs.get(part, 0.0), 12) for part in range(splits.shape[1]))
    return CostModel(fixed, tuple(layers))
