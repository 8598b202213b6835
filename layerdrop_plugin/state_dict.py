"""Count, drop and renumber layers in a mapping of parameter names to tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from .families import at_one_place, place_of

Value = TypeVar("Value")


def layer_of(name: str) -> tuple[str, int] | None:
    """Return the stack and the index of the layer that a parameter belongs to; None if it belongs to none.

    >>> layer_of("decoder.layers.3.fc1.weight")
    ('decoder', 3)
    >>> layer_of("decoder.embed_tokens.weight")
    """
    place = place_of(name)
    return None if place is None else (place.stack, place.number)


def rename(name: str, index: int) -> str:
    """Return the name of the same parameter in layer `index`.

    >>> rename("decoder.layers.3.fc1.weight", 1)
    'decoder.layers.1.fc1.weight'
    """
    place = place_of(name)
    if place is None:
        raise ValueError(f"`name` must be a parameter of a layer, but is {name!r} instead.")
    return f"{place.prefix}.{index}.{place.name}"


def depths(names: Mapping[str, object]) -> dict[str, int]:
    """Return how many layers each stack has; a stack without layers is left out.

    Raises:
        ValueError: the layers of a stack are not numbered 0, 1, 2, ...; or those of a stack that a model has several
            times, say for each pair of languages, are not as many each time, or stand at several places.

    >>> depths({"encoder.layers.0.w": 1, "encoder.layers.1.w": 2, "embed": 3})
    {'encoder': 2}
    """
    layers_of: dict[tuple[str, str], set[int]] = {}
    for place in filter(None, map(place_of, names)):
        layers_of.setdefault((place.stack, place.prefix), set()).add(place.number)
    counts: dict[str, set[int]] = {}
    for (stack, _), indices in layers_of.items():
        if indices != set(range(len(indices))):
            raise ValueError(f"the {stack}'s layers must be numbered from 0 without a gap, but are {sorted(indices)}.")
        counts.setdefault(stack, set()).add(len(indices))
    for stack, found in counts.items():
        prefixes = sorted(prefix for of_stack, prefix in layers_of if of_stack == stack)
        if len(found) > 1 and not at_one_place(prefixes):
            raise ValueError(f"the {stack}'s layers must stand at one place, but stand at {' and '.join(prefixes)}.")
        if len(found) > 1:
            raise ValueError(f"the {stack}s of a model must have the same depth, but have {sorted(found)}.")
    return {stack: found.pop() for stack, found in counts.items()}


def depths_or_none(names: Mapping[str, object]) -> dict[str, int]:
    """Return how many layers each stack has, nothing for a model whose layers are numbered in another way.

    >>> depths_or_none({"encoder.layers.5.w": 1})
    {}
    """
    try:
        return depths(names)
    except ValueError:
        return {}


def prune(state: Mapping[str, Value], kept: Mapping[str, Sequence[int]]) -> dict[str, Value]:
    """Return `state` with only the kept layers of each stack in `kept`, numbered from 0.

    A stack that `kept` does not name stays whole. The values are passed on, not copied, in
    their order.

    >>> prune({"encoder.layers.0.w": 1, "encoder.layers.2.w": 2, "embed": 3}, {"encoder": [2]})
    {'encoder.layers.0.w': 2, 'embed': 3}
    """
    places = {stack: {old: new for new, old in enumerate(sorted(k))} for stack, k in kept.items()}
    pruned = {}
    for name, value in state.items():
        layer = layer_of(name)
        if layer is None or layer[0] not in places:
            pruned[name] = value
        elif layer[1] in places[layer[0]]:
            pruned[rename(name, places[layer[0]][layer[1]])] = value
    return pruned
