"""Those of fairseq's non-autoregressive models that train without its `libnat`, with LayerDrop."""

from __future__ import annotations

from fairseq.models import register_model
from fairseq.models.nat import (
    CMLMNATransformerModel,
    IterNATransformerModel,
    NACRFTransformerModel,
    NATransformerModel,
)

from .architectures import register_architectures
from .encoder_decoder import RepeatedDecoder


class NonAutoregressive(RepeatedDecoder):
    """What all of them have in common: they pass a criterion's option on to the criterion."""

    taken_from_elsewhere = (("label_smoothing", "criterion", "label_smoothing"),)


@register_model("layerdrop_nonautoregressive_transformer")
class LayerDropNATransformerModel(NonAutoregressive, NATransformerModel):
    """Takes every option of fairseq's `nonautoregressive_transformer`."""


@register_model("layerdrop_cmlm_transformer")
class LayerDropCMLMNATransformerModel(NonAutoregressive, CMLMNATransformerModel):
    """Takes every option of fairseq's `cmlm_transformer`, the mask-predict model."""


@register_model("layerdrop_iterative_nonautoregressive_transformer")
class LayerDropIterNATransformerModel(NonAutoregressive, IterNATransformerModel):
    """Takes every option of fairseq's `iterative_nonautoregressive_transformer`."""


@register_model("layerdrop_nacrf_transformer")
class LayerDropNACRFTransformerModel(NonAutoregressive, NACRFTransformerModel):
    """Takes every option of fairseq's `nacrf_transformer`."""


for name in (
    "nonautoregressive_transformer",
    "cmlm_transformer",
    "iterative_nonautoregressive_transformer",
    "nacrf_transformer",
):
    register_architectures(name)
