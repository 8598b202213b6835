"""How much each layer matters (paper, figure 5), from the losses of sub-networks that lack it."""

from __future__ import annotations

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


def means(
    networks: Sequence[Candidate], losses: Mapping[Candidate, float], stack: int, layer: int
) -> tuple[float | None, float | None]:
    """Return the mean loss of the networks with a layer and of those without it; None if there are none."""
    by_presence: dict[bool, list[float]] = {True: [], False: []}
    for network in networks:
        by_presence[layer in network[stack]].append(losses[network])
    with_it, without_it = (sum(f) / len(f) if f else None for f in (by_presence[True], by_presence[False]))
    return with_it, without_it


def rows(
    label: str,
    depths: Mapping[str, int],
    swept: Sequence[str],
    networks: Sequence[Candidate],
    losses: Mapping[Candidate, float],
    distances: Mapping[str, Sequence[float]],
    needed: Sequence[Kept] = (),
) -> list[LayerImportance]:
    """Return a row for each layer of the swept stacks.

    Args:
        losses: of the full model, of it without each layer that is not needed, and of `networks`, in bits a
            prediction.
        distances: by stack, of each layer: cosine distance between its input and its output.
    """
    numbers = list(depths.values())
    importances = []
    for stack, name in enumerate(depths):
        for layer in range(depths[name] if name in swept else 0):
            left_out = without(numbers, stack, layer, needed)
            with_it, without_it = means(networks, losses, stack, layer)
            alone = None if left_out is None else losses[left_out]
            distance = distances[name][layer]
            importances.append(
                LayerImportance(label, name, layer, losses[full(numbers)], alone, with_it, without_it, distance)
            )
    return importances
