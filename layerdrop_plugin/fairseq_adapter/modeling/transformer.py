"""`layerdrop_transformer`: fairseq's encoder-decoder with LayerDrop, and its architectures."""

from __future__ import annotations

from fairseq.models import register_model
from fairseq.models.transformer import TransformerModel

from ..options import add_options
from .architectures import register_architectures
from .stacks import with_layerdrop, without_rates
from .sublayers import configure


@register_model("layerdrop_transformer")
class LayerDropTransformerModel(TransformerModel):
    """Takes every option of fairseq's `transformer`; see `TransformerModel.from_pretrained` to load."""

    def __init__(self, args, encoder, decoder):
        super().__init__(args, with_layerdrop(encoder, "encoder"), with_layerdrop(decoder, "decoder"))

    @classmethod
    def add_args(cls, parser):
        super().add_args(parser)
        add_options(parser, "layerdrop_transformer", ("encoder", "decoder"))

    @classmethod
    def build_model(cls, args, task):
        with without_rates(args) as options:
            model = super().build_model(options, task)
        return configure(model, args)


register_architectures("transformer")
