"""Trainings in the process of the tests: arguments, logs, and what is in the checkpoints."""

from __future__ import annotations

import contextlib
import json
import logging
import re
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

NOTES = Path(__file__).parents[1] / "end_to_end" / "note_workers"


USER = ["--user-dir", "layerdrop_plugin"]


JSON = ["--log-format", "json"]


LEARNED_LM = [
    *("--decoder-layerdrop", "0.4", "--decoder-layerdrop-learned", "--decoder-headdrop", "0.2", "--update-freq", "2"),
    *("--layerdrop-warmup-updates", "2", "--layerdrop-cooldown-updates", "4", "--max-update", "16"),
]


class Log(NamedTuple):
    """What a training says: messages; the data of each update, by the updates done; the data of each epoch."""

    messages: str
    updates: dict
    epochs: list


def log_of(text):
    entries = {
        kind: [json.loads(e) for e in re.findall(rf"\| {kind} \| (\{{.*)", text)] for kind in ("train_inner", "train")
    }
    return Log(text, {int(e["num_updates"]): e for e in entries["train_inner"]}, entries["train"])


def losses(log):
    return {update: (entry["loss"], entry["gnorm"]) for update, entry in log.updates.items()}


@contextlib.contextmanager
def listening():
    """Yield lines as fairseq's commands print them, of what is logged in this context."""
    lines, root, handler = [], logging.getLogger(), logging.Handler()
    handler.emit = lambda record: lines.append(f"| {record.levelname} | {record.name} | {record.getMessage()}")
    level = root.level
    root.setLevel(logging.INFO)
    root.addHandler(handler)
    yield lines
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture(scope="session")
def arguments(tiny, data):
    """A function that gives fairseq-train's arguments for a family."""

    def make(family, *options):
        return list(map(str, [data[family], "--arch", f"layerdrop_{family}", *tiny[family], *JSON, *options]))

    return make


@pytest.fixture(scope="session")
def run(train, arguments):
    """A function that trains in this process, and returns what it logs."""

    def run(family, *options):
        with listening() as lines:
            train(*arguments(family, *options))
        text = "\n".join(lines)
        return log_of(re.sub(r"\| INFO \| (train_inner|train) \|", r"| \1 |", text))

    return run


def state_of(folder):
    return torch.load(folder / "checkpoint_last.pt")


def same(value, other):
    """Whether two parts of checkpoints are the same, to any depth; fairseq never sets `_float_tensor`."""
    if isinstance(value, torch.Tensor):
        return torch.equal(value, other)
    if isinstance(value, dict):
        return list(value) == list(other) and all(
            same(value[k], other[k]) for k in value if not str(k).endswith("_float_tensor")
        )
    return value == other


def assert_same_training(folder, other):
    ours, theirs = state_of(folder), state_of(other)
    for part in ("model", "last_optimizer_state"):
        assert same(ours[part], theirs[part]), part


KEEP = ["--decoder-layers-to-keep", "learned:2"]


def refused(argv, monkeypatch, capfd):
    """What fairseq-train says, in this process, as it ends with status 2 before it reads data."""
    from fairseq_cli import train

    monkeypatch.setattr("sys.argv", ["fairseq-train", *argv])
    with listening() as lines, pytest.raises(SystemExit) as end:
        train.cli_main()
    assert end.value.code == 2
    assert not any("examples from" in line for line in lines)
    written = capfd.readouterr().err.splitlines()
    assert written[-1].startswith("fairseq-train: error: ")
    assert "Traceback" not in written
    return written[-1][len("fairseq-train: error: ") :]
