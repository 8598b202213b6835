"""Describe a checkpoint without reading its weights: sizes, rates, training, origin."""

from __future__ import annotations

import math
import os
from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from ...families import Stack, place_of
from ..options.config import ModelConfig, get, has
from ..options.declared import DROPS
from ..options.family import beside_depth, name_in, row_of
from . import parameters as checkpoint_parameters
from . import trained_depths
from .buffers import is_buffer
from .checkpoint import Checkpoint
from .description import Description, Sizes, StackDescription
from .optimizer_state import Parameter
from .whole import read_whole


def describe(path: str, with_options: bool = False) -> Description:
    """Return what is worth knowing of a checkpoint.

    Parameters are counted once where they are tied, and without the copies that stock fairseq 0.12.2 saves in
    encoders.

    Args:
        with_options: whether to tell the options that build its model again; this needs fairseq's models.

    Raises:
        ValueError: one line that names the file: it is damaged, a shard, or no checkpoint of fairseq's; or its
            architecture is not known.
    """
    checkpoint = read_whole(path)
    parameters = checkpoint_parameters.parameters(checkpoint_parameters.without_copies(checkpoint.weights))
    best = _best(checkpoint)
    metric = checkpoint.option("checkpoint", "best_checkpoint_metric") or "loss"
    return Description(
        checkpoint=path,
        architecture=checkpoint.architecture,
        task=checkpoint.option("task", "_name") or checkpoint.option("task", "task"),
        stacks=_stacks(checkpoint, parameters),
        trained_depths=_trained_depths(checkpoint, path),
        classification_heads=_heads(checkpoint.weights),
        parameters=sum(map(_count, parameters)),
        dtype=_dtype(checkpoint.weights),
        updates=checkpoint.history[-1].get("num_updates") if checkpoint.history else None,
        best=best,
        best_metric=None if best is None else metric,
        bytes=_sizes(path, checkpoint),
        options=_options(checkpoint, path) if with_options else None,
    )


def _options(checkpoint: Checkpoint, path: str) -> tuple[str, ...]:
    from .repeated_options import repeated  # fairseq's models take seconds to import

    return repeated(checkpoint, path)


def _stacks(checkpoint: Checkpoint, parameters: Sequence[Parameter]) -> dict[str, StackDescription]:
    model = next(iter(checkpoint.configurations), Namespace())
    return {
        stack: _stack(checkpoint, stack, row_of(model, stack), model, _layers(stack, depth, parameters))
        for stack, depth in checkpoint.depths.items()
    }


def _trained_depths(checkpoint: Checkpoint, path: str) -> dict[str, float]:
    """Return the depths of a share above 0: one of share 0 was not trained."""
    try:
        trained = [depth for cfg in checkpoint.configurations[:1] for depth in trained_depths.of(cfg)]
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return {depth.name: depth.share for depth in trained if depth.share > 0.0}


def _layers(stack: str, depth: int, parameters: Sequence[Parameter]) -> list[list[Parameter]]:
    """Return the parameters of each layer, under their names in it; where a model has a stack several times, of all."""
    layers: list[list[Parameter]] = [[] for _ in range(depth)]
    for p in parameters:
        place = place_of(p.name)
        if place is not None and place.stack == stack:
            layers[place.number].append(p._replace(name=place.name))
    return layers


def _stack(
    checkpoint: Checkpoint, stack: str, row: Stack, model: ModelConfig, layers: Sequence[Sequence[Parameter]]
) -> StackDescription:
    def option(name: str) -> Any:
        here = name_in(model, f"{stack}_{name}")
        return get(model, here if has(model, here) else beside_depth(row, model, here))

    ffn, embed = next((p.shape for p in layers[0] if p.name == "fc1.weight"), (None, None))
    drops = {kind: option(kind) or None for kind in DROPS}
    origin = checkpoint.origins.get(stack)
    return StackDescription(
        **{**drops, "layerdrop": option("layerdrop")},  # also where it is 0
        depth=len(layers),
        learned_rates=checkpoint.learned_rates.get(stack),
        embed_dim=embed,
        ffn_embed_dim=ffn,
        attention_heads=option("attention_heads"),
        layer_parameters=tuple(sum(map(_count, layer)) for layer in layers),
        pruned=None if origin is None else origin.first,
    )


def _heads(weights: Mapping[str, Tensor]) -> tuple[str, ...]:
    parts = [name.split(".") for name in weights if name.startswith("classification_heads.")]
    return tuple(dict.fromkeys(part[1] for part in parts))


def _best(checkpoint: Checkpoint) -> float | None:
    best = checkpoint.extra_state.get("best")
    return None if best is None or not math.isfinite(best) else float(best)


def _sizes(path: str, checkpoint: Checkpoint) -> Sizes:
    old = [checkpoint.rest.get("optimizer"), *(entry.get("optimizer") for entry in checkpoint.history[-1:])]
    return Sizes(os.path.getsize(path), _bytes(checkpoint.weights), _bytes([checkpoint.optimizer, *old]))


def _count(parameter: Parameter) -> int:
    return math.prod(parameter.shape)


def _dtype(weights: Mapping[str, Tensor]) -> str:
    kinds = {str(value.dtype) for name, value in weights.items() if not is_buffer(name)}
    return ", ".join(sorted(kind.rpartition(".")[2] for kind in kinds))


def _bytes(value: Any) -> int:
    """Return how much the tensors in `value`, to any depth, take in a file: each piece of memory once."""
    pieces: dict[int, int] = {}

    def add(part: Any) -> None:
        if isinstance(part, Tensor):
            pieces[part.data_ptr()] = part.numel() * part.element_size()
        elif isinstance(part, Mapping):
            for item in part.values():
                add(item)
        elif isinstance(part, (list, tuple)):
            for item in part:
                add(item)

    add(value)
    return sum(pieces.values())
