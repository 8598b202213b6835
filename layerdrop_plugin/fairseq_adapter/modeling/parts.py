"""The encoders and decoders of fairseq's that have a stack of layers: where it lies, what their loops expect of it."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from fairseq.models.lightconv import LightConvDecoder, LightConvEncoder
from fairseq.models.speech_to_text.convtransformer import ConvTransformerEncoder
from fairseq.models.speech_to_text.s2t_conformer import S2TConformerEncoder
from fairseq.models.speech_to_text.s2t_transformer import S2TTransformerEncoder, TransformerDecoderScriptable
from fairseq.models.transformer import TransformerDecoder, TransformerDecoderBase, TransformerEncoderBase
from fairseq.models.wav2vec import wav2vec2, wav2vec2_asr

from ...dropping import LayerDropStack
from ...unused import mark_used

NO_RESULT = torch.empty(0)
"""What a layer of wav2vec 2.0 that does not run gives in place of its FFN's output; the loop cuts padding off it."""


class Place(NamedTuple):
    """Where a class of fairseq's keeps a stack of layers.

    Attributes:
        layers: the attribute that holds them.
        extra_outputs: what a layer returns besides the hidden state, as `LayerStack` takes it.
    """

    kind: type
    stack: str
    layers: str = "layers"
    extra_outputs: int | tuple[Any, ...] = 0


PLACES = (
    Place(TransformerEncoderBase, "encoder"),
    Place(TransformerDecoderBase, "decoder", extra_outputs=2),  # attention and incremental state
    Place(S2TTransformerEncoder, "encoder", "transformer_layers"),
    Place(ConvTransformerEncoder, "encoder", "transformer_layers"),
    Place(S2TConformerEncoder, "encoder", "conformer_layers", extra_outputs=1),
    Place(wav2vec2.TransformerEncoder, "encoder", extra_outputs=((None, NO_RESULT),)),  # HuBERT's, too
    Place(wav2vec2_asr.TransformerDecoder, "decoder", extra_outputs=2),
    Place(LightConvEncoder, "encoder"),
    Place(LightConvDecoder, "decoder", extra_outputs=1),
)


def place_of(module: Any) -> Place | None:
    """Return where an encoder or decoder of fairseq's keeps its layers, None for any other module."""
    return next((place for place in PLACES if isinstance(module, place.kind)), None)


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


class LayerDropDecoderScriptable(_EndsWithLastRunning, TransformerDecoderScriptable):
    """The decoder of `layerdrop_s2t_transformer`."""


class LayerDropS2TEncoder(S2TTransformerEncoder):
    """The encoder of `layerdrop_s2t_transformer`: while it is frozen, several workers do not wait for its gradients."""

    def forward(self, src_tokens, src_lengths, return_all_hiddens=False):
        """Run fairseq's `forward`."""
        out = super().forward(src_tokens, src_lengths, return_all_hiddens)
        if self.num_updates < self.encoder_freezing_updates:
            out["encoder_out"] = [mark_used(x, self.parameters()) for x in out["encoder_out"]]
        return out


class LayerDropSpeechEncoder(wav2vec2.TransformerEncoder):
    """The encoder of `layerdrop_wav2vec2` and `layerdrop_hubert`."""

    def extract_features(self, *args, **kwargs):
        """Run fairseq's, and return the results of the layers that ran, as fairseq does while it drops layers."""
        x, results = super().extract_features(*args, **kwargs)
        return x, [result for result in results if _has_run(result)]


class LayerDropConformerEncoder(wav2vec2.ConformerEncoder):
    """Their encoder with Conformer layers and relative positions, which leaves the convolution of others unused."""

    def extract_features(self, *args, **kwargs):
        """Do the same; several workers do not wait for what is left unused."""
        x, results = super().extract_features(*args, **kwargs)
        return mark_used(x, self.pos_conv.parameters()), [result for result in results if _has_run(result)]


def _has_run(result: tuple[Any, ...]) -> bool:
    """Tell by the FFN's output, which may lie in a tuple with the attention."""
    last = result[-1]
    while isinstance(last, tuple):
        last = last[-1]
    return bool(last.numel())


CLASSES: dict[type, type] = {
    TransformerDecoderBase: LayerDropDecoderBase,
    TransformerDecoder: LayerDropDecoder,
    TransformerDecoderScriptable: LayerDropDecoderScriptable,
    S2TTransformerEncoder: LayerDropS2TEncoder,
    wav2vec2.TransformerEncoder: LayerDropSpeechEncoder,
    wav2vec2.ConformerEncoder: LayerDropConformerEncoder,
}
"""What a part with a stack of ours becomes; fairseq names the class to build itself."""
