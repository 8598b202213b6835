"""`layerdrop_transformer`: fairseq's encoder-decoder with LayerDrop, and its architectures."""

from __future__ import annotations

from fairseq.models import register_model
from fairseq.models.transformer import TransformerModel

from ..options.declared import add_options
from .architectures import register_architectures
from .stacks import with_layerdrop, without_rates


@register_model("layerdrop_transformer")
class LayerDropTransformerModel(TransformerModel):
    """Takes every option of fairseq's `transformer`; see `TransformerModel.from_pretrained` to load."""

    @classmethod
    def add_args(cls, parser):
        """Declare the options of fairseq's model, and ours in the place of those that it has, too."""
        super().add_args(parser)
        add_options(parser, "layerdrop_transformer", ("encoder", "decoder"))

    @classmethod
    def build_model(cls, args, task):
        """Let fairseq build the model, then put our stacks in the place of its layers."""
        with without_rates(args) as options:
            model = super().build_model(options, task)
        return with_layerdrop(model, args)


register_architectures("transformer")
