"""What `layerdrop_transformer` and those of fairseq's models that are built on its transformer have in common."""

from __future__ import annotations

import contextlib

from fairseq.models.transformer import TransformerModel

from ...dropping import LayerDropStack
from ..options.config import root_option
from ..options.declared import add_options
from .stacks import with_layerdrop, without_rates


class EncoderDecoder(TransformerModel):
    """Comes before one of fairseq's models among the bases of ours: its options, and LayerDrop in both stacks."""

    taken_from_elsewhere = ()  # type: tuple[tuple[str, str, str], ...]
    """Options that fairseq's model reads as its own, with group and name of what they are in YAML.

    An annotation would be text, with which torch 1.13 can't script the model.
    """

    @classmethod
    def add_args(cls, parser):
        """Declare the options of fairseq's model, and ours in the place of those that it has, too."""
        super().add_args(parser)
        add_options(parser, cls.__name__, ("encoder", "decoder"))

    @classmethod
    def build_model(cls, args, task):
        """Let fairseq build the model, then put our stacks in the place of its layers."""
        with without_rates(args) as options:
            model = super().build_model(options, task)
        for name, *elsewhere in cls.taken_from_elsewhere:
            if not hasattr(model.args, name):
                setattr(model.args, name, root_option(args, *elsewhere))
        return with_layerdrop(model, args)


class RepeatedDecoder(EncoderDecoder):
    """The same for a model that may run its decoder several times in a forward pass, without the same layers."""

    def forward(self, *args, **kwargs):
        """Call fairseq's model; its decoder may have been given other layers."""
        layers = self.decoder.layers
        with layers.one_pass() if isinstance(layers, LayerDropStack) else contextlib.nullcontext():
            return super().forward(*args, **kwargs)
