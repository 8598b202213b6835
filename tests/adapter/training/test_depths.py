"""Trained depths while fairseq's trainer runs: which forward pass runs which depth."""

from __future__ import annotations

import pytest
import torch

from layerdrop_plugin import depths
from layerdrop_plugin.dropping import LayerDropStack


def test_one_call_of_a_criterion_is_at_one_depth_whatever_it_calls(make_trainer, tiny, data, monkeypatch):
    options = ["--layerdrop-depths", "4=0,3,2,1", "--update-freq", "2"]
    trainer = make_trainer(data["transformer"], "--arch", "layerdrop_transformer", *tiny["transformer"], *options)
    task, drawn, draw = trainer.task, [], depths.draw
    task.load_dataset("train")
    samples = list(trainer.get_train_iterator(1).next_epoch_itr())[:2]

    def forward(model, sample, reduce=True):
        model.encoder(sample["net_input"]["src_tokens"], sample["net_input"]["src_lengths"])
        model(**sample["net_input"])
        return type(trainer.criterion).forward(trainer.criterion, model, sample, reduce)

    monkeypatch.setattr(trainer.criterion, "forward", forward)
    monkeypatch.setattr(depths, "draw", lambda *given, **key: drawn.append(draw(*given, **key)) or drawn[-1])
    for update in range(4):
        trainer.train_step(samples)
        trained = next(m for m in trainer.model.modules() if isinstance(m, LayerDropStack)).dropping.depths
        first, second = (draw(trained, seed=1, update=update, forward_pass=number) for number in range(2))
        assert drawn == [*[first] * 5, *[second] * 5]  # the encoder alone, then twice the encoder and the decoder
        drawn.clear()


@pytest.mark.slow
def test_a_model_that_was_trained_at_depths_can_be_scripted(make_trainer, tiny, data):
    options = ["--layerdrop-depths", "2"]
    trainer = make_trainer(data["transformer"], "--arch", "layerdrop_transformer", *tiny["transformer"], *options)
    trainer.task.load_dataset("train")
    samples = list(trainer.get_train_iterator(1).next_epoch_itr())[:1]
    trainer.train_step(samples)
    model, inputs = trainer.model.eval(), samples[0]["net_input"]
    assert torch.allclose(torch.jit.script(model)(**inputs)[0], model(**inputs)[0], atol=1e-5)
