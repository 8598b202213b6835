"""How much each layer matters (paper, figure 5), from the losses of sub-networks that lack it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .candidates import Candidate, some_candidates
from .selection import Kept


class LayerImportance(NamedTuple):
    """How much one layer matters; losses are in bits a prediction, None if there is nothing to measure."""

    checkpoint: str
    stack: str
    layer: int
    loss_full: float
    loss_without: float | None  # of the model without this layer alone
    subnetworks_with: float | None  # the mean loss of random sub-networks that have the layer
    subnetworks_without: float | None
    cosine_distance: float  # of the layer's input and output
    loss_without_error: float | None = None  # standard error over batches, of the difference to the full model
    subnetworks_with_error: float | None = None  # standard error over sub-networks
    subnetworks_without_error: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the columns by name."""
        return self._asdict()


def full(depths: Sequence[int]) -> Candidate:
    """Return all layers of stacks of these depths."""
    return tuple(tuple(range(depth)) for depth in depths)


def without(depths: Sequence[int], stack: int, layer: int, needed: Sequence[Kept] = ()) -> Candidate | None:
    """Return all layers but one; None if its stack has no other layer, or if the layer is needed.

    Args:
        needed: by stack, layers without which the model does not run.

    >>> without([2, 3], stack=1, layer=1), without([2, 3], stack=1, layer=1, needed=[(), (1,)])
    (((0, 1), (0, 2)), None)
    """
    if depths[stack] == 1 or (needed and layer in needed[stack]):
        return None
    return tuple(tuple(i for i in range(depth) if (s, i) != (stack, layer)) for s, depth in enumerate(depths))


def random_halves(
    depths: Sequence[int], swept: Sequence[int], samples: int, seed: int, needed: Sequence[Kept] = ()
) -> list[Candidate]:
    """Return different sub-networks with a random half, rounded down but at least 1, of the layers of swept stacks.

    They are drawn by a generator of their own, each with the same probability. If there are fewer than
    `samples`, all are returned.

    Args:
        swept: the numbers of the stacks that lose layers; the others stay whole.
        needed: by stack, layers that all of them have.

    >>> random_halves([2, 1], swept=[0], samples=9, seed=1)
    [((0,), (0,)), ((1,), (0,))]
    """
    keep = [max(1, depth // 2) if stack in swept else depth for stack, depth in enumerate(depths)]
    return some_candidates(depths, keep, samples, seed, needed)


class Mean(NamedTuple):
    """A mean and its standard error; None if there is no value, or just one."""

    value: float | None
    error: float | None


def mean(values: Sequence[float]) -> Mean:
    """Return the mean of some values.

    >>> mean([1.0, 3.0]), mean([1.0]), mean([])
    (Mean(value=2.0, error=1.0), Mean(value=1.0, error=None), Mean(value=None, error=None))
    """
    if len(values) < 2:
        return Mean(values[0] if values else None, None)
    return Mean(statistics.fmean(values), statistics.stdev(values) / math.sqrt(len(values)))


def means(
    networks: Sequence[Candidate], losses: Mapping[Candidate, float], stack: int, layer: int
) -> tuple[Mean, Mean]:
    """Return the mean loss of the networks with a layer and of those without it."""
    by_presence: dict[bool, list[float]] = {True: [], False: []}
    for network in networks:
        by_presence[layer in network[stack]].append(losses[network])
    return mean(by_presence[True]), mean(by_presence[False])


def error_of_difference(sums: Sequence[float], others: Sequence[float], counts: Sequence[int]) -> float | None:
    """Return the standard error of the difference of two losses, from their sums on each batch; None for one batch.

    >>> error_of_difference([3.0, 5.0], [1.0, 1.0], [1, 1])  # differences of 2 and 4: 3 +- 1
    1.0
    """
    if len(counts) < 2:
        return None
    difference = (sum(sums) - sum(others)) / sum(counts)
    squares = sum((a - b - difference * count) ** 2 for a, b, count in zip(sums, others, counts))
    return math.sqrt(len(counts) / (len(counts) - 1) * squares) / sum(counts)


def rows(
    label: str,
    depths: Mapping[str, int],
    swept: Sequence[str],
    networks: Sequence[Candidate],
    losses: Mapping[Candidate, float],
    distances: Mapping[str, Sequence[float]],
    needed: Sequence[Kept] = (),
    errors: Mapping[Candidate, float | None] = {},
) -> list[LayerImportance]:
    """Return a row for each layer of the swept stacks.

    Args:
        losses: of the full model, of it without each layer that is not needed, and of `networks`, in bits a
            prediction.
        distances: by stack, of each layer: cosine distance between its input and its output.
        errors: standard errors of the differences of losses to the full model's.
    """
    numbers = list(depths.values())
    importances = []
    for stack, name in enumerate(depths):
        for layer in range(depths[name] if name in swept else 0):
            left_out = without(numbers, stack, layer, needed)
            with_it, without_it = means(networks, losses, stack, layer)
            importances.append(
                LayerImportance(
                    checkpoint=label,
                    stack=name,
                    layer=layer,
                    loss_full=losses[full(numbers)],
                    loss_without=None if left_out is None else losses[left_out],
                    subnetworks_with=with_it.value,
                    subnetworks_without=without_it.value,
                    cosine_distance=distances[name][layer],
                    loss_without_error=None if left_out is None else errors.get(left_out),
                    subnetworks_with_error=with_it.error,
                    subnetworks_without_error=without_it.error,
                )
            )
    return importances
