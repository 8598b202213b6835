"""`layerdrop_roberta`: fairseq's RoBERTa with LayerDrop, and its architectures."""

from __future__ import annotations

from fairseq.models import register_model
from fairseq.models.roberta import RobertaModel

from ..options.config import take_from_task
from ..options.declared import add_options
from .architectures import register_architectures
from .stacks import with_layerdrop, without_rates


@register_model("layerdrop_roberta")
class LayerDropRobertaModel(RobertaModel):
    """Takes every option of fairseq's `roberta`; see `RobertaModel.from_pretrained` to load."""

    @staticmethod
    def add_args(parser):
        """Declare the options of fairseq's model, and ours in the place of those that it has, too."""
        RobertaModel.add_args(parser)
        add_options(parser, "layerdrop_roberta", ("encoder",))

    @classmethod
    def build_model(cls, args, task):
        """Let fairseq build the model, then put our stacks in the place of its layers."""
        take_from_task(args, task, ("tokens_per_sample",))
        with without_rates(args) as options:
            model = super().build_model(options, task)
        return with_layerdrop(model, args)


register_architectures("roberta")
