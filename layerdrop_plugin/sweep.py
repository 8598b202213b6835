"""A sweep over depths: which layers run at each depth."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from . import layer_spec
from .rates import Rates
from .selection import Kept

FULL = "full"

Depths = tuple[int, ...]
"""How many layers: of every stack alike, or of the encoder and of the decoder."""


class Point(NamedTuple):
    """A strategy, or "full", and the layers of every stack of the model that it keeps, in the stacks' order."""

    strategy: str
    kept: tuple[Kept, ...]

    @property
    def counts(self) -> Depths:
        """How many layers of each stack it keeps."""
        return tuple(map(len, self.kept))


def parse_depths(text: str, option: str = "depths") -> list[Depths]:
    """Return the depths that an option lists.

    Raises:
        ValueError: one line: it is no such list.

    >>> parse_depths("12,6+3")
    [(12,), (6, 3)]
    """
    if not re.fullmatch(r"0*[1-9][0-9]{0,8}(\+0*[1-9][0-9]{0,8})?(,0*[1-9][0-9]{0,8}(\+0*[1-9][0-9]{0,8})?)*", text):
        raise ValueError(
            f"`{option}` must be numbers of layers from 1 as in 12,6,3, or of encoder and decoder as in 12+6,6+3, "
            f"but is {text!r} instead."
        )
    return list(dict.fromkeys(tuple(map(int, item.split("+"))) for item in text.split(",")))


def parse_strategies(text: str, option: str = "strategies") -> list[str]:
    """Return the strategies that an option lists.

    Raises:
        ValueError: one line: one is unknown.

    >>> parse_strategies("every_other,last")
    ['every_other', 'last']
    """
    names = text.split(",")
    for name in names:
        if name not in layer_spec.STRATEGIES:
            known = ",".join(layer_spec.STRATEGIES)
            raise ValueError(f"`{option}` must be some of {known}, but has {name!r} in {text!r}.")
    return list(dict.fromkeys(names))


def default_depths(full: Mapping[str, int], swept: Sequence[str]) -> list[Depths]:
    """Return three quarters, a half and a quarter of the swept stacks' depths.

    >>> default_depths({"encoder": 12, "decoder": 6}, ["encoder", "decoder"])
    [(9, 4), (6, 3), (3, 1)]
    """
    fractions = [tuple(max(1, full[name] * quarters // 4) for name in swept) for quarters in (3, 2, 1)]
    return list(dict.fromkeys(depths[:1] if len(set(depths)) == 1 else depths for depths in fractions))


def counts(depths: Depths, full: Mapping[str, int], swept: Sequence[str], option: str = "depths") -> Depths:
    """Return how many layers of each stack of the model run at one of some depths; a stack not swept runs whole.

    Raises:
        ValueError: one line: there are not so many layers, or not so many stacks.

    >>> counts((3,), {"encoder": 6, "decoder": 6}, ["decoder"])
    (6, 3)
    """
    if len(depths) not in (1, len(swept)):
        raise ValueError(
            f"`{option}` must be single numbers where only the {swept[0]} is swept, but has {name_of(depths)!r}."
        )
    wanted = dict(zip(swept, depths * (len(swept) if len(depths) == 1 else 1)))
    for name, number in wanted.items():
        if number > full[name]:
            fits_other = len(depths) == 1 and any(number <= full[other] for other in swept)
            hint = " Name both stacks, as in 12+6." if fits_other else ""
            raise ValueError(
                f"`{option}` must be at most the {name}'s depth, {full[name]}, but has {name_of(depths)}.{hint}"
            )
    return tuple(wanted.get(name, depth) for name, depth in full.items())


def name_of(depths: Sequence[int]) -> str:
    """Return how a depth is written.

    >>> name_of((12, 6))
    '12+6'
    """
    return "+".join(map(str, depths))


def points(
    number: Depths,
    full: Mapping[str, int],
    strategies: Sequence[str],
    learned: Mapping[str, Rates] = {},
    option: str = "strategies",
) -> list[Point]:
    """Return the points at a number of layers of each stack; at full depth there is one.

    >>> points((2,), {"decoder": 4}, ["every_other", "last"])
    [Point(strategy='every_other', kept=((0, 2),)), Point(strategy='last', kept=((2, 3),))]
    """
    if number == tuple(full.values()):
        return [Point(FULL, tuple(tuple(range(depth)) for depth in full.values()))]

    def kept(strategy: str, stack: str, keep: int) -> Kept:
        if keep == full[stack]:
            return tuple(range(keep))
        return layer_spec.parse(f"{strategy}:{keep}", full[stack], option, learned.get(stack))

    return [Point(name, tuple(kept(name, stack, keep) for stack, keep in zip(full, number))) for name in strategies]


def plan(
    models: Mapping[str, Mapping[str, int]],
    swept: Sequence[str],
    depths: Sequence[Depths],
    strategies: Sequence[str],
    learned: Mapping[str, Mapping[str, Rates]] = {},
    needed: Mapping[str, Mapping[str, Kept]] = {},
    options: tuple[str, str] = ("depths", "strategies"),
) -> tuple[dict[str, list[Point]], list[str]]:
    """Return the points of each model, the full model first, and a line for each point that a model can't have.

    Args:
        models: by label, the depth of each of its stacks, in their order.
        learned: by label, the drop rates of the layers of each stack that learned them.
        needed: by label, the layers of each stack without which the model can't be built.
        options: what names the depths and the strategies in errors.

    Raises:
        ValueError: one line: a depth is too large for every model, no model has learned its rates, or none is left
            but the full ones.
    """
    of_depths, of_strategies = options
    without_rates = _without_rates(models, swept, learned, of_strategies) if "learned" in strategies else {}
    points_of = {label: points(tuple(full.values()), full, strategies) for label, full in models.items()}
    left_out = list(without_rates.values())
    lacking: list[str] = []
    for number in depths:
        refused: dict[str, ValueError] = {}
        for label, full in models.items():
            names = [name for name in strategies if name != "learned" or label not in without_rates]
            try:
                more = points(
                    counts(number, full, swept, of_depths), full, names, learned.get(label, {}), of_strategies
                )
            except ValueError as error:
                refused[label] = error
                continue
            lines = [lacks(label, list(full), point, needed.get(label, {})) for point in more]
            lacking += filter(None, lines)
            points_of[label] += [
                point for point, line in zip(more, lines) if not line and point not in points_of[label]
            ]
        if len(refused) == len(models):
            raise next(iter(refused.values()))
        left_out += [f"{label} has no depth {name_of(number)}: its row is left out" for label in refused]
    if lacking and all(len(at) == 1 for at in points_of.values()):
        raise ValueError(f"`{of_strategies}` must keep the layers that are needed, but {lacking[0]}.")
    return points_of, left_out + [f"{line}: its row is left out" for line in lacking]


def _without_rates(
    models: Iterable[str], swept: Sequence[str], learned: Mapping[str, Mapping[str, Rates]], option: str
) -> dict[str, str]:
    """Return a line for each model that has not learned the rates of all swept stacks.

    Raises:
        ValueError: one line: none has.
    """
    lines = {}
    for label in models:
        stack = next((stack for stack in swept if stack not in learned.get(label, {})), None)
        if stack is not None:
            lines[label] = f"{stack} has no learned drop rates (--{stack}-layerdrop-learned)"
    if len(lines) == len(list(models)):
        label, line = next(iter(lines.items()))
        raise ValueError(f"`{option}` must not have 'learned' for {label}, whose {line}.")
    return {label: f"{label}'s {line}: its rows of 'learned' are left out" for label, line in lines.items()}


def lacks(label: str, stacks: Sequence[str], point: Point, needed: Mapping[str, Kept]) -> str | None:
    """Return a sentence about a needed layer that a point does not keep, if there is one."""
    for stack, kept in zip(stacks, point.kept):
        for layer in needed.get(stack, ()):
            if layer not in kept:
                of = f"{stack} layers {layer_spec.describe(kept)}"
                return f"{point.strategy} keeps {of} of {label}, which needs layer {layer} (`alignment_layer`)"
    return None


def labels(paths: Sequence[str]) -> list[str]:
    """Return the part of each path that differs: without the parts that all paths begin or end with.

    >>> labels(["runs/with/checkpoint_best.pt", "runs/without/checkpoint_best.pt"]), labels(["runs/a.pt"])
    (['with', 'without'], ['a.pt'])
    """
    parts = [os.path.normpath(path).split(os.sep) for path in paths]
    begin = _alike(parts)
    end = _alike([p[begin:][::-1] for p in parts])
    return [os.sep.join(p[begin : len(p) - end]) or p[-1] for p in parts]


def _alike(lists: Sequence[Sequence[str]]) -> int:
    """Return with how many equal items all lists begin."""
    return next((i for i, items in enumerate(zip(*lists)) if len(set(items)) > 1), min(map(len, lists)))
