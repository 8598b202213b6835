"""A `--best-checkpoint-metric` that no validation gives: one line, before the training where that is sure."""

from __future__ import annotations

from argparse import Namespace
from types import SimpleNamespace

import pytest
from fairseq.criterions import CRITERION_REGISTRY
from fairseq.tasks import FairseqTask
from fairseq.tasks.language_modeling import LanguageModelingTask
from fairseq.tasks.translation import TranslationTask

from layerdrop_plugin.fairseq_adapter.errors.one_line import UserError
from layerdrop_plugin.fairseq_adapter.options import model_options
from layerdrop_plugin.fairseq_adapter.training import known_metrics


def check(metric, criterion="cross_entropy", task=LanguageModelingTask, eval_bleu=None, disabled=False, **options):
    cfg = Namespace(best_checkpoint_metric=metric, criterion=criterion, disable_validation=disabled, decoder_layers=4)
    vars(cfg).update(options)
    of_task = object.__new__(task)
    of_task.cfg = Namespace(eval_bleu=eval_bleu)
    known_metrics.check(cfg, of_task, model_options.read(cfg))


def refusal(*args, **kwargs):
    with pytest.raises(ValueError) as error:
        check(*args, **kwargs)
    return str(error.value)


SMOOTHED = "label_smoothed_cross_entropy"
DEPTHS = {"layerdrop_depths": "2,1", "layerdrop_validate_depths": True}


@pytest.mark.parametrize(
    ("metric", "options", "message"),
    [
        ("los", {}, "must be one of loss, nll_loss, ppl, but is 'los'; did you mean 'loss'?"),
        ("wer", {}, "must be one of loss, nll_loss, ppl, but is 'wer'."),
        (
            "blue",
            {"criterion": SMOOTHED, "task": TranslationTask, "eval_bleu": True},
            "must be one of accuracy, bleu, loss, n_correct, nll_loss, ppl, total, but is 'blue'; did you mean 'bleu'?",
        ),
        (
            "blue",
            {"criterion": SMOOTHED, "task": TranslationTask, "eval_bleu": False},
            "must be one of accuracy, loss, n_correct, nll_loss, ppl, total, but is 'blue'.",
        ),
        ("bleu", {"task": TranslationTask, "eval_bleu": False}, "must go with --eval-bleu to be 'bleu'."),
        (
            "los@2",
            DEPTHS,
            "must be one of loss, nll_loss, ppl, or one of them at a depth, as in loss@1, but is 'los@2'; did you mean "
            "'loss'?",
        ),
    ],
)
def test_one_line_before_the_training(metric, options, message):
    assert refusal(metric, **options) == f"`--best-checkpoint-metric` {message}"


class LosTask(LanguageModelingTask):
    """A user's task may log what it likes."""


class AfterwardsTask(LanguageModelingTask):
    __module__ = LanguageModelingTask.__module__

    def post_validate(self, model, stats, agg):
        stats["los"] = 1.0


@pytest.mark.parametrize(
    ("metric", "options"),
    [
        ("loss", {}),
        ("ppl", {}),
        ("ppl@2", DEPTHS),
        ("bleu", {"task": TranslationTask, "eval_bleu": True}),
        ("accuracy", {"criterion": SMOOTHED}),
        ("wer", {"criterion": "ctc"}),
        ("wps", {}),
        ("los", {"disabled": True}),
        ("los", {"criterion": "wav2vec"}),  # which makes up names
        ("los", {"criterion": "somebodys"}),
        ("los", {"task": LosTask}),
        ("los", {"task": AfterwardsTask}),
    ],
)
def test_what_there_is_or_may_be_is_taken(metric, options):
    check(metric, **options)


def test_every_criterion_of_fairseqs_logs_a_loss():
    known = {name: known_metrics._logged_by(cls, FairseqTask) for name, cls in CRITERION_REGISTRY.items()}
    found = {name: metrics for name, metrics in known.items() if metrics is not None}
    assert len(found) >= 12
    assert all("loss" in metrics for metrics in found.values())


def test_one_line_at_the_first_validation(train, tiny, data, tmp_path, monkeypatch):
    monkeypatch.setattr(known_metrics, "_logged_by", lambda criterion, task: None)
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
