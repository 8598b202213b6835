"""BART that is trained with --eval-bleu and a beam reads each sentence's own source."""

from __future__ import annotations

import pytest
import torch
from fairseq.models.bart import BARTModel
from fairseq.modules import MultiheadAttention
from shared.text_models import aligned, argv_of, loss_of  # noqa: F401  a fixture

from layerdrop_plugin.fairseq_adapter.compat import beam_in_training

BLEU = ["--eval-bleu", "--eval-bleu-args", '{"beam": 2}']


@pytest.fixture
def loss(make_trainer, tiny, aligned):
    """A function from more options to the first loss of stock's BART without dropout."""

    def run(*options):
        torch.manual_seed(1)
        return loss_of(make_trainer(aligned, *argv_of(tiny, "bart", ""), "--dropout", 0, *options)).item()

    return run


@pytest.mark.slow
def test_the_loss_of_a_training_does_not_depend_on_the_beam_of_its_bleu(loss, monkeypatch):
    expected = loss()
    assert loss(*BLEU) == expected
    monkeypatch.setattr(BARTModel, "set_beam_size", BARTModel.set_beam_size.__wrapped__)
    assert beam_in_training.needed() == "fairseq's BART takes the beam of --eval-bleu for that of its training"
    assert loss(*BLEU) != expected


def test_generation_still_has_its_faster_attention(make_trainer, tiny, aligned):
    model = make_trainer(aligned, *argv_of(tiny, "bart"))._model
    model.set_beam_size(3)
    attentions = [m for m in model.decoder.modules() if isinstance(m, MultiheadAttention) and not m.self_attention]
    assert [attention.beam_size for attention in attentions] == [1] * 4
    model.make_generation_fast_()
    model.set_beam_size(3)
    assert [attention.beam_size for attention in attentions] == [3] * 4
