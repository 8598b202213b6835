"""Trained depths after pruning: which of them the smaller model still has, under which names and with which shares."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from . import selection
from .depths import Depth, written
from .selection import Kept


def pruned(trained: Sequence[Depth], kept: Mapping[str, Kept], trains_on: bool = True) -> str | None:
    """Return the list of the depths that are left in a model of the layers `kept`; None if only its full depth is.

    A depth is left if all its layers are kept, and if they are those that the smaller model keeps at that depth.

    Args:
        kept: by stack; a stack that is not in it keeps all of its layers.
        trains_on: whether the smaller model is trained; its full depth then has the shares of what is not left. Else
            it has the share 0, unless it was trained as a depth: the list says what was trained.

    >>> from layerdrop_plugin.depths import parse
    >>> pruned(parse("6,4,3", {"decoder": 12}), {"decoder": (0, 2, 4, 6, 8, 10)})  # not 4: (0, 3, 6, 9)
    '3=0.2'
    >>> pruned(parse("6,4,3", {"decoder": 12}), {"decoder": (0, 4, 8, 11)}, trains_on=False)
    '4=0,3=1'
    """
    now = {**trained[0].kept, **kept}
    left = {name: depth.share for name, depth in _left(trained, now).items()}
    if not (trains_on or is_trained(trained, kept)):
        total = math.fsum(left.values())
        left = {name: share / total for name, share in left.items() if total > 0.0}
    if left and 1.0 - math.fsum(left.values()) < 1e-9:
        left = {"+".join(str(len(layers)) for layers in now.values()): 0.0, **left}
    return written(left) or None


def is_trained(trained: Sequence[Depth], kept: Mapping[str, Kept]) -> bool:
    """Return whether the layers `kept`, as for `pruned`, are one of the depths, of a share above 0."""
    now = {**trained[0].kept, **kept}
    return any(depth.kept == now and depth.share > 0.0 for depth in trained)


def lost(trained: Sequence[Depth], kept: Mapping[str, Kept]) -> tuple[str, ...]:
    """Return the names of the depths, but the full one, that a model of the layers `kept`, as for `pruned`, lacks.

    >>> from layerdrop_plugin.depths import parse
    >>> lost(parse("6,4,3", {"decoder": 12}), {"decoder": (0, 2, 4, 6, 8, 10)})
    ('4',)
    """
    now = {**trained[0].kept, **kept}
    left = [trained[0], *_left(trained, now).values()]
    return tuple(depth.name for depth in trained if depth.share > 0.0 and depth not in left and depth.kept != now)


def _left(trained: Sequence[Depth], now: Mapping[str, Kept]) -> dict[str, Depth]:
    """Return the depths that are left, under their names in the smaller model, whose full depth is not among them."""
    left = {}
    for depth in trained:
        names = [_name(_places(depth.kept[stack], layers), len(layers)) for stack, layers in now.items()]
        if None not in names and depth.kept != now:
            left["+".join(map(str, names))] = depth
    return left


def _places(layers: Kept, kept: Kept) -> Kept | None:
    """Return the numbers that layers have among those kept, None if one of them is not kept."""
    return tuple(map(kept.index, layers)) if set(layers) <= set(kept) else None


def _name(layers: Kept | None, depth: int) -> str | None:
    """Return what a list calls these layers of a stack, None where it has no name for them."""
    if layers is None:
        return None
    keep = len(layers)
    names = {strategy(depth, keep): f"{name}:{keep}" for name, strategy in selection.BY_COUNT.items()}
    return {**names, selection.every_other(depth, keep): str(keep)}.get(layers)
