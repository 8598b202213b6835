"""Where a pruned checkpoint came from: the entry `layerdrop` that it carries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ... import layer_spec
from ..reading.entry_kinds import PROVENANCE

KEY = PROVENANCE


class Pruned(NamedTuple):
    """How many layers a stack had, and which of them are kept."""

    depth: int
    kept: tuple[int, ...]

    def __str__(self) -> str:
        return layer_spec.kept_of(self.kept, self.depth)


class Origin(NamedTuple):
    """A pruned stack: the layers of the first model that are left, and the last step to there."""

    first: Pruned
    last: Pruned


def read(state: Mapping[str, Any]) -> dict[str, Origin]:
    """Return each pruned stack's origin from a checkpoint; nothing for one that was never pruned."""
    try:
        return {
            stack: Origin(*(Pruned(step["depth"], tuple(step["kept"])) for step in (entry, entry["last"])))
            for stack, entry in (state.get(KEY) or {}).items()
        }
    except (AttributeError, KeyError, TypeError):
        raise ValueError(f"`{KEY}` of a checkpoint must say what was pruned, but is {state[KEY]!r}.") from None


def as_entry(origins: Mapping[str, Origin]) -> dict[str, dict[str, Any]]:
    """Return plain data to put under `KEY`, readable without this package."""

    def plain(step: Pruned) -> dict[str, Any]:
        return {"depth": step.depth, "kept": list(step.kept)}

    return {stack: {**plain(o.first), "last": plain(o.last)} for stack, o in origins.items()}


def compose(before: Mapping[str, Origin], now: Mapping[str, Pruned]) -> dict[str, Origin]:
    """Return the origins after one more pruning; keeping every layer is none."""
    after = dict(before)
    for stack, step in now.items():
        if len(step.kept) == step.depth:
            continue
        first = step
        if stack in before:
            left = before[stack].first
            first = Pruned(left.depth, tuple(left.kept[i] for i in step.kept))
        after[stack] = Origin(first, step)
    return after
