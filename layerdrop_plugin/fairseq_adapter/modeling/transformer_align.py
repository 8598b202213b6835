"""`layerdrop_transformer_align`: fairseq's transformer that learns to align, with LayerDrop, and its architectures.

The decoder layer that aligns is never dropped: a model without it has no alignments, so that it can't be pruned away
either.
"""

from __future__ import annotations

from dataclasses import replace

from fairseq.models import register_model
from fairseq.models.transformer_align import TransformerAlignModel

from ... import layer_spec
from ...dropping import LayerDropStack
from ...rates import Rates
from ..errors.one_line import one_line
from .architectures import register_architectures
from .encoder_decoder import RepeatedDecoder

ATTENTION = "encoder_attn.sublayer"
"""The sub-layer whose weights are the alignments."""


@register_model("layerdrop_transformer_align")
class LayerDropTransformerAlignModel(RepeatedDecoder, TransformerAlignModel):
    """Takes every option of fairseq's `transformer_align`.

    Attributes:
        spared: whether the layer that aligns, or its attention, would be dropped, were it any other.
    """

    @classmethod
    def build_model(cls, args, task):
        """Let fairseq build the model, whose class it names itself, then let the layer that aligns always run."""
        built = super().build_model(args, task)
        model = cls(built.encoder, built.decoder, built.args)
        with one_line():
            check_alignment_layer(model.decoder.layers, model.alignment_layer)
        model.spared = never_drop(model.decoder.layers, model.alignment_layer)
        return model


def check_alignment_layer(stack: LayerDropStack, layer: int) -> None:
    """Refuse a layer that the decoder lacks, or that would not run in each forward pass.

    Raises:
        ValueError: one line with the option, the rule and the value.
    """
    if layer not in range(len(stack)):
        raise ValueError(
            f"`--alignment-layer` must be the number of a decoder layer, from 0 to {len(stack) - 1}, but is {layer}."
        )
    if stack.dropping.learned:
        raise ValueError(
            f"`--decoder-layerdrop-learned` must be left out: layer {layer}, the --alignment-layer, is never dropped."
        )
    for depth in stack.dropping.depths:
        if layer not in depth.kept[stack.name]:
            raise ValueError(
                f"`--layerdrop-depths` must keep decoder layer {layer}, the --alignment-layer, at each depth, "
                f"but {depth.name} keeps [{layer_spec.describe(depth.kept[stack.name])}]."
            )


def never_drop(stack: LayerDropStack, layer: int) -> bool:
    """Set the rates of one layer, and of its attention to the encoder, to 0, in place; return whether one was not."""

    def spared(rates: Rates) -> Rates:
        return tuple(0.0 if i == layer else rate for i, rate in enumerate(rates))

    groups = tuple(g._replace(rates=spared(g.rates)) if g.name == ATTENTION else g for g in stack.dropping.groups)
    before = (stack.rates, stack.dropping.groups)
    stack.dropping = replace(stack.dropping, rates=spared(stack.rates), groups=groups)
    return (stack.rates, groups) != before


register_architectures("transformer_align")
