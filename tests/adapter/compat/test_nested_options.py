"""A Namespace in a Namespace of options, as fine-tuned speech models had them before 2021, becomes a configuration."""

from __future__ import annotations

import inspect
from argparse import Namespace

import hydra
import pytest
from fairseq.dataclass import utils

from layerdrop_plugin.fairseq_adapter.compat import nested_options

INNER = Namespace(arch="wav2vec2", task="audio_pretraining", data="there", encoder_layers=3, seed=7)
OUTER = Namespace(arch="wav2vec_ctc", task="audio_finetuning", data="here", w2v_args=INNER, blank_weight=2.0, seed=5)


def test_the_options_of_the_model_inside():
    cfg = utils.convert_namespace_to_omegaconf(OUTER)
    inner = cfg.model.w2v_args
    assert (cfg.common.seed, cfg.task.data, cfg.model.blank_weight) == (5, "here", 2.0)
    assert (inner.common.seed, inner.task.data, inner.model._name, inner.model.encoder_layers) == (
        *(7, "there"),
        *("wav2vec2", 3),
    )


@pytest.mark.skipif(hydra.__version__ < "1.1", reason="hydra 1.0 takes options without a sign")
def test_hydra_needs_the_sign(monkeypatch):
    assert nested_options.needed() is not None
    monkeypatch.setattr(utils, "_override_attr", inspect.unwrap(utils._override_attr))
    with pytest.raises(Exception, match=r"Could not override 'model\.w2v_args\."):
        utils.convert_namespace_to_omegaconf(OUTER)
