"""Put a LayerDrop stack in the place of the layers that fairseq has built."""

from __future__ import annotations

import contextlib
from argparse import Namespace
from collections.abc import Iterator
from typing import Any, TypeVar

from fairseq.models.transformer import TransformerDecoder, TransformerDecoderBase
from torch import nn

from ...dropping import NOTHING, Dropping, LayerDropStack
from ..config import ModelConfig, as_namespace, get, has
from ..model_options import ModelOptions
from ..options import STACKS
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


def with_layerdrop(model: Model, options: ModelOptions, **parts: Any) -> Model:
    """Let a model drop what its options ask for, in place, and return it.

    Args:
        parts: fairseq's transformer encoder and decoder, by the names of their stacks.
    """
    for stack, part in parts.items():
        as_stack(part, stack, dropping(layers_of(part), stack, options))
    return model


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
