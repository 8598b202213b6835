"""A pruned run that is started again, or never read a checkpoint, or reads one of another depth."""

from __future__ import annotations

import logging

import pytest
import torch
from omegaconf import OmegaConf

from layerdrop_plugin.fairseq_adapter.errors.one_line import UserError
from layerdrop_plugin.fairseq_adapter.training import start

ARCH = "layerdrop_wav2vec_ctc"


@pytest.fixture
def arguments(data, tiny, tmp_path):
    return [data["transformer"], "--arch", "layerdrop_transformer", *tiny["transformer"], "--save-dir", tmp_path]


@pytest.mark.slow
def test_a_run_that_keeps_one_stack_whole_goes_on_from_its_own_checkpoint(arguments, full, train, tmp_path, caplog):
    arguments += ["--restore-file", full["transformer"], "--encoder-layers-to-keep", "every_other:4"]
    arguments += ["--decoder-layers-to-keep", "0,2"]
    with caplog.at_level(logging.INFO, logger="layerdrop_plugin"):
        for updates in (13, 14, 15):
            train(*arguments, "--max-update", updates)
    own = tmp_path / "checkpoint_last.pt"
    line = f"{own} is pruned as asked: this run goes on from there, not from {full['transformer']}"
    assert [record.getMessage() for record in caplog.records].count(line) == 2
    assert set(torch.load(own)["layerdrop"]) == {"decoder"}


def test_a_small_model_trained_from_scratch_was_never_pruned(arguments, train, tmp_path):
    train(*arguments, "--decoder-layers-to-keep", "0,2", "--max-update", 1)
    train(*arguments, "--decoder-layers-to-keep", "0,2", "--max-update", 2)
    state = torch.load(tmp_path / "checkpoint_last.pt")
    assert "layerdrop" not in state
    assert state["cfg"]["model"].decoder_layers == 2


@pytest.mark.parametrize(
    ("options", "notes"),
    [
        (["--encoder-headdrop", "0", "--layerdrop-warmup-updates", "6"], ["warmup"]),
        (["--layerdrop-warmup-updates", "6", "--layerdrop-cooldown-updates", "5"], ["warmup", "cooldown"]),
        (["--decoder-layerdrop", "0.1", "--layerdrop-warmup-updates", "6"], []),
        (["--decoder-ffndrop", "0.1", "--layerdrop-cooldown-updates", "5"], []),
        (["--layerdrop-depths", "2", "--layerdrop-cooldown-updates", "5"], []),
        ([], []),
    ],
)
def test_a_schedule_of_nothing_is_noted(options, notes, arguments, make_trainer, caplog):
    """A sweep over rates has it beside a rate of 0, too, so that it is no error."""
    off = ["--encoder-layerdrop", "0", "--decoder-layerdrop", "0"]
    with caplog.at_level(logging.WARNING, logger="layerdrop_plugin"):
        make_trainer(*arguments, *off, *options, "--max-update", 20)
    why = "does nothing, as no drop rate is above 0 and there are no --layerdrop-depths"
    updates = {"warmup": 6, "cooldown": 5}
    expected = [f"--layerdrop-{time}-updates {updates[time]} {why}" for time in notes]
    assert [record.getMessage() for record in caplog.records] == expected


def test_another_depth_is_one_line(arguments, full, make_trainer):
    trainer = make_trainer(*arguments, "--restore-file", full["transformer"], "--encoder-layers", 3)
    with pytest.raises(UserError) as error:
        trainer.load_checkpoint(str(full["transformer"]))
    assert str(error.value) == f"`--encoder-layers` must fit the checkpoint, but is 3, and {full['transformer']} has 4."


def test_another_number_of_heads_is_one_line(arguments, full, make_trainer):
    path = full["transformer"]
    trainer = make_trainer(*arguments, "--restore-file", path, "--decoder-attention-heads", 4)
    with pytest.raises(UserError) as error:
        trainer.load_checkpoint(str(path))
    assert str(error.value) == (
        f"the model must be built as that of {path}, but `--decoder-attention-heads` is 4 instead of 2: "
        "add --decoder-attention-heads 2."
    )


@pytest.mark.parametrize("shared", [True, False])
def test_shared_embeddings_that_part_are_noted(shared, arguments, full, make_trainer, caplog):
    argv = [word for word in arguments if shared or word != "--share-all-embeddings"]
    trainer = make_trainer(*argv, "--finetune-from-model", full["transformer"], "--encoder-layers-to-keep", "0,2")
    with caplog.at_level(logging.WARNING, logger="layerdrop_plugin"):
        trainer.load_checkpoint(str(full["transformer"]), reset_optimizer=True, reset_lr_scheduler=True)
    note = (
        f"weights that are shared in {full['transformer']} are trained apart, as `--share-all-embeddings` is off "
        "instead of on; to share them, add --share-all-embeddings"
    )
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert warnings == ([] if shared else [note])


def test_an_architecture_that_is_not_registered_is_one_line():
    from fairseq import models
    from omegaconf import OmegaConf

    with pytest.raises(UserError) as error:
        models.build_model(OmegaConf.create({"_name": "layerdrop_nope", "decoder_layers": 2}), None)
    assert str(error.value) == (
        "`model._name` must be a registered architecture, but is 'layerdrop_nope' instead; did you mean "
        "'layerdrop_roberta' or 'layerdrop_transformer' or 'layerdrop_xlm'?"
    )


def test_what_validation_needs_is_asked_for_before_a_training(monkeypatch, in_fairseq_train):
    """Fairseq would miss it only as the first epoch ends."""

    def check(found, disabled):
        monkeypatch.setattr(start, "find_spec", {"editdistance": found}.__getitem__)
        groups = {"checkpoint": {"save_dir": "nowhere"}, "criterion": {"_name": "ctc"}}
        cfg = OmegaConf.create({**groups, "dataset": {"disable_validation": disabled}, "model": {"_name": ARCH}})
        in_fairseq_train(start.check, cfg.model, ARCH)

    check(found=True, disabled=False)
    check(found=None, disabled=True)
    with pytest.raises(ValueError) as error:
        check(found=None, disabled=False)
    assert str(error.value) == (
        "`--criterion ctc` must have the package editdistance to validate with, which is missing: "
        "pip install editdistance, or give --disable-validation."
    )
