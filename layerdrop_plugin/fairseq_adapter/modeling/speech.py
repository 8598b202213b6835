"""`layerdrop_wav2vec2` and `layerdrop_hubert`: fairseq's models that learn from audio alone, with LayerDrop.

They have fairseq's dataclasses with our options in them. fairseq-hydra-train reads those, and so do the models that
fine-tune them; there is one architecture of each, so that no sizes of another one could be lost.
"""

from __future__ import annotations

from fairseq.models import BaseFairseqModel, register_model
from fairseq.models.hubert.hubert import HubertConfig, HubertModel
from fairseq.models.wav2vec.wav2vec2 import Wav2Vec2Config, Wav2Vec2Model

from ..options.declared import WHOLE, add_options, options_of
from .config_class import config_class
from .stacks import rates_of_0, with_layerdrop


class SpeechModel(BaseFairseqModel):
    """Stands before one of fairseq's models among the bases of ours."""

    model_name: str

    @classmethod
    def add_args(cls, parser):
        """Declare the options of fairseq's model, and ours in the place of those that it has, too."""
        super().add_args(parser)
        add_options(parser, cls.model_name, ("encoder",), WHOLE)

    @classmethod
    def build_model(cls, cfg, task=None):
        """Let fairseq build the model, then put our stack in the place of its layers."""
        with rates_of_0(cfg):
            model = super().build_model(cfg, task)
        return with_layerdrop(model, cfg)


@register_model("layerdrop_wav2vec2", dataclass=config_class(Wav2Vec2Config, options_of(("encoder",), WHOLE)))
class LayerDropWav2Vec2Model(SpeechModel, Wav2Vec2Model):
    """Takes every option of fairseq's `wav2vec2`."""

    model_name = "layerdrop_wav2vec2"


@register_model("layerdrop_hubert", dataclass=config_class(HubertConfig, options_of(("encoder",), WHOLE)))
class LayerDropHubertModel(SpeechModel, HubertModel):
    """Takes every option of fairseq's `hubert`."""

    model_name = "layerdrop_hubert"
