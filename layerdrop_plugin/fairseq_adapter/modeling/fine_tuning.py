"""`layerdrop_wav2vec_ctc` and `layerdrop_hubert_ctc`: fairseq's models that fine-tune a pretrained one, with LayerDrop.

`--layerdrop` is the drop rate of the pretrained encoder, as in fairseq.
"""

from __future__ import annotations

from typing import Any

from fairseq.models import BaseFairseqModel, FairseqEncoder, register_model
from fairseq.models.hubert.hubert_asr import HubertCtc, HubertCtcConfig, HubertEncoder
from fairseq.models.wav2vec.wav2vec2_asr import Wav2Vec2CtcConfig, Wav2VecCtc, Wav2VecEncoder

from ...unused import mark_used
from ..options.config import get
from ..options.declared import OPTIONS, WHOLE, add_options, options_of
from .config_class import config_class
from .stacks import rates_of_0, with_layerdrop

RATE = next(option for option in OPTIONS if option.name == "encoder_layerdrop")._replace(name="layerdrop")
REFUSED = {
    **WHOLE,
    "encoder_layerdrop": "has `--layerdrop` instead",
    "encoder_layerdrop_learned": "learns no rates: the pretrained model does",
}
FIELDS = (RATE, *options_of(("encoder",), REFUSED))


class _AllUsed(FairseqEncoder):
    """Several workers do not wait for an encoder that is frozen, nor for parts of it that only pretraining uses."""

    def forward(self, *args, **kwargs):
        """Run fairseq's `forward`."""
        out = super().forward(*args, **kwargs)
        if self.training:
            used = mark_used(out["encoder_out"], self.parameters())
            if used is not out["encoder_out"]:
                out["encoder_out"] = used.clone()  # the model writes into it
        return out


class LayerDropWav2VecEncoder(_AllUsed, Wav2VecEncoder):
    """The encoder of `layerdrop_wav2vec_ctc`."""


class LayerDropHubertEncoder(_AllUsed, HubertEncoder):
    """The encoder of `layerdrop_hubert_ctc`."""


class FineTuningModel(BaseFairseqModel):
    """Stands before one of fairseq's models among the bases of ours."""

    model_name: str
    encoder: type

    @classmethod
    def add_args(cls, parser):
        """Declare the options of fairseq's model, and ours in the place of those that it has, too."""
        super().add_args(parser)
        add_options(parser, cls.model_name, ("encoder",), REFUSED, (RATE,))

    @classmethod
    def build_model(cls, cfg, task):
        """Let fairseq build the model, then put our stack in the place of the pretrained encoder's layers."""
        with rates_of_0(cfg):
            model = super().build_model(cfg, task)
        model.w2v_encoder.__class__ = cls.encoder  # fairseq names the class to build itself
        return with_layerdrop(model, cfg, anew=True)  # a user's pretrained model may be one of ours


@register_model("layerdrop_wav2vec_ctc", dataclass=config_class(Wav2Vec2CtcConfig, FIELDS))
class LayerDropWav2VecCtc(FineTuningModel, Wav2VecCtc):
    """Takes every option of fairseq's `wav2vec_ctc`."""

    model_name, encoder = "layerdrop_wav2vec_ctc", LayerDropWav2VecEncoder


@register_model("layerdrop_hubert_ctc", dataclass=config_class(HubertCtcConfig, FIELDS))
class LayerDropHubertCtc(FineTuningModel, HubertCtc):
    """Takes every option of fairseq's `hubert_ctc`; its checkpoint does without what only HuBERT's pretraining uses."""

    model_name, encoder = "layerdrop_hubert_ctc", LayerDropHubertEncoder

    @classmethod
    def build_model(cls, cfg, task):
        """Build it without the pretraining's labels, whose dictionaries a fine-tuned checkpoint does not hold."""
        model = super().build_model(cfg, task if get(cfg, "w2v_args") is None else _WithoutLabels(task))
        pretrained = model.w2v_encoder.w2v_model
        if hasattr(pretrained, "label_embs_concat"):
            del pretrained.label_embs_concat
        return model


class _WithoutLabels:
    """A fine-tuning task whose state tells the pretraining's task that it has no dictionaries."""

    def __init__(self, task: Any) -> None:
        self._task = task

    def state_dict(self) -> dict[str, Any]:
        return {**self._task.state_dict(), "dictionaries": [None]}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._task, name)
