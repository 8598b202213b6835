"""Put a LayerDrop stack in the place of the layers that fairseq has built."""

from __future__ import annotations

import contextlib
from argparse import Namespace
from collections.abc import Iterator
from typing import Any

from fairseq.models.transformer import TransformerDecoder, TransformerDecoderBase

from ...dropping import LayerDropStack
from ..config import ModelConfig, as_namespace, get, has
from ..options import STACKS


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


def with_layerdrop(part: Any, stack: str) -> Any:
    """Return fairseq's transformer encoder or decoder, the same object, with a `LayerDropStack` of rate 0.

    fairseq's loops over `part.layers` stay: `enumerate` counts layers too that are dropped or do
    not run, so `alignment_layer` does not move, as it does with fairseq's own LayerDropModuleList.
    """
    layers = [part.layers[i] for i in range(len(part.layers))]  # iterating might drop some
    part.layers = LayerDropStack(
        layers,
        name=stack,
        extra_outputs=2 if stack == "decoder" else 0,  # attention and incremental state
    )
    part.__class__ = DECODERS.get(type(part), type(part))  # fairseq names the class to build itself
    return part


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
