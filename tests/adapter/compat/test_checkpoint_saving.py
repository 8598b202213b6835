"""A disk that is full while a checkpoint is saved: one line, nothing half, the file from before stays."""

from __future__ import annotations

import errno
import resource
import shutil

import pytest
import torch
from fairseq import checkpoint_utils
from fairseq.file_io import PathManager

from layerdrop_plugin.fairseq_adapter.compat import ACTIVE

FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def full_disk(monkeypatch):
    """A disk on which a few bytes have room."""

    def save(obj, file, *args, **kwargs):
        file.write(b"half")
        raise FULL

    def copyfile(source, target, *args, **kwargs):
        with open(target, "wb") as file:
            save(None, file)

    monkeypatch.setattr(torch, "save", save)
    monkeypatch.setattr(shutil, "copyfile", copyfile)


def save(path):
    checkpoint_utils.torch_persistent_save({"model": {}}, str(path))


def copy(path):
    PathManager.copy(__file__, str(path), overwrite=True)


def test_it_is_needed_here():
    assert ACTIVE["checkpoint_saving"] == "fairseq leaves half a checkpoint when the disk is full"


@pytest.mark.parametrize("write", [save, copy])
def test_a_command_ends_with_one_line(write, full_disk, in_fairseq_train, tmp_path, capsys, caplog):
    path = tmp_path / "checkpoint_best.pt"
    path.write_text("from before")
    with pytest.raises(SystemExit) as end:
        in_fairseq_train(write, path)
    line = f"`--save-dir` must have room for checkpoints, but {path} can't be written: No space left on device."
    assert (end.value.code, capsys.readouterr().err) == (2, f"fairseq-train: error: {line}\n")
    assert "Traceback" not in caplog.text
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint_best.pt"]
    assert path.read_text() == "from before"


def test_torch_lives_through_a_write_that_fails(in_fairseq_train, tmp_path, capsys):
    """With torch 1.13, it aborted the process; newer ones end with an error of their own."""
    path = tmp_path / "checkpoint1.pt"
    state = {"model": {"w": torch.zeros(100_000)}}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))  # bytes in a file
    try:
        with pytest.raises(SystemExit) as end:
            in_fairseq_train(checkpoint_utils.torch_persistent_save, state, str(path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    line = f"`--save-dir` must have room for checkpoints, but {path} can't be written: File too large."
    assert (end.value.code, capsys.readouterr().err) == (2, f"fairseq-train: error: {line}\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("write", [save, copy])
def test_a_program_gets_the_error_itself(write, full_disk, tmp_path):
    with pytest.raises(OSError) as error:
        write(tmp_path / "checkpoint_best.pt")
    assert error.value is FULL
    assert list(tmp_path.iterdir()) == []


def test_what_has_room_is_saved_and_copied(tmp_path):
    save(tmp_path / "a.pt")
    assert PathManager.copy(str(tmp_path / "a.pt"), str(tmp_path / "b.pt"), overwrite=True)
    assert torch.load(tmp_path / "b.pt") == {"model": {}}
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.pt", "b.pt"]
