"""What is told in one line of errors that nobody foresaw, and what keeps its traceback."""

from __future__ import annotations

import logging
import types

import pytest
import torch
from fairseq.distributed import utils

from layerdrop_plugin.fairseq_adapter.errors import user_errors
from layerdrop_plugin.fairseq_adapter.errors.one_line import UserError
from layerdrop_plugin.fairseq_adapter.errors.user_errors import overriding, told


def raised(code, error=None, **names):
    """The error that a module `somebodys` raises as it runs this code."""
    module = types.ModuleType("somebodys.model")
    vars(module).update(names, error=error)
    with pytest.raises(BaseException) as caught:
        exec(code, vars(module))
    return caught.value


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (AssertionError("--path required!"), "fairseq refuses what it was given: --path required!"),
        (Exception("Dataset is empty. Try more."), "fairseq refuses what it was given: Dataset is empty. Try more."),
        (RuntimeError("no such size. This is a bug.\nframe 0"), "fairseq refuses what it was given: no such size"),
        (KeyError("x"), "fairseq refuses what it was given: KeyError: 'x'"),
        (AssertionError(), "fairseq refuses what it was given: AssertionError: it does not say why"),
        (OSError(28, "No space left on device", "a.pt"), "the system refuses 'a.pt': No space left on device"),
        (OSError(5, "Input/output error"), "the system refuses what it was asked for: Input/output error"),
        (
            FileNotFoundError("Dataset not found: tset (data)"),
            "`DATA` must hold each split that is asked for, but: Dataset not found: tset (data)",
        ),
        (
            RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB."),
            "`--max-tokens` or `--batch-size` must be smaller, or the model: CUDA out of memory",
        ),
        (
            ModuleNotFoundError("No module named 'torchaudio.models'"),  # it is installed, but too old
            "fairseq refuses what it was given: No module named 'torchaudio.models'",
        ),
        (
            ModuleNotFoundError("Caught ModuleNotFoundError in worker 0.\nNo module named 'soundfile'"),
            "the package 'soundfile' must be installed for this, but is missing: pip install soundfile",
        ),
        (BrokenPipeError(32, "Broken pipe"), None),
        (FloatingPointError("gradients are Nan/Inf"), None),
    ],
)
def test_what_is_told(error, text):
    assert told(raised("raise error", error), None) == text


def test_weights_that_do_not_fit_are_told_by_the_first():
    with pytest.raises(RuntimeError) as error:
        torch.nn.Linear(2, 3).load_state_dict({})
    assert told(error.value, None) == (
        'fairseq refuses what it was given: Missing key(s) in state_dict: "weight" and 1 more'
    )


def test_code_of_the_user_s_own_keeps_its_traceback():
    error = raised("raise error", KeyError("x"), __name__="somebodys.model")
    assert told(error, "/home/me/somebodys") is None
    assert told(error, "layerdrop_plugin") == "fairseq refuses what it was given: KeyError: 'x'"


def test_what_fails_after_an_update_keeps_its_traceback_unless_the_system_refuses():
    trainer = types.SimpleNamespace(layerdrop_has_trained=True)
    assert told(raised("raise error", KeyError("x"), trainer=trainer), None) is None
    full = OSError(28, "No space left on device", "a.pt")
    assert told(raised("raise error", full, trainer=trainer), None) == (
        "the system refuses 'a.pt': No space left on device"
    )


@pytest.fixture
def trainer(tmp_path):
    return types.SimpleNamespace(cfg=types.SimpleNamespace(checkpoint=types.SimpleNamespace(save_dir=str(tmp_path))))


@pytest.mark.parametrize(("error", "left"), [(IndexError, []), (FloatingPointError, ["crash.pt"])])
def test_a_first_update_that_fails_leaves_no_crash_pt_but_for_nan(error, left, in_fairseq_train, trainer, tmp_path):
    def update():
        with user_errors.first_update(trainer):
            (tmp_path / "crash.pt").touch()
            raise error

    with pytest.raises(error):
        in_fairseq_train(update)
    assert [path.name for path in tmp_path.iterdir()] == left
    assert not hasattr(trainer, "layerdrop_has_trained")


def test_an_update_is_noted_and_later_ones_keep_their_crash_pt(in_fairseq_train, trainer, tmp_path):
    def later_update():
        with user_errors.first_update(trainer):
            (tmp_path / "crash.pt").touch()
            raise IndexError

    with user_errors.first_update(trainer):
        pass
    assert trainer.layerdrop_has_trained
    with pytest.raises(IndexError):
        in_fairseq_train(later_update)
    assert (tmp_path / "crash.pt").exists()


@pytest.mark.parametrize("overrides", [{"x": 1}, {"path": "a.pt", "cpu": True, "model_overrides": "{'x': 1}"}])
def test_what_overrides_break_names_them(overrides):
    with pytest.raises(ValueError) as error, overriding(overrides, ["a.pt", "b.pt"]):
        raise AssertionError("embed_dim must be divisible by num_heads")
    assert str(error.value) == (
        "`--model-overrides` must fit a.pt, b.pt, but is \"{'x': 1}\": embed_dim must be divisible by num_heads."
    )


@pytest.mark.parametrize(
    ("overrides", "kind"), [({}, KeyError), ({"path": "a.pt", "cpu": True}, KeyError), ({"x": 1}, UserError)]
)
def test_what_they_do_not_break_is_passed_on(overrides, kind):
    with pytest.raises(kind), overriding(overrides, ["a.pt"]):
        raise kind("x")


def test_the_traceback_is_in_the_log_at_level_debug(in_fairseq_train, capsys, caplog):
    with caplog.at_level(logging.DEBUG, user_errors.end.__module__), pytest.raises(SystemExit):
        in_fairseq_train(user_errors.end_command, raised("raise error", KeyError("x")), None)
    assert capsys.readouterr().err == "fairseq-train: error: fairseq refuses what it was given: KeyError: 'x'\n"
    assert [record.levelname for record in caplog.records] == ["DEBUG"]


def test_in_a_program_of_ones_own_all_is_raised_as_it_is(monkeypatch, configure, data, tiny, tmp_path):
    def main(cfg):
        raise KeyError("x")

    monkeypatch.chdir(tmp_path)
    cfg = configure(data["transformer"], "--arch", "layerdrop_transformer", *tiny["transformer"])
    with pytest.raises(KeyError):
        utils.call_main(cfg, main)


@pytest.mark.parametrize(("level", "kind"), [("INFO", ValueError), ("debug", KeyError)])
def test_our_commands_raise_what_they_can_say_in_one_line(level, kind, monkeypatch):
    monkeypatch.setenv("LOGLEVEL", level)
    with pytest.raises(kind), user_errors.value_error_for_all(None):
        raise KeyError("x")
