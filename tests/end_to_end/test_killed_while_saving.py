"""A training that is killed while it saves leaves whole checkpoints, and the same command goes on from them."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest
import torch

KILL = Path(__file__).with_name("kill_while_saving")


@pytest.fixture(scope="module")
def arguments(tiny, data):
    """fairseq-train's arguments, without the folder for checkpoints: four updates, a checkpoint after each."""
    begin = [data["transformer_lm"], "--user-dir", KILL, "--arch", "layerdrop_transformer_lm", *tiny["transformer_lm"]]
    return [*begin, "--max-update", 4, "--save-interval-updates", 1, "--keep-interval-updates", 2, "--save-dir"]


@pytest.fixture(scope="module")
def uninterrupted(arguments, command, tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    command("fairseq-train", *arguments, folder)
    return weights(folder / "checkpoint_last.pt")


def weights(path):
    state = torch.load(path)
    assert state["optimizer_history"][-1]["num_updates"] == 4
    return {name: value for name, value in state["model"].items() if not name.endswith("_float_tensor")}


def updates(folder):
    """How many updates each checkpoint has, by name; which is the best is of no matter."""
    found = {path.name: torch.load(path) for path in folder.glob("checkpoint*.pt")}
    assert found.pop("checkpoint_best.pt")
    return {name: state["optimizer_history"][-1]["num_updates"] for name, state in found.items()}


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_killed_within_a_checkpoint(arguments, command, uninterrupted, tmp_path):
    command(
        "fairseq-train", *arguments, tmp_path, "--store-ema", status=-signal.SIGKILL, env={"KILL": "checkpoint_1_3.pt"}
    )
    assert updates(tmp_path) == {"checkpoint_1_1.pt": 1, "checkpoint_1_2.pt": 2, "checkpoint_last.pt": 2}
    command("fairseq-train", *arguments, tmp_path, "--store-ema")
    assert_equal(weights(tmp_path / "checkpoint_last.pt"), uninterrupted)
    assert list(tmp_path.glob("*.tmp")) == []


@pytest.fixture
def half(arguments, command, tmp_path):
    """The folder of a training that another program killed within a checkpoint: half of the last one is there."""
    command("fairseq-train", *arguments, tmp_path, status=-signal.SIGKILL, env={"KILL": "checkpoint_1_4.pt"})
    assert updates(tmp_path) == {"checkpoint_1_2.pt": 2, "checkpoint_1_3.pt": 3, "checkpoint_last.pt": 3}
    (tmp_path / "checkpoint_1_3.pt").touch()
    for name in ("checkpoint_last.pt", "checkpoint_best.pt"):
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
    return tmp_path


def refused(process):
    (line,) = [line for line in process.stderr.splitlines() if "error" in line]
    return line


def test_half_a_checkpoint_from_before(half, arguments, command, uninterrupted):
    again = command("fairseq-train", *arguments, half, status=2)
    assert refused(again) == (
        f"fairseq-train: error: `--save-dir` must hold a whole checkpoint_last.pt, but {half}/checkpoint_last.pt is "
        f"half of one; --restore-file {half}/checkpoint_1_3.pt goes on from the newest whole one."
    )
    going_on = command("fairseq-train", *arguments, half, *re.findall("(--restore-file) (.*?) goes", refused(again))[0])
    assert f"Loaded checkpoint {half}/checkpoint_1_3.pt (epoch 1 @ 3 updates)" in going_on.stdout + going_on.stderr
    assert_equal(weights(half / "checkpoint_last.pt"), uninterrupted)


def test_no_checkpoint_that_is_whole(half, arguments, command):
    for path in half.glob("checkpoint_1_*.pt"):
        path.write_bytes(b"")
    again = command("fairseq-train", *arguments, half, status=2)
    assert refused(again) == (
        f"fairseq-train: error: `--save-dir` must hold a whole checkpoint_last.pt, but {half}/checkpoint_last.pt is "
        "half of one; remove it to begin anew."
    )
