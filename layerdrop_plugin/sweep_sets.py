"""Sets of layers that are given by name, to stand in a sweep beside those of strategies."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from . import layer_spec
from .rates import Rates
from .selection import Kept
from .sweep import FULL, Depths, Point, lacks

SEARCH = "search"
"""The name of sets that a search has found."""


class NamedSet(NamedTuple):
    """A set of layers with a name.

    Attributes:
        specs: the specification of each stack; one that is missing keeps all its layers.
        of_checkpoint: whether layers are counted as in the checkpoint, not as overrides have left them.
        option: where it was given, for errors.
        file: that it was read from, None for none.
        fingerprint: of the checkpoint that was searched, None if it is not known.
    """

    name: str
    specs: Mapping[str, str]
    of_checkpoint: bool
    option: str
    file: str | None = None
    fingerprint: str | None = None


def parse(text: str, swept: Sequence[str], option: str = "sets") -> NamedSet:
    """Return the set that an option gives, as a specification for each stack that is swept.

    Raises:
        ValueError: one line: it is no such set.

    >>> parse("mine=0,1,5+0,3,4", ["encoder", "decoder"]).specs
    {'encoder': '0,1,5', 'decoder': '0,3,4'}
    """
    check(text, option)
    name, _, layers = text.partition("=")
    specs = layers.split("+")
    if len(specs) != len(swept):
        wanted = " and ".join(f"the {stack}'s" for stack in swept)
        raise ValueError(f"`{option}` must name {wanted} layers, with + between stacks, but is {text!r} instead.")
    return NamedSet(name, dict(zip(swept, specs)), False, option)


def check(text: str, option: str = "sets") -> None:
    """Refuse what is wrong for any model.

    Raises:
        ValueError: one line.
    """
    name, equals, layers = text.partition("=")
    if not name or not equals:
        raise ValueError(f"`{option}` must be NAME=LAYERS as in mine=0,1,5+0,3,4, but is {text!r} instead.")
    if name in (FULL, SEARCH, *layer_spec.STRATEGIES):
        raise ValueError(f"`{option}` must have names of their own, but {name!r} has its meaning.")
    for spec in layers.split("+"):
        layer_spec.check(spec, option)


def read_search(path: str, option: str = "search") -> NamedSet:
    """Return the best set in the file that `layerdrop-search --json` wrote.

    Raises:
        ValueError: one line: it is no such file.
    """
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
        specs = dict(found.get("kept") or found["best"])
        if not specs or not all(isinstance(spec, str) for spec in specs.values()):
            raise ValueError
        for spec in specs.values():
            layer_spec.parse(spec, sys.maxsize)
    except FileNotFoundError:
        raise ValueError(f"`{option}` must be a file of layerdrop-search --json, but {path} does not exist.") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError(f"`{option}` must be a file of layerdrop-search --json, but {path} is not.") from None
    return NamedSet(SEARCH, specs, True, option, path, found.get("fingerprint"))


def of_others(sets: Sequence[NamedSet], fingerprints: Mapping[str, str]) -> list[str]:
    """Return a line for each set that a search has found on another checkpoint than one of these.

    Args:
        fingerprints: of the checkpoints, by label.
    """
    lines = []
    for one in sets:
        others = [label for label, name in fingerprints.items() if one.fingerprint not in (None, name)]
        if others:
            lines.append(
                f"`{one.option}` {one.file} is of a search on another checkpoint than {', '.join(others)}, "
                "whose best layers may be others"
            )
    return lines


def point(
    one: NamedSet, full: Mapping[str, int], held: Mapping[str, Kept] = {}, learned: Mapping[str, Rates] = {}
) -> Point:
    """Return which layers of a model with these depths a set keeps.

    Args:
        held: by stack that overrides have pruned, the layers of the checkpoint that are left.

    Raises:
        ValueError: one line: the model has no such stack or layer.

    >>> point(NamedSet("mine", {"decoder": "1,5"}, True, "sets"), {"encoder": 2, "decoder": 3}, {"decoder": (1, 3, 5)})
    Point(strategy='mine', kept=((0, 1), (0, 2)))
    """
    for stack in one.specs:
        if stack not in full:
            raise ValueError(f"`{one.option}` must be of stacks that the model has, but has the {stack}'s layers.")

    def kept(stack: str, depth: int) -> Kept:
        spec = one.specs.get(stack, f"0-{depth - 1}")
        if not one.of_checkpoint or stack not in held or stack not in one.specs:
            return layer_spec.parse(spec, depth, one.option, learned.get(stack))
        layers = layer_spec.parse(spec, sys.maxsize, one.option)
        for layer in layers:
            if layer not in held[stack]:
                raise ValueError(
                    f"`{one.option}` must name layers that --model-overrides leaves, "
                    f"{layer_spec.describe(held[stack])} of the {stack}, but has {layer}."
                )
        return tuple(held[stack].index(layer) for layer in layers)

    return Point(one.name, tuple(kept(stack, depth) for stack, depth in full.items()))


def points_of(
    sets: Sequence[NamedSet],
    models: Mapping[str, Mapping[str, int]],
    held: Mapping[str, Mapping[str, Kept]] = {},
    learned: Mapping[str, Mapping[str, Rates]] = {},
    needed: Mapping[str, Mapping[str, Kept]] = {},
    pruned_before: Mapping[str, str] = {},
) -> tuple[dict[str, list[Point]], list[str]]:
    """Return the points of the sets by model, and a line for each that a model can't have.

    Args:
        pruned_before: what a model has lost, as a sentence that is added to such a line.

    Raises:
        ValueError: one line: no model can have a set, or two sets of one depth have one name.
    """
    more: dict[str, list[Point]] = {label: [] for label in models}
    left_out: list[str] = []
    for one in sets:
        refused = {}
        for label, full in models.items():
            try:
                new = point(one, full, held.get(label, {}), learned.get(label, {}))
            except ValueError as error:
                refused[label] = f"{error} {pruned_before.get(label, '')}".rstrip()
                continue
            line = lacks(label, list(full), new, needed.get(label, {}))
            if line:
                refused[label] = f"`{one.option}` must keep the layers that are needed, but {line}."
            elif new not in more[label]:
                _check_name(new, more[label], one.option)
                more[label].append(new)
        if len(refused) == len(models):
            raise ValueError(next(iter(refused.values())))
        left_out += [f"{label} lacks {one.name!r}: its row is left out ({why[:-1]})" for label, why in refused.items()]
    return more, left_out


def _check_name(new: Point, others: Sequence[Point], option: str) -> None:
    for other in others:
        if (other.strategy, other.counts) == (new.strategy, new.counts):
            raise ValueError(f"`{option}` must have one set of each name at each depth, but has two {new.strategy!r}.")


def by_depth(points: Sequence[Point]) -> list[Point]:
    """Return the points of one depth side by side, each depth where it came up first."""
    first: dict[tuple[int, ...], int] = {}
    for one in points:
        first.setdefault(one.counts, len(first))
    return sorted(points, key=lambda one: first[one.counts])


def depths_of(points: Sequence[Point], full: Mapping[str, int], swept: Sequence[str]) -> list[Depths]:
    """Return how many layers of the swept stacks the points keep, from many to few, without the full depth.

    >>> depths_of([Point("mine", ((0, 1), (1,)))], {"encoder": 2, "decoder": 3}, ["encoder", "decoder"])
    [(2, 1)]
    """
    places = [list(full).index(stack) for stack in swept]
    found = [tuple(one.counts[i] for i in places) for one in points if one.counts != tuple(full.values())]
    found = sorted(set(found), key=lambda depths: (-sum(depths), depths))
    return [depths[:1] if len(set(depths)) == 1 else depths for depths in found]
