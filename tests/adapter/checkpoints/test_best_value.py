"""The full model's best validation value goes with its layers, in each form of a checkpoint; a run's own one stays."""

from __future__ import annotations

import copy
import math
from argparse import Namespace

import pytest
import torch
from omegaconf import OmegaConf
from shared.trainings import arguments, run  # noqa: F401  fixtures

from layerdrop_plugin.fairseq_adapter.checkpoints import best_value, pruning
from layerdrop_plugin.fairseq_adapter.checkpoints.checkpoint import Checkpoint
from layerdrop_plugin.fairseq_adapter.checkpoints.describe import describe
from layerdrop_plugin.fairseq_adapter.checkpoints.provenance import Pruned
from layerdrop_plugin.fairseq_adapter.checkpoints.write_pruned import prune_checkpoint

MAXIMIZED = {"maximize_best_checkpoint_metric": True}


def scheduled(best, **more):
    return [{"num_updates": 7, "lr_scheduler_state": {"best": best, **more}}]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            {"extra_state": {"best": 2.5, "val_loss": 3.0, "metrics": {"train": []}, "train_iterator": {"epoch": 1}}},
            {"extra_state": {"train_iterator": {"epoch": 1}}},
        ),
        (
            {"cfg": {"checkpoint": {}}, "optimizer_history": scheduled(2.5, last_epoch=4)},
            {"cfg": {"checkpoint": {}}, "optimizer_history": scheduled(math.inf, last_epoch=4)},
        ),
        (
            {"cfg": {"checkpoint": MAXIMIZED}, "optimizer_history": scheduled(81.5)},
            {"cfg": {"checkpoint": MAXIMIZED}, "optimizer_history": scheduled(-math.inf)},
        ),
        (
            {"cfg": OmegaConf.create({"checkpoint": MAXIMIZED}), "optimizer_history": scheduled(81.5)},
            {"cfg": OmegaConf.create({"checkpoint": MAXIMIZED}), "optimizer_history": scheduled(-math.inf)},
        ),
        (
            {"args": Namespace(**MAXIMIZED), "cfg": None, "optimizer_history": scheduled(81.5)},
            {"args": Namespace(**MAXIMIZED), "cfg": None, "optimizer_history": scheduled(-math.inf)},
        ),
        ({"optimizer_history": scheduled(None)}, {"optimizer_history": scheduled(None)}),  # nothing was seen yet
        ({"optimizer_history": [{"best_loss": 2.5}]}, {"optimizer_history": [{"best_loss": math.inf}]}),  # of 2018
        ({"best_loss": 2.5, "val_loss": 3.0, "epoch": 1}, {"best_loss": math.inf, "val_loss": None, "epoch": 1}),
    ],
)
def test_it_is_forgotten_in_each_form(before, after):
    given = copy.deepcopy(before)
    found = best_value.forgotten(Checkpoint.of({"model": {}, **before})).as_state()
    assert found == {"model": {}, **after}
    assert before == given


@pytest.mark.parametrize(("kept", "left"), [((0, 1), {"best": 2.5, "val_loss": 3.0}), ((1,), {})])
def test_it_stays_where_all_layers_are_kept(kept, left):
    weights = {"decoder.layers.0.w": 1, "decoder.layers.1.w": 2}
    state = {"model": weights, "args": Namespace(decoder_layers=2), "extra_state": {"best": 2.5, "val_loss": 3.0}}
    assert pruning.keeping(Checkpoint.of(state), {"decoder": Pruned(2, kept)}).extra_state == left


def test_the_log_begins_anew_with_the_small_model(run, full, tmp_path):
    """Of an epoch that was not over, the checkpoint holds the meters of the full model."""
    options = ["--max-update", 14, "--disable-validation", "--log-interval", 3, "--save-dir"]
    run("transformer", "--restore-file", full["transformer"], *options, tmp_path / "full")
    small = ["--restore-file", tmp_path / "full" / "checkpoint_last.pt", "--encoder-layers-to-keep", "0,2"]
    kept, reset = (
        run("transformer", *small, *more, "--max-update", 15, *options[2:], tmp_path / name)
        for name, more in (("kept", []), ("reset", ["--reset-meters"]))
    )
    assert kept.updates[15]["loss"] == reset.updates[15]["loss"]
    assert kept.epochs[-1]["train_loss"] == reset.epochs[-1]["train_loss"]


@pytest.fixture(scope="module")
def excellent(full, tmp_path_factory):
    """A language model's checkpoint that says of itself what no smaller model will reach: a loss of 0."""
    path = tmp_path_factory.mktemp("excellent") / "full.pt"
    state = torch.load(full["transformer_lm"])
    state["extra_state"].update(best=0.0, val_loss=0.0)
    state["optimizer_history"][-1]["lr_scheduler_state"]["best"] = 0.0
    torch.save(state, path)
    return str(path)


@pytest.mark.slow
@pytest.mark.parametrize("pruned", ["by the run", "--keep-optimizer"])
def test_a_run_that_goes_on_from_a_pruned_model_saves_its_own_best(pruned, excellent, data, tiny, train, tmp_path):
    path, options = excellent, ["--decoder-layers-to-keep", "0,2"]
    if pruned == "--keep-optimizer":
        path, options = str(tmp_path / "small.pt"), ["--decoder-layers", "2"]
        prune_checkpoint(excellent, path, {"decoder": "0,2"}, keep_optimizer=True)
        assert describe(path).best is None
    arguments = [data["transformer_lm"], "--arch", "layerdrop_transformer_lm", *tiny["transformer_lm"], *options]
    arguments += ["--lr-scheduler", "reduce_lr_on_plateau", "--restore-file", path, "--no-last-checkpoints"]
    train(*arguments, "--max-update", 14, "--save-dir", tmp_path / "out")
    best = tmp_path / "out" / "checkpoint_best.pt"
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["checkpoint_best.pt"]
    state = torch.load(best)
    assert state["extra_state"]["best"] == state["extra_state"]["val_loss"] > 1
    assert state["optimizer_history"][-1]["lr_scheduler_state"]["best"] == math.inf  # nothing seen before the save
    assert describe(str(best)).best == state["extra_state"]["best"]


@pytest.mark.slow
def test_a_run_that_is_started_again_keeps_its_own_best(excellent, data, tiny, train, tmp_path):
    arguments = [data["transformer_lm"], "--arch", "layerdrop_transformer_lm", *tiny["transformer_lm"]]
    arguments += ["--decoder-layers-to-keep", "0,2", "--restore-file", excellent, "--save-dir", tmp_path]
    train(*arguments, "--max-update", 13)
    own = tmp_path / "checkpoint_last.pt"
    state = torch.load(own)
    expected = copy.deepcopy(torch.load(tmp_path / "checkpoint_best.pt")["model"])
    state["extra_state"]["best"] = 1.5
    torch.save(state, own)
    train(*arguments, "--max-update", 14)
    assert torch.load(own)["extra_state"]["best"] == 1.5
    kept = torch.load(tmp_path / "checkpoint_best.pt")["model"]
    assert all(torch.equal(kept[name], value) for name, value in expected.items())
