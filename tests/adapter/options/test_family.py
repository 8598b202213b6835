"""A model's depths, by its configuration, where its family has them."""

from __future__ import annotations

from argparse import Namespace

import pytest
from omegaconf import OmegaConf

from layerdrop_plugin.fairseq_adapter.options.family import depths_of


@pytest.mark.parametrize(
    ("options", "depths"),
    [
        ({"arch": "transformer", "encoder_layers": 6, "decoder_layers": 3}, {"encoder": 6, "decoder": 3}),
        ({"arch": "transformer_lm", "encoder_layers": 6, "decoder_layers": 3}, {"decoder": 3}),
        ({"_name": "roberta_base", "encoder_layers": 6, "decoder_layers": 3}, {"encoder": 6}),
        ({"arch": "fconv", "encoder_layers": 6}, {}),
        ({"arch": "mine", "encoder_layers": "6", "decoder_layers": "[(256, 3)] * 4"}, {"encoder": 6}),
        ({"arch": "mine", "encoder_layers": None, "decoder_layers": -1}, {}),
        ({"encoder_layers": 6}, {"encoder": 6}),
        (
            {"arch": "tts_transformer", "encoder_transformer_layers": 6, "decoder_transformer_layers": 5},
            {"encoder": 6, "decoder": 5},
        ),
        ({"_name": "wav2vec_ctc", "w2v_args": {"model": {"encoder_layers": 12}}, "encoder_layers": 6}, {"encoder": 12}),
        ({"_name": "wav2vec_ctc", "w2v_args": {"encoder_layers": 12}}, {"encoder": 12}),
        ({"_name": "wav2vec_seq2seq", "w2v_args": None, "decoder_layers": 6}, {"decoder": 6}),
    ],
)
def test_depths(options, depths):
    assert depths_of(Namespace(**options)) == depths_of(OmegaConf.create(options)) == depths
