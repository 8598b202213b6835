"""`layerdrop_transformer`: fairseq's encoder-decoder with LayerDrop, and its architectures."""

from __future__ import annotations

from fairseq.models import register_model

from .architectures import register_architectures
from .encoder_decoder import EncoderDecoder


@register_model("layerdrop_transformer")
class LayerDropTransformerModel(EncoderDecoder):
    """Takes every option of fairseq's `transformer`; see `TransformerModel.from_pretrained` to load."""


register_architectures("transformer")
