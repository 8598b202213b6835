"""Which command runs: who called decides, not the name of the script."""

from __future__ import annotations

import subprocess
import sys

import pytest

from layerdrop_plugin.fairseq_adapter.errors.running_command import COMMAND, running_command

PROGRAM = """
import layerdrop_plugin
from fairseq import checkpoint_utils
from fairseq.models import MODEL_REGISTRY

print("layerdrop_roberta" in MODEL_REGISTRY)
try:
    checkpoint_utils.load_model_ensemble(["no.pt"])
except ValueError as error:
    print(type(error).__name__, error)
"""


def called_by(path, function):
    names = {"running_command": running_command}
    exec(compile(f"def {function}():\n    return running_command()", path, "exec"), names)
    return names[function]()


@pytest.mark.parametrize(
    ("path", "function", "name"),
    [
        ("/venv/site-packages/fairseq_cli/train.py", "cli_main", "fairseq-train"),
        ("/venv/site-packages/fairseq_cli/eval_lm.py", "cli_main", "fairseq-eval-lm"),
        ("/venv/site-packages/fairseq_cli/hydra_train.py", "hydra_main", "fairseq-hydra-train"),
        ("/venv/site-packages/fairseq_cli/train.py", "main", None),  # a program calls it, too
        ("/home/me/fairseq-notebook.py", "cli_main", None),
        ("/home/me/fairseq-notebook.py", "main", None),
        ("/home/me/cli/search.py", "main", None),
    ],
)
def test_the_functions_of_commands(path, function, name):
    assert called_by(path, function) == name


def test_nobody():
    assert running_command() is None


@pytest.mark.parametrize("command", [None, "fairseq-train"])
def test_a_worker_goes_by_the_command_that_started_it(command, monkeypatch):
    monkeypatch.delenv(COMMAND, raising=False)
    if command is not None:
        monkeypatch.setenv(COMMAND, command)
    assert called_by("/venv/site-packages/fairseq/distributed/utils.py", "distributed_main") == command
    assert called_by("/home/me/utils.py", "distributed_main") is None


def test_a_command_of_ours():
    from layerdrop_plugin.cli import prune

    assert called_by(prune.__file__, "main") == "layerdrop-prune"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["layerdrop-eval.py", "fairseq-notebook.py", "fairseq_cli/notebook.py"])
def test_a_program_of_any_name_gets_the_models_and_exceptions(name, tmp_path):
    script = tmp_path / name
    script.parent.mkdir(exist_ok=True)
    script.write_text(PROGRAM)
    done = subprocess.run([sys.executable, "-W", "ignore", script], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout.splitlines()) == (
        0,
        ["True", "UserError `--path` must be the file of a checkpoint, but no.pt does not exist."],
    )
