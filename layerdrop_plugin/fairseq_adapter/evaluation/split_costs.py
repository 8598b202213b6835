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
        noted: bytes that go with the first layer: what training noted of the whole model.
    """

    stacks: Mapping[str, int]
    depths: Mapping[str, int]
    seconds: CostModel
    full: tuple[int, int]
    layers: Mapping[str, Sequence[tuple[int, int]]]
    noted: int = 0

    def of(self, split: Split) -> Cost:
        """Return what a split costs; where a stack's layers have different sizes, at most."""
        is_whole = all(keep == self.stacks[name] for name, keep in zip(self.layers, split))
        saved = [0, 0 if is_whole else self.noted]
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
    count, each, free = parameters(evaluation, full), {}, {}
    for stack, needed in zip(plan.stacks, plan.needed):
        each[stack] = [count - parameters(evaluation, _without(full, depths, stack, i)) for i in range(depths[stack])]
        free[stack] = sorted({*range(depths[stack])} - {*needed}, key=each[stack].__getitem__)
    size, noted, saved = (0, 0, {}) if path is None else _bytes(path, plan, full, depths, free)
    layers = {stack: [(number, saved.get(stack, 0)) for number in each[stack]] for stack in plan.stacks}
    return SplitCosts(dict(zip(plan.stacks, plan.depths)), depths, seconds, (count, size), layers, noted)


def _bytes(
    path: str, plan: Plan, full: Candidate, depths: Mapping[str, int], free: Mapping[str, list[int]]
) -> tuple[int, int, dict[str, int]]:
    """Return the bytes of the whole model's file, those that go with its first layer, and by stack a layer's.

    Args:
        free: by searched stack, the layers that may go, the smallest first.
    """
    size = _size(path, plan, full, depths)
    deep = max(free, key=lambda stack: len(free[stack]))
    if depths[deep] < 2 or not free[deep]:
        return size, 0, {}
    first = _without(full, depths, deep, free[deep][0])
    pruned, noted, saved = _size(path, plan, first, depths), 0, {}
    for stack, layers in free.items():
        if stack != deep and depths[stack] > 1 and layers:
            saved[stack] = pruned - _size(path, plan, _without(first, depths, stack, layers[0]), depths)
    if depths[deep] > 2 and len(free[deep]) > 1:
        saved[deep] = pruned - _size(path, plan, _without(first, depths, deep, free[deep][1]), depths)
        noted = size - pruned - saved[deep]
    else:
        saved[deep] = size - pruned
    return size, noted, saved


def size_of(path: str, plan: Plan, whole: Mapping[str, Kept]) -> int:
    """Return the exact size of the file that `layerdrop-prune` writes with these layers of each stack."""
    held = {stack: layer_spec.describe(layers) for stack, layers in plan.held.items()}
    specs = plan.specs(tuple(whole[stack] for stack in plan.stacks))
    return file_size(path, {**held, **specs})


def _size(path: str, plan: Plan, candidate: Candidate, depths: Mapping[str, int]) -> int:
    return size_of(path, plan, dict(zip(depths, candidate)))


def _without(full: Candidate, depths: Mapping[str, int], stack: str, layer: int) -> Candidate:
    return tuple(tuple(i for i in kept if name != stack or i != layer) for name, kept in zip(depths, full))
