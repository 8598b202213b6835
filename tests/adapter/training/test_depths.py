"""Trained depths while fairseq's trainer runs: which forward pass runs which depth."""

from __future__ import annotations

from layerdrop_plugin import depths
from layerdrop_plugin.dropping import LayerDropStack


def test_both_stacks_run_one_depth_also_where_a_criterion_calls_the_encoder_alone(
    make_trainer, tiny, data, monkeypatch
):
    options = ["--layerdrop-depths", "4=0,3,2,1", "--update-freq", "2"]
    trainer = make_trainer(data["transformer"], "--arch", "layerdrop_transformer", *tiny["transformer"], *options)
    task, drawn, draw = trainer.task, [], depths.draw
    task.load_dataset("train")
    samples = list(trainer.get_train_iterator(1).next_epoch_itr())[:2]

    def forward(model, sample, reduce=True):
        model.encoder(sample["net_input"]["src_tokens"], sample["net_input"]["src_lengths"])
        return type(trainer.criterion).forward(trainer.criterion, model, sample, reduce)

    monkeypatch.setattr(trainer.criterion, "forward", forward)
    monkeypatch.setattr(depths, "draw", lambda *given, **key: drawn.append(draw(*given, **key)) or drawn[-1])
    for update in range(4):
        trainer.train_step(samples)
        trained = next(m for m in trainer.model.modules() if isinstance(m, LayerDropStack)).dropping.depths
        first, second = (draw(trained, seed=1, update=update, forward_pass=number) for number in range(2))
        # The encoder alone, the encoder and the decoder; between samples, the encoder alone is at the depth before.
        assert drawn == [first, first, first, first, second, second]
        drawn.clear()
