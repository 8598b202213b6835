"""What each split of a model's layers costs: seconds by the measured parts, parameters and bytes by counting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ... import layer_spec
from ...budget import Cost
from ...candidates import Candidate
from ...cost_model import CostModel, Split
from ...selection import Kept
from ..checkpoints.file_size import file_size
from .evaluation import Evaluation
from .running_cost import parameters
from .search import Plan


class SplitCosts(NamedTuple):
    """What is needed to tell what a split costs.

    Attributes:
        stacks: those whose layers are chosen, with their depths; a split has a number for each.
        depths: of all stacks of the model.
        seconds: a sentence.
        full: the whole model's parameters and bytes.
        layers: by searched stack, each layer's parameters and bytes.
    """

    stacks: Mapping[str, int]
    depths: Mapping[str, int]
    seconds: CostModel
    full: tuple[int, int]
    layers: Mapping[str, Sequence[tuple[int, int]]]

    def of(self, split: Split) -> Cost:
        """Return what a split costs; where a stack's layers have different sizes, at most."""
        saved = [0, 0]
        for keep, layers in zip(split, self.layers.values()):
            for kind in (0, 1):
                saved[kind] += sum(sorted(layer[kind] for layer in layers)[: len(layers) - keep])
        whole = {**self.depths, **dict(zip(self.stacks, split))}
        return Cost(self.seconds.seconds(tuple(whole.values())), self.full[0] - saved[0], self.full[1] - saved[1])


def costs(evaluation: Evaluation, plan: Plan, seconds: CostModel, path: str | None) -> SplitCosts:
    """Return what splits of the plan's stacks cost.

    Args:
        path: the checkpoint's, where the size of files is to be known.

    Raises:
        ValueError: as `file_size`.
    """
    depths = {name: len(stack) for name, stack in evaluation.stacks.items()}
    full = tuple(tuple(range(depth)) for depth in depths.values())
    count, size = parameters(evaluation, full), _size(path, plan, full, depths)
    layers: dict[str, list[tuple[int, int]]] = {}
    for stack, needed in zip(plan.stacks, plan.needed):
        without = [_without(full, depths, stack, layer) for layer in range(depths[stack])]
        each = [count - parameters(evaluation, candidate) for candidate in without]
        free = min((i for i in range(depths[stack]) if i not in needed), key=each.__getitem__)
        saved = size - _size(path, plan, without[free], depths) if depths[stack] > 1 else 0
        layers[stack] = [(number, saved) for number in each]
    return SplitCosts(dict(zip(plan.stacks, plan.depths)), depths, seconds, (count, size), layers)


def size_of(path: str, plan: Plan, whole: Mapping[str, Kept]) -> int:
    """Return the exact size of the file that `layerdrop-prune` writes with these layers of each stack."""
    held = {stack: layer_spec.describe(layers) for stack, layers in plan.held.items()}
    specs = plan.specs(tuple(whole[stack] for stack in plan.stacks))
    return file_size(path, {**held, **specs})


def _size(path: str | None, plan: Plan, candidate: Candidate, depths: Mapping[str, int]) -> int:
    return 0 if path is None else size_of(path, plan, dict(zip(depths, candidate)))


def _without(full: Candidate, depths: Mapping[str, int], stack: str, layer: int) -> Candidate:
    return tuple(tuple(i for i in kept if name != stack or i != layer) for name, kept in zip(depths, full))
