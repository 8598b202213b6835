"""What is in --save-dir when a training starts: its own checkpoint, whole or half, or those of another model."""

from __future__ import annotations

import os

import pytest
import torch

from layerdrop_plugin.fairseq_adapter.errors.one_line import UserError
from layerdrop_plugin.fairseq_adapter.training import save_dir


@pytest.fixture
def arguments(tiny, data, full):
    """fairseq-train's arguments for a model that begins as `full`, without layers to keep and the folder."""
    begin = [data["transformer"], "--arch", "layerdrop_transformer", *tiny["transformer"]]
    return [*begin, "--restore-file", full["transformer"], "--max-update", 13]


@pytest.fixture
def pruned(arguments, train, tmp_path):
    """The folder of a training with decoder layers 0 and 2 of 4."""
    train(*arguments, "--decoder-layers-to-keep", "0,2", "--save-dir", tmp_path / "pruned")
    return tmp_path / "pruned"


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("keep", "holds", "ours"),
    [
        (["--decoder-layers-to-keep", "0,3"], "decoder layers [0,2] of 4", "[0,3] of 4"),
        (["--decoder-layers-to-keep", "first:1"], "decoder layers [0,2] of 4", "[0] of 4"),
        (["--encoder-layers-to-keep", "0,2"], "encoder layers [0-3] of 4", "[0,2] of 4"),
        ([], "decoder layers [0,2] of 4", "[0-3] of 4"),
    ],
)
def test_checkpoints_of_other_layers_are_not_replaced(keep, holds, ours, arguments, pruned, train):
    before = contents(pruned)
    with pytest.raises(UserError) as error:
        train(*arguments, *keep, "--save-dir", pruned)
    assert str(error.value) == (
        f"`--save-dir` must be a folder without checkpoints of other layers, but {pruned}/checkpoint_last.pt holds "
        f"{holds}, and this run {ours}."
    )
    assert contents(pruned) == before


@pytest.mark.slow
def test_the_full_model_is_not_replaced(arguments, train, tmp_path):
    train(*arguments, "--save-dir", tmp_path)
    own = tmp_path / "checkpoint_last.pt"
    with pytest.raises(UserError) as error:
        train(*arguments, "--restore-file", own, "--encoder-layers-to-keep", "1-3", "--save-dir", tmp_path)
    assert str(error.value) == (
        f"`--save-dir` must be a folder without checkpoints of other layers, but {own} holds encoder layers [0-3] of 4"
        ", and this run [1,2,3] of 4."
    )
    train(*arguments, "--save-dir", tmp_path)  # as fairseq does


def updates(path):
    return torch.load(path)["optimizer_history"][-1]["num_updates"]


@pytest.mark.parametrize("keep", [["--decoder-layers-to-keep", "0,2"], []])
def test_the_same_layers_go_on(keep, arguments, pruned, train):
    """The same command again; or one that begins with a checkpoint of this run, pruned already."""
    if not keep:
        os.rename(pruned / "checkpoint_best.pt", pruned / "begin.pt")
        arguments = [*arguments, "--restore-file", pruned / "begin.pt", "--decoder-layers", 2]
    train(*arguments, *keep, "--max-update", 15, "--save-dir", pruned)
    assert updates(pruned / "checkpoint_last.pt") == 15


@pytest.mark.slow
def test_half_of_a_pruned_runs_checkpoint(arguments, pruned, train):
    own, best = pruned / "checkpoint_last.pt", pruned / "checkpoint_best.pt"
    content = own.read_bytes()
    own.write_bytes(content[: len(content) // 2])
    argv = [*arguments, "--decoder-layers-to-keep", "0,2", "--max-update", 15, "--save-dir", pruned]
    with pytest.raises(UserError) as error:
        train(*argv)
    assert str(error.value) == (
        f"`--save-dir` must hold a whole checkpoint_last.pt, but {own} is half of one; "
        f"--restore-file {best} goes on from the newest whole one."
    )
    train(*argv, "--reset-optimizer", "--restore-file", best)  # as the command may have begun; not meant now
    history = torch.load(own)["optimizer_history"]
    assert [entry["num_updates"] for entry in history][-1] == 15
    assert len(torch.load(own)["layerdrop"]["decoder"]["kept"]) == 2


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and so on", bytes(1000)], ids=["empty", "half", "zeros"])
def test_what_is_half(content, full, tmp_path):
    folder = str(tmp_path)
    assert save_dir.own_checkpoint(folder, "checkpoint_last.pt") is None
    own = tmp_path / "checkpoint_last.pt"
    own.write_bytes(content)
    for name in ("checkpoint2.pt", "checkpoint_last-shard0.pt", "other.pt"):
        (tmp_path / name).write_bytes(full["roberta"].read_bytes() if name == "other.pt" else content)
    rule = f"`--save-dir` must hold a whole checkpoint_last.pt, but {own} is half of one"
    with pytest.raises(ValueError) as error:
        save_dir.own_checkpoint(folder, "checkpoint_last.pt")
    assert str(error.value) == f"{rule}; remove it to begin anew."
    (tmp_path / "checkpoint1.pt").write_bytes(full["roberta"].read_bytes())
    with pytest.raises(ValueError) as error:
        save_dir.own_checkpoint(folder, "elsewhere.pt")
    assert str(error.value) == f"{rule}; --restore-file {folder}/checkpoint1.pt goes on from the newest whole one."
    for path in (f"{folder}/checkpoint1.pt", os.path.relpath(f"{folder}/checkpoint1.pt")):
        assert save_dir.own_checkpoint(folder, path) == path


def test_what_is_not_half(full, tmp_path):
    own = tmp_path / "checkpoint_last.pt"
    for content in (full["roberta"].read_bytes(), b"no checkpoint"):  # whoever reads it refuses it
        own.write_bytes(content)
        assert save_dir.own_checkpoint(str(tmp_path), "checkpoint_last.pt") == str(own)
