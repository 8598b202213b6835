"""--help of fairseq's commands."""

from __future__ import annotations

import re

import pytest
from fairseq import options


@pytest.mark.parametrize("flag", ["--help", "-h"])
@pytest.mark.parametrize(
    ("model", "there", "not_there"),
    [
        (["--arch", "layerdrop_transformer"], ["--encoder-headdrop", "--decoder-layers-to-keep"], []),
        (
            ["--arch", "layerdrop_roberta", "--task", "masked_lm", "data"],
            ["--encoder-headdrop", "--layerdrop-depths"],
            ["--decoder-headdrop"],
        ),
        (["--arch", "layerdrop_transformer_lm", "--task", "language_modeling"], ["--tokens-per-sample"], []),
        ([], ["--max-update"], ["--layerdrop-depths"]),
    ],
)
def test_it_has_the_options_of_the_model_and_the_task(model, there, not_there, flag, in_fairseq_train, capsys):
    with pytest.raises(SystemExit) as end:
        in_fairseq_train(options.parse_args_and_arch, options.get_training_parser(), input_args=[*model, flag])
    shown = capsys.readouterr()
    assert (end.value.code, shown.err) == (0, "")
    flags = set(re.findall(r"^  (--[\w-]+)", shown.out, re.MULTILINE))
    assert flags >= set(there)
    assert not flags & set(not_there)
    assert "Architectures of layerdrop_plugin: layerdrop_bart_base, " in shown.out


def test_what_is_wrong_beside_it_is_said(in_fairseq_train, capsys):
    with pytest.raises(SystemExit) as end:
        in_fairseq_train(options.parse_args_and_arch, options.get_training_parser(), ["--max-update", "x", "--help"])
    line = "fairseq-train: error: argument --max-update: invalid int value: 'x'\n"
    assert (end.value.code, *capsys.readouterr()) == (2, "", line)


@pytest.mark.parametrize(
    ("arch", "task"), [("layerdrop_transformer_lm", "language_modeling"), ("roberta_base", "masked_lm")]
)
def test_a_forgotten_task(arch, task, in_fairseq_train, capsys):
    argv = ["data", "--arch", arch, "--tokens-per-sample", "32"]
    with pytest.raises(SystemExit) as end:
        in_fairseq_train(options.parse_args_and_arch, options.get_training_parser(), argv)
    line = f"fairseq-train: error: `--task` must fit {arch}, say {task}, but is translation, the default.\n"
    assert (end.value.code, *capsys.readouterr()) == (2, "", line)
