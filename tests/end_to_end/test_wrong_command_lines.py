"""What a user may get wrong on a command line: one line on standard error, exit status 2, and nothing left behind."""

from __future__ import annotations

import importlib
import logging
import re
import shlex
import shutil
import sys

import pytest
import torch
from fairseq.criterions import CRITERION_REGISTRY
from fairseq.models import ARCH_MODEL_REGISTRY
from shared import wrong_command_lines, wrong_overrides

ROWS = [*wrong_command_lines.ROWS, *wrong_overrides.ROWS]

NINES = "9" * 4000
VALUES = {
    "nines": NINES,
    "cut": f"{NINES[:98]}...{NINES[:98]}",  # as a message has it
    "quoted_cut": f"'{NINES[:97]}...{NINES[:97]}'",
    "escapes": "\x1b[2J",
    "not_utf8": "a\udcff.pt",
}


@pytest.fixture(scope="module")
def names(full, data, tmp_path_factory):
    """What stands for each name in braces."""
    folder = tmp_path_factory.mktemp("wrong")
    (folder / "empty_folder").mkdir()
    (folder / "brackets.json").write_text("[" * 100_000)
    shutil.copy(full["transformer_lm"], folder / "checkpoint_last-shard0.pt")
    own = {
        "own_task": {"task": "my_task"},
        "own_arch": {"model": "my_lm"},
        "own_criterion": {"criterion": "my_loss"},
    }
    for name, changes in own.items():
        torch.save(renamed(full["transformer_lm"], changes), folder / f"{name}.pt")
    short = {"translation": "transformer", "lm": "transformer_lm", "roberta": "roberta"}
    return {
        **VALUES,
        **{name: full[family] for name, family in short.items()},
        **{f"{name}_data": data[family] for name, family in short.items()},
        **{name: folder / f"{name}.pt" for name in own},
        "archs": len(ARCH_MODEL_REGISTRY),
        "criterions": len(CRITERION_REGISTRY),
        "empty_folder": folder / "empty_folder",
        "missing": folder / "missing",
        "brackets": folder / "brackets.json",
        "shard": folder / "checkpoint_last-shard0.pt",
    }


def renamed(path, changes):
    """Return a checkpoint of a user's own task, model or criterion."""
    state = torch.load(path)
    for part, name in changes.items():
        options = state["cfg"][part]
        options.update(_name=name) if isinstance(options, dict) else setattr(options, "_name", name)
    return state


def filled(text, names):
    return re.sub(r"\{(\w+)\}", lambda match: str(names.get(match[1], match[0])), text)


def run(command, argv, monkeypatch):
    """Run a command in this process, as its console script does."""
    monkeypatch.setattr(sys, "argv", [command, *argv])
    kind, _, name = command.partition("-")
    if kind == "layerdrop":
        importlib.import_module(f"layerdrop_plugin.cli.{name}").main()
    else:
        importlib.import_module(f"fairseq_cli.{name.replace('-', '_')}").cli_main()


@pytest.mark.parametrize(("command", "argv", "expected"), ROWS, ids=[" ".join(row[:2])[-90:] for row in ROWS])
def test_one_line_and_nothing_left_behind(command, argv, expected, names, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    logs = [logging.NullHandler()]  # those of fairseq write to the streams of other tests
    monkeypatch.setattr(logging.getLogger(), "handlers", logs)
    arguments = [filled(word, names) for word in shlex.split(argv)]
    with pytest.raises(SystemExit) as end:
        run(command, arguments, monkeypatch)
    written = capsys.readouterr()
    errors = re.sub(r"^layerdrop-search: \w+ search on .*\n", "", written.err)  # the estimate of a search that begins
    assert errors == f"{command}: error: {filled(expected, names)}\n"
    assert end.value.code == 2
    assert "Traceback" not in written.out
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def options_of_yaml(names):
    """Those of fairseq-hydra-train for a tiny language model."""
    return {
        "common.user_dir": "layerdrop_plugin",
        "common.cpu": "true",
        "task": "language_modeling",
        "task.data": names["lm_data"],
        "task.tokens_per_sample": 32,
        "criterion": "cross_entropy",
        "optimizer": "adam",
        "lr_scheduler": "fixed",
        "optimization.lr": "[0.01]",
        "optimization.max_update": 1,
        "dataset.max_tokens": 300,
        "dataset.num_workers": 0,
        "hydra.run.dir": "hydra",
        "+model._name": "layerdrop_transformer_lm",
        "+model.decoder_layers": 2,
        "+model.decoder_embed_dim": 16,
    }


def test_yaml_too(options_of_yaml, names, tmp_path, command):
    """fairseq-hydra-train reads the user dir when it is at work; in a process of its own, as it changes the folder."""
    argv = [f"{name}={value}" for name, value in {**options_of_yaml, "dataset.valid_subset": "nosuch"}.items()]
    done = command("fairseq-hydra-train", *argv, status=2, cwd=tmp_path)
    assert done.stderr.splitlines()[-1] == (  # after a line of fairseq's log
        "fairseq-hydra-train: error: `DATA` must hold each split that is asked for, but: Dataset not found: nosuch "
        f"({names['lm_data']}/nosuch)"
    )
    assert "Traceback" not in done.stdout + done.stderr
    assert not list(tmp_path.rglob("*checkpoint*"))


def test_a_bad_job_of_a_multirun(options_of_yaml, tmp_path, command):
    argv = [f"{name}={value}" for name, value in {**options_of_yaml, "+model.decoder_layerdrop": "0.1,x"}.items()]
    done = command("fairseq-hydra-train", "--multirun", *argv, status=2, cwd=tmp_path)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("fairseq-hydra-train: error: `--decoder-layerdrop` must be a rate P with 0 <= P < 1 as in")
    assert last.endswith("but is 'x' instead.")
    assert "Traceback" not in done.stdout + done.stderr
    saved = [path.relative_to(tmp_path).parts[3] for path in tmp_path.glob("multirun/*/*/*/checkpoints/*_last.pt")]
    assert saved == ["0"]  # the good job's
