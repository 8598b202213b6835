"""The stacks of fairseq's models: put in the place of the layers that fairseq has built, and found again."""

from __future__ import annotations

import contextlib
from argparse import Namespace
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from fairseq.models import FairseqMultiModel
from torch import nn

from ... import state_dict as names
from ...dropping import NOTHING, Dropping, LayerDropStack
from ...rates import Rates
from ..errors.one_line import one_line
from ..options.config import ModelConfig, as_namespace, get, has, put
from ..options.declared import STACKS
from ..options.family import name_in
from ..options.model_options import of
from .parts import CLASSES, place_of
from .sublayers import dropping

Model = TypeVar("Model")


def with_layerdrop(model: Model, cfg: ModelConfig, anew: bool = False) -> Model:
    """Let a model that fairseq has built drop what its options ask for, in place, and return it.

    Args:
        anew: also the layers of a model inside that drops some already.

    Raises:
        ValueError: one line: a stack's layers can't drop what they are asked to.
    """
    parts = list(_parts(model, anew))
    options = of(cfg, {stack: len(layers_of(part)) for part, stack in parts})
    with one_line():
        droppings = [dropping(layers_of(part), stack, options) for part, stack in parts]
    for (part, _), dropped in zip(parts, droppings):
        as_stack(part, dropped)
    return model


def with_stacks(model: Any) -> None:
    """Give a model of fairseq's own architectures, in place, the stacks that can run some of their layers."""
    for part, _ in list(_parts(model)):
        as_stack(part)


def parts_of(model: Any) -> list[tuple[Any, str]]:
    """Return fairseq's encoders and decoders in a model, each once, with the name of its stack."""
    return list(_parts(model, all_=True))


def _parts(model: Any, all_: bool = False) -> Iterator[tuple[Any, str]]:
    """Yield fairseq's encoders and decoders in a model, or those that have no stack of ours yet, with its name."""
    for module in model.modules():
        place = place_of(module)
        if place is not None and (all_ or not isinstance(getattr(module, place.layers), LayerDropStack)):
            yield module, place.stack


def as_stack(part: Any, dropped: Dropping = NOTHING) -> None:
    """Put a `LayerDropStack` in the place of the layers of one of fairseq's encoders and decoders, in place.

    fairseq's loops over the layers stay: `enumerate` counts layers too that are dropped or do
    not run, so `alignment_layer` does not move, as it does with fairseq's own LayerDropModuleList.
    """
    place = place_of(part)
    assert place is not None
    stack = LayerDropStack(layers_of(part), dropped, name=place.stack, extra_outputs=place.extra_outputs)
    setattr(part, place.layers, stack)
    part.__class__ = CLASSES.get(type(part), type(part))


def layers_of(part: Any) -> list[nn.Module]:
    """Return the layers of an encoder or decoder; iterating might drop some."""
    place = place_of(part)
    assert place is not None
    layers = getattr(part, place.layers)
    return [layers[i] for i in range(len(layers))]


def stacks_of(model: Any, option: str) -> dict[str, LayerDropStack]:
    """Return a model's stacks by name: the encoder, which runs first, before the decoder.

    Raises:
        ValueError: one line, in which `option` names the model: it has none, or none that could be pruned.
    """
    stacks = {m.name: m for m in model.modules() if isinstance(m, LayerDropStack)}
    depths = names.depths_or_none(dict(model.named_parameters()))
    several = isinstance(model, FairseqMultiModel)  # say, one for each language
    if several or not stacks or {name: len(stack) for name, stack in stacks.items()} != depths:
        raise ValueError(
            f"`{option}` must be a model with one encoder or decoder of transformer layers, or one of each, "
            f"but is {type(model).__name__}."
        )
    return {name: stacks[name] for name in ("encoder", "decoder") if name in stacks}


def learned_rates_of(stacks: Mapping[str, LayerDropStack]) -> dict[str, Rates]:
    """Return the drop rates of the layers of each stack that learned them."""
    rates_of = {name: stack.learned_rates for name, stack in stacks.items()}
    return {name: rates for name, rates in rates_of.items() if rates is not None}


@contextlib.contextmanager
def without_rates(cfg: ModelConfig) -> Iterator[Namespace]:
    """Let fairseq build a model, from the options given here, whose layers are never dropped.

    It compares a rate with 0, which may be text here. A Namespace is changed for that time, not copied: fairseq notes
    in it what it decides.
    """
    options = as_namespace(cfg)
    with rates_of_0(options):
        yield options


@contextlib.contextmanager
def rates_of_0(cfg: ModelConfig) -> Iterator[None]:
    """Set the drop rates of layers to 0 for this time, in place."""
    names_of = {name_in(cfg, f"{stack}_layerdrop") for stack in STACKS}
    rates = {name: get(cfg, name) for name in names_of if has(cfg, name)}
    for name in rates:
        put(cfg, name, 0.0)
    try:
        yield
    finally:
        for name, rate in rates.items():
            put(cfg, name, rate)
