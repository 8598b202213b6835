"""A forgotten --user-dir is said in one line by fairseq's commands, and only where it is what is missing."""

from __future__ import annotations

import argparse
import pickle
import sys

import pytest
from fairseq import checkpoint_utils, options
from fairseq.distributed import utils

from layerdrop_plugin.fairseq_adapter.compat import ACTIVE, missing_user_dir
from layerdrop_plugin.fairseq_adapter.hooks import PATCHES

ADD = "add --user-dir layerdrop_plugin"


@pytest.fixture
def without_plugin(monkeypatch):
    monkeypatch.delitem(sys.modules, missing_user_dir.PLUGIN)


def ended(capsys, call, *args, **kwargs):
    with pytest.raises(SystemExit) as end:
        call(*args, **kwargs)
    return end.value.code, capsys.readouterr().err


def test_the_patches_are_in_place():
    assert "missing_user_dir" in ACTIVE
    for owner, name in (
        (options, "parse_args_and_arch"),
        (checkpoint_utils, "load_checkpoint_to_cpu"),
        (checkpoint_utils, "load_model_ensemble_and_task"),
        (utils, "call_main"),
    ):
        assert f"compat.missing_user_dir._{name}" in getattr(getattr(owner, name), PATCHES)


def parser():
    parser = argparse.ArgumentParser("fairseq-train")
    parser.add_argument("--arch", choices=["transformer"])
    return parser


def parse(parser, argv):
    return missing_user_dir._parse_args_and_arch(lambda parser: parser.parse_args(argv), parser)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--arch", "layerdrop_transformer"], "argument --arch: invalid choice: 'layerdrop_transformer'"),
        (["--layerdrop-depths", "3+3"], "unrecognized arguments: --layerdrop-depths 3+3"),
        (["--encoder-headdrop", "0.2"], "unrecognized arguments: --encoder-headdrop 0.2"),
    ],
)
def test_the_command_line(argv, said, without_plugin, in_fairseq_train, capsys):
    line = f"fairseq-train: error: {said}; {ADD}.\n"
    assert ended(capsys, in_fairseq_train, parse, parser(), argv) == (2, line)


@pytest.mark.parametrize("argv", [["--arch", "transfomer"], ["--decoder-layer", "5"]])
def test_other_errors_are_fairseqs(argv, without_plugin, in_fairseq_train, capsys):
    plain = ended(capsys, in_fairseq_train, lambda: parser().parse_args(argv))
    assert ended(capsys, in_fairseq_train, parse, parser(), argv) == plain
    own = parser()
    assert in_fairseq_train(parse, own, []).arch is None
    assert "error" not in vars(own)


def test_with_the_plugin_nothing_is_added(in_fairseq_train, capsys):
    code, said = ended(capsys, in_fairseq_train, parse, parser(), ["--layerdrop-depths", "3+3"])
    assert (code, said.splitlines()[-1]) == (2, "fairseq-train: error: unrecognized arguments: --layerdrop-depths 3+3")


def fail(error):
    def function(*args):
        raise error

    return function


def test_a_checkpoint_that_torch_refuses(without_plugin, in_fairseq_train, capsys):
    load = missing_user_dir._load_checkpoint_to_cpu
    refusal = pickle.UnpicklingError("Weights only load failed. ...")
    line = f"fairseq-train: error: torch refuses to read a.pt; {ADD}, which reads checkpoints of fairseq.\n"
    assert ended(capsys, in_fairseq_train, load, fail(refusal), "a.pt") == (2, line)
    with pytest.raises(pickle.UnpicklingError):  # in a program
        load(fail(refusal), "a.pt")


@pytest.mark.parametrize("function", ["_load_model_ensemble_and_task", "_call_main"])
def test_a_model_of_ours(function, without_plugin, in_fairseq_train, capsys):
    build = getattr(missing_user_dir, function)
    unknown = AssertionError("Could not infer model type from {'_name': 'layerdrop_transformer'}. ...")
    line = f"fairseq-train: error: fairseq does not know layerdrop_transformer; {ADD}.\n"
    assert ended(capsys, in_fairseq_train, build, fail(unknown), None) == (2, line)
    with pytest.raises(AssertionError, match="another"):
        in_fairseq_train(build, fail(AssertionError("another")), None)


@pytest.mark.parametrize("model", [("layerdrop_transformer", None), (None, "layerdrop_transformer")])
def test_a_model_that_fairseq_fails_to_name(model, without_plugin, in_fairseq_train, capsys):
    cfg = argparse.Namespace(model=argparse.Namespace(_name=model[0], arch=model[1]))
    line = f"fairseq-train: error: fairseq does not know layerdrop_transformer; {ADD}.\n"
    assert ended(capsys, in_fairseq_train, missing_user_dir._call_main, fail(KeyError("_name")), cfg) == (2, line)
