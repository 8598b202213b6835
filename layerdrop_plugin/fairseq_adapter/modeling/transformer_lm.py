"""`layerdrop_transformer_lm`: fairseq's language model with LayerDrop, and its architectures."""

from __future__ import annotations

from fairseq.dataclass.utils import gen_parser_from_dataclass
from fairseq.models import register_model
from fairseq.models.transformer_lm import TransformerLanguageModel, TransformerLanguageModelConfig

from ..options.config import take_from_task
from ..options.declared import add_options
from .architectures import register_architectures
from .stacks import with_layerdrop, without_rates


# Registered without the dataclass of fairseq's own: with one, `_name: layerdrop_transformer_lm_wiki103`
# in YAML would get the dataclass's sizes in silence, the architecture's function never being asked.
@register_model("layerdrop_transformer_lm")
class LayerDropTransformerLanguageModel(TransformerLanguageModel):
    """Takes every option of fairseq's `transformer_lm`; see its `from_pretrained` to load."""

    @classmethod
    def add_args(cls, parser):
        """Declare the options of fairseq's model, and ours in the place of those that it has, too."""
        gen_parser_from_dataclass(parser, TransformerLanguageModelConfig(), delete_default=True)
        add_options(parser, "layerdrop_transformer_lm", ("decoder",))

    @classmethod
    def build_model(cls, args, task):
        """Let fairseq build the model, then put our stacks in the place of its layers."""
        take_from_task(args, task, ("tokens_per_sample", "max_target_positions"))
        with without_rates(args) as options:
            model = super().build_model(options, task)
        return with_layerdrop(model, args)


def _set_dataclass_defaults(args):
    """Set what the architecture left open, as fairseq does for a model with a dataclass."""
    for name, field in TransformerLanguageModelConfig.__dataclass_fields__.items():
        interpolation = isinstance(field.default, str) and field.default.startswith("${")
        if not name.startswith("_") and not interpolation and not hasattr(args, name):
            setattr(args, name, field.default)


register_architectures("transformer_lm", afterwards=_set_dataclass_defaults)
