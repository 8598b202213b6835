"""`layerdrop_s2t_transformer` and its relatives: fairseq's speech translation and recognition with LayerDrop."""

from __future__ import annotations

from fairseq.models import FairseqEncoderDecoderModel, register_model
from fairseq.models.speech_to_text.convtransformer import ConvTransformerModel
from fairseq.models.speech_to_text.s2t_conformer import S2TConformerModel
from fairseq.models.speech_to_text.s2t_transformer import S2TTransformerModel

from ..options.declared import NONE, WHOLE, add_options
from .architectures import register_architectures
from .stacks import with_layerdrop, without_rates


class SpeechToText(FairseqEncoderDecoderModel):
    """Stands before one of fairseq's models among the bases of ours."""

    model_name: str
    refused = NONE

    @classmethod
    def add_args(cls, parser):
        """Declare the options of fairseq's model, and ours in the place of those that it has, too."""
        super().add_args(parser)
        add_options(parser, cls.model_name, ("encoder", "decoder"), cls.refused)

    @classmethod
    def build_model(cls, args, task):
        """Let fairseq build the model, then put our stacks in the place of its layers."""
        with without_rates(args) as options:
            model = super().build_model(options, task)
        return with_layerdrop(model, args)


@register_model("layerdrop_s2t_transformer")
class LayerDropS2TTransformerModel(SpeechToText, S2TTransformerModel):
    """Takes every option of fairseq's `s2t_transformer`; see its `from_pretrained` to load."""

    model_name = "layerdrop_s2t_transformer"


@register_model("layerdrop_s2t_conformer")
class LayerDropS2TConformerModel(SpeechToText, S2TConformerModel):
    """Takes every option of fairseq's `s2t_conformer`; its encoder drops layers as a whole only."""

    model_name = "layerdrop_s2t_conformer"
    refused = {name: why for name, why in WHOLE.items() if name.startswith("encoder_")}


@register_model("layerdrop_convtransformer")
class LayerDropConvTransformerModel(SpeechToText, ConvTransformerModel):
    """Takes every option of fairseq's `convtransformer`."""

    model_name = "layerdrop_convtransformer"


for name in ("s2t_transformer", "s2t_conformer", "convtransformer"):
    register_architectures(name)
