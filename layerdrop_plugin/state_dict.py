"""Count, drop and renumber layers in a mapping of parameter names to tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

Value = TypeVar("Value")

# A stack's own layers stand at exactly these places: the encoder of RoBERTa, which
# checkpoints before 2020 call decoder, lies one level deeper. Digits anywhere else, say
# `classification_heads.x.layers.1.weight`, are no layer of a stack.
_LAYER = re.compile(r"(encoder|decoder)\.(sentence_encoder\.)?layers\.([0-9]+)\.(.+)", re.DOTALL)


def layer_of(name: str) -> tuple[str, int] | None:
    """Return the stack and the index of the layer that a parameter belongs to; None if it belongs to none.

    >>> layer_of("decoder.layers.3.fc1.weight")
    ('decoder', 3)
    >>> layer_of("decoder.embed_tokens.weight")
    """
    match = _LAYER.fullmatch(name)
    if match is None:
        return None
    return "encoder" if match[2] else match[1], int(match[3])


def rename(name: str, index: int) -> str:
    """Return the name of the same parameter in layer `index`.

    >>> rename("decoder.layers.3.fc1.weight", 1)
    'decoder.layers.1.fc1.weight'
    """
    match = _LAYER.fullmatch(name)
    if match is None:
        raise ValueError(f"`name` must be a parameter of a layer, but is {name!r} instead.")
    return name[: match.start(3)] + str(index) + name[match.end(3) :]


def depths(names: Mapping[str, object]) -> dict[str, int]:
    """Return how many layers each stack has; a stack without layers is left out.

    Raises:
        ValueError: the layers of a stack are not numbered 0, 1, 2, ...

    >>> depths({"encoder.layers.0.w": 1, "encoder.layers.1.w": 2, "embed": 3})
    {'encoder': 2}
    """
    layers_of: dict[str, set[int]] = {}
    for name in names:
        layer = layer_of(name)
        if layer is not None:
            layers_of.setdefault(layer[0], set()).add(layer[1])
    for stack, indices in layers_of.items():
        if indices != set(range(len(indices))):
            raise ValueError(f"the {stack}'s layers must be numbered from 0 without a gap, but are {sorted(indices)}.")
    return {stack: len(indices) for stack, indices in layers_of.items()}


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
