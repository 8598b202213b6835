"""Models, data and options that evaluation refuses, each in one line."""

from __future__ import annotations

import math
import sys

import pytest
import torch
from shared.evaluating import load, message, refuse

from layerdrop_plugin.fairseq_adapter.evaluation import evaluation
from layerdrop_plugin.fairseq_adapter.modeling.stacks import stacks_of


@pytest.fixture(autouse=True)
def no_command_line(monkeypatch):
    """Empty the command line, on which fairseq looks for --user-dir."""
    monkeypatch.setattr(sys, "argv", ["pytest"])


@pytest.mark.parametrize("family", ["transformer", "transformer_lm", "roberta"])
def test_no_data(family, full, data, tmp_path):
    found = message(evaluation.load, str(full[family]), "{}", ["--cpu"], refuse)
    assert found in (
        "`DATA` must be the folder of the data, but is missing.",
        "the following arguments are required: data",
    )
    file = "dict.en.txt" if family == "transformer" else "dict.txt"
    if family != "transformer":
        assert message(load, full[family], tmp_path) == (
            f"`DATA` must hold the task's dictionaries, but {tmp_path}/{file} is missing."
        )


def test_no_dictionary(full, data, classifier, tmp_path):
    for split in ("train", "valid"):
        for language in ("en", "de"):
            for end in ("bin", "idx"):
                name = f"{split}.en-de.{language}.{end}"
                (tmp_path / name).symlink_to(data["transformer"] / name)
    assert message(load, full["transformer"], tmp_path) == (
        f"`DATA` must hold the task's dictionaries, but {tmp_path}/dict.en.txt is missing."
    )
    assert message(load, classifier[1], tmp_path) == (
        f"`DATA` must hold the task's dictionaries, but {tmp_path}/input0/dict.txt is missing."
    )


def test_data_of_another_kind(full, data):
    assert message(load, full["transformer"], data["transformer_lm"]) == (
        "fairseq refuses DATA or an option of the task: Could not infer language pair, please provide it explicitly"
    )


def test_another_dictionary(full, data, tmp_path):
    words = (data["transformer_lm"] / "dict.txt").read_text()
    (tmp_path / "dict.txt").write_text(words + "more 1\n")
    assert message(load, full["transformer_lm"], tmp_path) == (
        f"`DATA` must fit the weights of {full['transformer_lm']}, but: "
        "size mismatch for decoder.embed_tokens.weight: copying a param with shape torch.Size([48, 512]) from "
        "checkpoint, the shape in current model is torch.Size([49, 512])."
    )


def test_a_dictionary_that_is_none(full, tmp_path):
    (tmp_path / "dict.txt").write_text("more 1\nmore 1\n")
    assert message(load, full["transformer_lm"], tmp_path).startswith(
        "fairseq refuses DATA or an option of the task: Duplicate word found when loading Dictionary: 'more'. "
    )


@pytest.mark.parametrize("family", ["transformer", "transformer_lm", "roberta", "classifier"])
@pytest.mark.parametrize("subset", ["nope", "", "valid,test"])
def test_no_such_split(family, subset, full, data, classifier):
    path, folder = (classifier[1], classifier[0]) if family == "classifier" else (full[family], data[family])
    model = load(path, folder)
    assert message(model.batches, subset, option="--report-subset") == (
        f"`--report-subset` must be a split of the data, but {folder} has no {subset!r}."
    )


@pytest.mark.parametrize(
    ("family", "arguments", "said"),
    [
        ("transformer_lm", ["--nonsense", "3"], "unrecognized arguments: --nonsense 3"),
        ("transformer_lm", ["more"], "unrecognized arguments: more"),
        ("transformer", ["--context-window", "8"], "unrecognized arguments: --context-window 8"),
        ("transformer_lm", ["--max-tokens", "x"], "argument --max-tokens: invalid int value: 'x'"),
        (
            "transformer_lm",
            ["--task", "translation"],
            "`--task` must be the checkpoint's, language_modeling, but is 'translation' instead.",
        ),
        ("roberta", ["--max-tokens", "0"], "`--max-tokens` must be at least 1, but is 0 instead."),
        ("roberta", ["--batch-size", "-1"], "`--batch-size` must be at least 1, but is -1 instead."),
        ("roberta", ["--tokens-per-sample", "0"], "`--tokens-per-sample` must be at least 1, but is 0 instead."),
        (
            "roberta",
            ["--required-batch-size-multiple", "0"],
            "`--required-batch-size-multiple` must be at least 1, but is 0 instead.",
        ),
        ("transformer", ["--num-shards", "2"], "`--num-shards` must be left out here, but is 2."),
        (
            "transformer",
            ["--distributed-world-size", "2"],
            "`--distributed-world-size` must be left out here, but is 2.",
        ),
        ("transformer", ["--criterion", "ctc"], "`--criterion` must be left out here, but is 'ctc'."),
        ("transformer", ["--valid-subset", "test"], "`--valid-subset` must be left out here, but is 'test'."),
        ("transformer", ["--bf16"], "`--bf16` must be left out here, but is True."),
        ("transformer", ["--results-path", "x"], "`--results-path` must be left out here, but is 'x'."),
        ("transformer", ["--fp16"], "`--fp16` must go with a GPU, but the model runs on the CPU."),
        (
            "transformer_lm",
            ["--context-window", "32"],
            "`--context-window` must be less than the tokens per sample, 32, but is 32 instead.",
        ),
        (
            "transformer_lm",
            ["--context-window", "-1"],
            "`--context-window` must be less than the tokens per sample, 32, but is -1 instead.",
        ),
    ],
)
def test_options_that_do_not_fit(family, arguments, said, full, data):
    assert message(load, full[family], data[family], *arguments) == said


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("[1]", "`--model-overrides` must be a Python dict, but is '[1]' instead."),
        ("{'a'", "`--model-overrides` must be a Python dict, but is \"{'a'\" instead."),
        ("{'a': exit()}", "`--model-overrides` must be a Python dict, but is \"{'a': exit()}\" instead."),
        (
            "{'decoder_layers_to_keep': '0,9'}",
            "`decoder_layers_to_keep` must name layers from 0 to 3, but has 9 in '0,9'.",
        ),
        (
            "{'encoder_layers_to_keep': '0'}",
            "`encoder_layers_to_keep` must be left out: the model has no encoder (got '0').",
        ),
        (
            "{'decoder_layer_to_keep': '0'}",
            "`--model-overrides` must name options that there are, but has 'decoder_layer_to_keep'; "
            "did you mean 'decoder_layers_to_keep'?",
        ),
        (
            "{'decoder_ffn_embed_dim': 32}",
            "`--model-overrides` must fit {path}, but is \"{'decoder_ffn_embed_dim': 32}\": size mismatch for "
            "decoder.layers.0.fc1.weight: copying a param with shape torch.Size([24, 16]) from checkpoint, "
            "the shape in current model is torch.Size([32, 16]).",
        ),
    ],
)
def test_overrides_that_do_not_fit(given, said, full, data):
    path = full["transformer_lm"]
    assert message(load, path, data["transformer_lm"], overrides=given) == said.replace("{path}", str(path))


@pytest.mark.parametrize(
    ("family", "arguments", "said"),
    [
        (
            "transformer",
            ["--max-tokens", "5"],
            "fairseq refuses the batches of 'valid': Sentences lengths should not exceed max_tokens=5",
        ),
        (
            "transformer_lm",
            ["--tokens-per-sample", "99"],
            "fairseq refuses the batches of 'valid': Size of sample #1 is invalid (=61) since max_positions=32, "
            "skip this example with --skip-invalid-size-inputs-valid-test",
        ),
        (
            "transformer_lm",
            ["--tokens-per-sample", "99", "--skip-invalid-size-inputs-valid-test"],
            "`--gen-subset` must hold data, but 'valid' has none that the model can take.",
        ),
    ],
)
def test_data_that_does_not_fit(family, arguments, said, full, data):
    assert message(load(full[family], data[family], *arguments).batches, "valid") == said


def test_paths_that_are_no_checkpoint(full, data, tmp_path):
    (tmp_path / "text.pt").write_text("no checkpoint")
    path = str(full["transformer_lm"])
    for given, said in {
        f"{path}:{path}": f"`--path` must be one checkpoint, but is '{path}:{path}' instead.",
        "no.pt": "`--path` must be the file of a checkpoint, but no.pt does not exist.",
        str(tmp_path): f"`--path` must be the file of a checkpoint, but {tmp_path} is a folder.",
        f"{tmp_path}/text.pt": f"`--path` must be the file of a checkpoint, but {tmp_path}/text.pt is damaged or no "
        "checkpoint at all.",
    }.items():
        assert message(load, given, data["transformer_lm"]) == said


def test_a_model_of_another_family():
    assert message(stacks_of, torch.nn.LSTM(1, 1), "--path") == (
        "`--path` must be a model with one encoder or decoder of transformer layers, or one of each, but is LSTM."
    )


def test_a_regression(classifier, tmp_path):
    folder, path = classifier
    assert message(load, path, folder, "--regression-target") == (
        "`--path` must be a model that predicts words or classes, but this one's task is regression."
    )


def test_bits_are_not_nats(full, data):
    model = load(full["transformer_lm"], data["transformer_lm"])
    (sample,) = model.batches("valid")
    log = model.criterion(model.model, sample)[2]
    assert model.tally(sample).loss == pytest.approx(float(log["loss"]) / math.log(2), rel=1e-9)
