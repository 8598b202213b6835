"""`layerdrop_bart`: fairseq's BART and mBART with LayerDrop, and their architectures."""

from __future__ import annotations

from fairseq.models import register_model
from fairseq.models.bart import BARTModel

from .architectures import register_architectures
from .encoder_decoder import EncoderDecoder


@register_model("layerdrop_bart")
class LayerDropBARTModel(EncoderDecoder, BARTModel):
    """Takes every option of fairseq's `bart`; see `BARTModel.from_pretrained` to load."""

    taken_from_elsewhere = (("task", "task", "_name"),)


register_architectures("bart")
