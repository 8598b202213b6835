"""Console scripts as processes of their own, and that the other tests see the same in forks of a server.

tests/end_to_end/test_pass.py runs more of them so.
"""

from __future__ import annotations

import re

import pytest
import torch

OURS = ["average", "describe", "export", "prune", "search", "sweep"]
ONLY_IN_A_PROCESS = re.compile(r"Please install tensorboardX|^DEBUG:hydra\.core\.utils:")
"""Said while fairseq is imported, which the server did before; the second with fairseq-fixed."""


@pytest.mark.parametrize("name", OURS)
def test_help_of_ours(name, command):
    done = command(f"layerdrop-{name}", "--help", real=True)
    assert done.stdout.startswith(f"usage: layerdrop-{name} ")
    assert "examples:\n" in done.stdout
    assert done.stderr == ""
    assert command(f"layerdrop-{name}", "--help").stdout == done.stdout


def shape(text):
    """The lines without numbers, which are times, speeds and sizes."""
    return [re.sub(r"[-+.:,/0-9]+", "#", line) for line in text.splitlines() if not ONLY_IN_A_PROCESS.search(line)]


def test_a_training_is_bit_equal_to_that_in_a_fork(command, tiny, data, tmp_path):
    argv = [data["transformer"], "--user-dir", "layerdrop_plugin", "--arch", "layerdrop_transformer"]
    argv += [*tiny["transformer"], "--max-update", 5, "--tensorboard-logdir", tmp_path / "board", "--save-dir", "save"]
    process = command("fairseq-train", *argv, cwd=new(tmp_path / "1"), real=True)
    fork = command("fairseq-train", *argv, cwd=new(tmp_path / "2"))
    assert shape(process.stdout) == shape(fork.stdout)
    assert len(shape(fork.stdout)) > 20
    assert shape(process.stderr) == shape(fork.stderr)
    paths = [tmp_path / name / "save/checkpoint_last.pt" for name in "12"]
    ours, theirs = (torch.load(path, weights_only=False) for path in paths)
    weights = [without_junk(state["model"]) for state in (ours, theirs)]
    optimizer = [state["last_optimizer_state"]["state"] for state in (ours, theirs)]
    for expected, found in (weights, optimizer):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


def without_junk(weights):
    """The weights but for what fairseq never sets."""
    return {name: value for name, value in weights.items() if not name.endswith("_float_tensor")}


def new(folder):
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("name", "family", "options"),
    [
        ("fairseq-generate", "transformer", ["--beam", 2]),
        ("fairseq-eval-lm", "transformer_lm", ["--tokens-per-sample", 32]),
        ("fairseq-validate", "transformer", ["--task", "translation", "--max-tokens", 300]),
    ],
)
def test_what_is_written_where_is_that_of_a_fork(name, family, options, command, data, full):
    """The log of fairseq goes to standard output or to standard error, depending on what was imported first."""
    argv = [data[family], "--user-dir", "layerdrop_plugin", "--cpu", "--path", full[family], *options]
    process, fork = command(name, *argv, real=True), command(name, *argv)
    assert shape(process.stdout) == shape(fork.stdout)
    assert shape(process.stderr) == shape(fork.stderr)
    assert len(shape(fork.stdout)) + len(shape(fork.stderr)) > 3
