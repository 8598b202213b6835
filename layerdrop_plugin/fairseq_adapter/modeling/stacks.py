"""The stacks of fairseq's models: put in the place of the layers that fairseq has built, and found again."""

from __future__ import annotations

import contextlib
from argparse import Namespace
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from fairseq.models import FairseqMultiModel
from fairseq.models.transformer import TransformerDecoder, TransformerDecoderBase, TransformerEncoderBase
from torch import nn

from ... import state_dict as names
from ...dropping import NOTHING, Dropping, LayerDropStack
from ...rates import Rates
from ..options.config import ModelConfig, as_namespace, get, has
from ..options.declared import STACKS
from ..options.model_options import of
from .sublayers import dropping

Model = TypeVar("Model")


class _EndsWithLastRunning:
    """`num_layers` counts up to the last layer that runs, so that alignments come from that one."""

    __constants__ = ["num_layers"]  # torch.jit.script takes the value
    __jit_unused_properties__ = ["num_layers"]  # and leaves the code

    @property
    def num_layers(self) -> int:
        layers = self.layers  # type: ignore[attr-defined]
        return layers.running_layers[-1] + 1 if isinstance(layers, LayerDropStack) else len(layers)

    @num_layers.setter
    def num_layers(self, value: int) -> None:
        pass  # fairseq sets it as it builds the layers


class LayerDropDecoderBase(_EndsWithLastRunning, TransformerDecoderBase):
    """The decoder of `layerdrop_transformer`."""


class LayerDropDecoder(_EndsWithLastRunning, TransformerDecoder):
    """The decoder of `layerdrop_transformer_lm`."""


DECODERS = {TransformerDecoderBase: LayerDropDecoderBase, TransformerDecoder: LayerDropDecoder}


def with_layerdrop(model: Model, cfg: ModelConfig) -> Model:
    """Let a model that fairseq has built drop what its options ask for, in place, and return it."""
    parts = list(_parts(model))
    options = of(cfg, {stack: len(part.layers) for part, stack in parts})
    for part, stack in parts:
        as_stack(part, stack, dropping(layers_of(part), stack, options))
    return model


def with_stacks(model: Any) -> None:
    """Give a model of fairseq's own architectures, in place, the stacks that can run some of their layers."""
    for part, stack in list(_parts(model)):
        as_stack(part, stack)


def _parts(model: Any) -> Iterator[tuple[Any, str]]:
    """Yield fairseq's transformer encoders and decoders in a model that have no stack of ours yet, with its name."""
    for part in model.modules():
        for kind, stack in ((TransformerEncoderBase, "encoder"), (TransformerDecoderBase, "decoder")):
            if isinstance(part, kind) and not isinstance(part.layers, LayerDropStack):
                yield part, stack


def as_stack(part: Any, stack: str, dropped: Dropping = NOTHING) -> None:
    """Put a `LayerDropStack` in the place of the layers of fairseq's transformer encoder or decoder, in place.

    fairseq's loops over `part.layers` stay: `enumerate` counts layers too that are dropped or do
    not run, so `alignment_layer` does not move, as it does with fairseq's own LayerDropModuleList.
    """
    extra_outputs = 2 if stack == "decoder" else 0  # attention and incremental state
    part.layers = LayerDropStack(layers_of(part), dropped, name=stack, extra_outputs=extra_outputs)
    part.__class__ = DECODERS.get(type(part), type(part))  # fairseq names the class to build itself


def layers_of(part: Any) -> list[nn.Module]:
    """Return the layers of a part; iterating might drop some."""
    return [part.layers[i] for i in range(len(part.layers))]


def stacks_of(model: Any, option: str) -> dict[str, LayerDropStack]:
    """Return a model's stacks by name: the encoder, which runs first, before the decoder.

    Raises:
        ValueError: one line, in which `option` names the model: it has none, or none that could be pruned.
    """
    stacks = {m.name: m for m in model.modules() if isinstance(m, LayerDropStack)}
    depths = names.depths_or_none(dict(model.named_parameters()))
    several = isinstance(model, FairseqMultiModel)  # say, one for each language
    if several or not stacks or {name: len(stack) for name, stack in stacks.items()} != depths:
        raise ValueError(f"`{option}` must be a transformer, language model or RoBERTa, but is {type(model).__name__}.")
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
    rates = {
        f"{stack}_layerdrop": get(options, f"{stack}_layerdrop")
        for stack in STACKS
        if has(options, f"{stack}_layerdrop")
    }
    vars(options).update(dict.fromkeys(rates, 0.0))
    try:
        yield options
    finally:
        vars(options).update(rates)
