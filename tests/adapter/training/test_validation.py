"""Validation of each trained depth: names of subsets, the metric that is chosen by, and what is refused."""

from __future__ import annotations

from argparse import Namespace
from types import SimpleNamespace

import pytest
from fairseq.logging import metrics
from omegaconf import OmegaConf
from torch import nn

from layerdrop_plugin import depths
from layerdrop_plugin.dropping import Dropping, LayerDropStack
from layerdrop_plugin.fairseq_adapter.options.model_options import read
from layerdrop_plugin.fairseq_adapter.training import best_metric, validation

TRAINED = depths.parse("2,1", {"decoder": 4})


def trainer(validates=True):
    stack = LayerDropStack([nn.Linear(1, 1) for _ in range(4)], Dropping(depths=TRAINED), "decoder").eval()
    return SimpleNamespace(_model=stack, cfg=cfg("loss", validates))


def cfg(metric, validates=True):
    model = Namespace(layerdrop_validate_depths=validates)
    return SimpleNamespace(model=model, checkpoint=OmegaConf.create({"best_checkpoint_metric": metric}))


def validated(metric, subsets, validates=True):
    """What fairseq's validation sees: the metric; of each subset, its name, whose data it has, and which layers run."""
    one, seen = trainer(validates), []

    def original(cfg, trainer, task, epoch_itr, names):
        for name in names:
            data = validation.get_valid_iterator(lambda trainer, subset: subset, trainer, name)
            seen.append((name, data, trainer._model.running_layers))
        return [cfg.checkpoint.best_checkpoint_metric, *names[1:]]

    with pytest.MonkeyPatch.context() as patch:
        logged = []
        patch.setattr(best_metric, "log", lambda *given: logged.append(given))
        whole = cfg(metric, validates)
        values = validation.validate(original, whole, one, None, None, subsets)
    assert whole.checkpoint.best_checkpoint_metric == metric
    assert one._model.running_layers == (0, 1, 2, 3)
    assert logged == ([(metric, values[0])] if validates else [])
    assert validation.get_valid_iterator(lambda trainer, subset: subset, one, "valid@2") == "valid@2"
    return values[0], seen


ALL, TWO, ONE = (0, 1, 2, 3), (0, 2), (0,)


@pytest.mark.parametrize(
    ("metric", "subsets", "seen"),
    [
        ("loss", ["valid"], [("valid", "valid", ALL), ("valid@2", "valid", TWO), ("valid@1", "valid", ONE)]),
        ("loss@1", ["valid"], [("valid@1", "valid", ONE), ("valid", "valid", ALL), ("valid@2", "valid", TWO)]),
        ("loss@4", ["valid"], [("valid", "valid", ALL), ("valid@2", "valid", TWO), ("valid@1", "valid", ONE)]),
        ("hits@3", ["valid"], [("valid", "valid", ALL), ("valid@2", "valid", TWO), ("valid@1", "valid", ONE)]),
        ("hits@3@1", ["valid"], [("valid@1", "valid", ONE), ("valid", "valid", ALL), ("valid@2", "valid", TWO)]),
        (
            "loss",
            ["test@2"],  # a name of the user's own
            [("test@2", "test@2", ALL), ("test@2@2", "test@2", TWO), ("test@2@1", "test@2", ONE)],
        ),
    ],
)
def test_each_depth_is_a_subset_and_the_metric_is_of_one(metric, subsets, seen):
    without_depth = {"loss@1": "loss", "loss@4": "loss", "hits@3@1": "hits@3"}.get(metric, metric)
    assert validated(metric, subsets) == (without_depth, seen)


def test_a_training_without_it_is_left_alone():
    assert validated("loss@2", ["valid@2"], validates=False) == ("loss@2", [("valid@2", "valid@2", ALL)])


def test_a_name_that_another_subset_has_is_refused():
    with pytest.raises(ValueError) as error:
        validated("loss", ["valid", "valid@2"])
    assert str(error.value) == (
        "`--valid-subset` must have no 'valid@2' with `--layerdrop-validate-depths`, where that is valid at depth 2, "
        "but is 'valid,valid@2'."
    )


@pytest.mark.parametrize(
    ("metric", "validates", "message"),
    [
        ("loss", True, None),
        ("loss@2", True, None),
        ("loss@4", True, None),
        ("hits@1", True, None),
        ("hits@3", True, None),
        ("hits@3@1", True, None),
        ("hits@3", False, None),
        ("loss@3", False, "`--best-checkpoint-metric` must go with `--layerdrop-validate-depths` to be 'loss@3'."),
        ("ppl@2+2", False, "`--best-checkpoint-metric` must go with `--layerdrop-validate-depths` to be 'ppl@2+2'."),
        ("hits@2", False, "`--best-checkpoint-metric` must go with `--layerdrop-validate-depths` to be 'hits@2'."),
        ("ppl@3", True, "`--best-checkpoint-metric` must be ppl, or ppl@ and one of 4, 2, 1, but is 'ppl@3'."),
        ("hits@2+2", True, "`--best-checkpoint-metric` must be hits, or hits@ and one of 4, 2, 1, but is 'hits@2+2'."),
        (
            "hits@first:2",
            True,
            "`--best-checkpoint-metric` must be hits, or hits@ and one of 4, 2, 1, but is 'hits@first:2'.",
        ),
    ],
)
def test_metrics_with_an_at_sign(metric, validates, message):
    model = Namespace(
        decoder_layers=4, layerdrop_depths="2,1", layerdrop_validate_depths=validates, best_checkpoint_metric=metric
    )
    options = read(model)
    if message is None:
        validation.check(model, options, options)
        return
    with pytest.raises(ValueError) as error:
        validation.check(model, options, options)
    assert str(error.value) == message


@pytest.mark.parametrize("metric", ["ppl", "loss@1", "loss"])
def test_a_sweeper_gets_the_value_that_the_checkpoint_is_chosen_by(metric):
    for loss in (2.0, 4.0):  # of two subsets, which fairseq has in one meter
        with metrics.aggregate("valid", new_root=True):
            metrics.log_scalar("loss", loss)
            metrics.log_derived("ppl", lambda meters: 2 ** meters["loss"].avg)
    best_metric.log(metric, 2.5)
    assert metrics.get_smoothed_value("valid", metric) == 2.5
    best_metric.log(metric, 1.5)
    assert metrics.get_smoothed_value("valid", metric) == 1.5
