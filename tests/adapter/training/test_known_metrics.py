"""A `--best-checkpoint-metric` that no validation gives is one line."""

from __future__ import annotations

from argparse import Namespace
from types import SimpleNamespace

import pytest

from layerdrop_plugin.fairseq_adapter.errors.one_line import UserError
from layerdrop_plugin.fairseq_adapter.training import known_metrics


@pytest.mark.parametrize("metric", ["bleu", "bleu@2+2"])
def test_bleu_needs_its_evaluation_before_the_training(metric):
    cfg, task = Namespace(best_checkpoint_metric=metric), SimpleNamespace(cfg=Namespace(eval_bleu=False))
    with pytest.raises(ValueError) as error:
        known_metrics.check(cfg, task)
    assert str(error.value) == f"`--best-checkpoint-metric` must go with --eval-bleu to be {metric!r}."


@pytest.mark.parametrize("task", [Namespace(eval_bleu=True), Namespace()])
def test_bleu_that_is_or_may_be_computed_is_taken(task):
    known_metrics.check(Namespace(best_checkpoint_metric="bleu"), SimpleNamespace(cfg=task))


def test_one_line_at_the_first_validation(train, tiny, data, tmp_path):
    argv = [data["transformer_lm"], "--arch", "layerdrop_transformer_lm", *tiny["transformer_lm"], "--max-update", 1]
    with pytest.raises(UserError) as error:
        train(*argv, "--best-checkpoint-metric", "los", "--save-dir", tmp_path)
    assert str(error.value) == (
        "`--best-checkpoint-metric` must be one of loss, ppl, but is 'los'; did you mean 'loss'?"
    )


def test_another_missing_key_is_somebody_elses():
    def original(cfg, trainer):
        raise KeyError("los")

    cfg = SimpleNamespace(checkpoint={"best_checkpoint_metric": "loss"})
    with pytest.raises(KeyError):
        known_metrics.validate(original, cfg, SimpleNamespace(layerdrop_stats={"ppl": 1.0}))
