"""Run some of the layers of a loaded model, ours or fairseq's own: pruning without a copy of the weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from fairseq.models import MODEL_REGISTRY
from torch import nn

from ... import layer_spec
from ...dropping import LayerDropStack
from ...layer_spec import LayerSpec
from ...selection import Kept
from ..options.family import refusal
from .parts import place_of
from .stacks import as_stack, parts_of


@contextlib.contextmanager
def running(model: Any, specs: dict[str, LayerSpec]) -> Iterator[None]:
    """Run only these layers of each stack, in evaluation and within this context; afterwards all is as before.

    Args:
        model: of fairseq's or ours, a hub interface, or a list of them.
        specs: by stack.

    Raises:
        ValueError: one line: it is no model, or one in training mode, or has no such stack, or not these layers, or
            needs another one.
    """
    with contextlib.ExitStack() as contexts:
        for one in _models(model):
            _check(one)
            for stack, spec in specs.items():
                parts = [part for part, name in parts_of(one) if name == stack]
                if not parts:
                    raise ValueError(
                        f"`{stack}` must be left out: {type(one).__name__} has no {stack} layers that can be chosen "
                        f"(got {spec!r})."
                    )
                for part in parts:
                    layers = contexts.enter_context(_as_stack(part))
                    _check_mode(one, layers)
                    kept = layer_spec.parse(spec, len(layers), stack, layers.learned_rates)
                    _check_alignment(one, stack, kept)
                    contexts.enter_context(layers.running(kept))
        yield


def _models(model: Any) -> list[Any]:
    """Return the models of a list or a hub interface; any other module is one."""
    if isinstance(model, (list, tuple)) and model:
        return [one for item in model for one in _models(item)]
    if type(model).__name__.endswith("HubInterface"):
        return list(model.models) if hasattr(model, "models") else [model.model]
    if not isinstance(model, nn.Module):
        what = repr(model) if isinstance(model, (str, list, tuple)) else f"of type {type(model).__name__}"
        raise ValueError(f"`model` must be a loaded model, a hub interface, or a list of them, but is {what} instead.")
    return [model]


def _check(model: Any) -> None:
    """Refuse a model whose layers can't be pruned, say because a teacher has them, too."""
    names = {of: name for name, of in MODEL_REGISTRY.items()}
    name = next((names[base] for base in type(model).__mro__ if base in names), None)
    why_not = refusal(name)
    if why_not is not None:
        raise ValueError(f"`model` must be one that can be pruned, but {why_not}.")


def _check_mode(model: Any, layers: LayerDropStack) -> None:
    """Refuse a model in training mode, which runs every layer: fairseq's `RobertaModel.from_pretrained` returns one."""
    if layers.training:
        raise ValueError(
            f"`model` must be in evaluation mode (call model.eval() before), but {type(model).__name__} is in training "
            "mode."
        )


def _check_alignment(model: Any, stack: str, kept: Kept) -> None:
    needed = getattr(model, "alignment_layer", None)
    if stack == "decoder" and isinstance(needed, int) and needed not in kept:
        raise ValueError(
            f"`decoder` must hold layer {needed}, from which the model takes alignments, but is "
            f"{layer_spec.describe(kept)!r} instead."
        )


@contextlib.contextmanager
def _as_stack(part: Any) -> Iterator[LayerDropStack]:
    """Give an encoder or decoder a stack that can run some of its layers; at the end it has its own list again."""
    place = place_of(part)
    assert place is not None
    layers, kind = getattr(part, place.layers), type(part)
    if isinstance(layers, LayerDropStack):
        yield layers
        return
    as_stack(part)
    stack = getattr(part, place.layers)
    stack.training = part.training
    try:
        yield stack
    finally:
        part.__class__ = kind
        setattr(part, place.layers, layers)
        layers.training = stack.training
