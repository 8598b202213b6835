"""Evaluation at several depths from one checkpoint: the same results as from a checkpoint cut by hand."""

from __future__ import annotations

import re

import pytest
import torch

BOTH = "{'encoder_layers_to_keep': '0,3', 'decoder_layers_to_keep': [1, 2]}"
KEPT = {"encoder": [0, 3], "decoder": [1, 2]}
LINE = "Pruning model to specified layer configuration: "
USER = ["--user-dir", "layerdrop_plugin", "--cpu"]


def parameters(process):
    """The counts of parameters in a log."""
    log = process.stdout + process.stderr
    return [int(count.replace(",", "")) for count in re.findall(r"num\. model params: ([0-9,]+)", log)]


def size(path):
    """How many parameters a checkpoint has, a shared one once; stock's copies and what is no parameter left out."""
    others = ("in_proj_weight", "in_proj_bias", "out_proj_weight", "out_proj_bias")
    others += ("fc1_weight", "fc1_bias", "fc2_weight", "fc2_bias", "version", "_float_tensor")
    weights = {name: w for name, w in torch.load(path)["model"].items() if not name.endswith(others)}
    return sum({w.data_ptr(): w.numel() for w in weights.values()}.values())


def results(process, letters="HDP"):
    """Hypotheses with their scores, as fairseq prints them."""
    return sorted(line for line in process.stdout.splitlines() if re.match(f"[{letters}]-[0-9]+\t", line))


@pytest.mark.parametrize("trained_by", ["ours", "stock"])
def test_generate(trained_by, command, full, stock_full, data, cut, tmp_path):
    path = full["transformer"] if trained_by == "ours" else stock_full
    by_hand = cut(path, tmp_path / "cut.pt", KEPT)
    argv = [data["transformer"], *USER, "--beam", "2", "--max-tokens", "200", "--path"]
    pruned = command("fairseq-generate", *argv, path, "--model-overrides", BOTH)
    small = command("fairseq-generate", *argv, by_hand)
    whole = command("fairseq-generate", *argv, path)
    assert len(results(pruned, "H")) == 24
    assert results(pruned) == results(small) != results(whole)
    kept = LINE + "encoder keeps layers [0,3] of 4; decoder keeps layers [1,2] of 4"
    assert (pruned.stdout + pruned.stderr).count(kept) == 1
    assert LINE not in whole.stdout + whole.stderr
    assert parameters(pruned)[-1] == size(by_hand) < size(path)


def test_interactive(command, full, data, text, cut, tmp_path):
    argv = [data["transformer"], *USER, "--beam", "2", "--path"]
    words = (text / "test.en").read_text()
    pruned = command("fairseq-interactive", *argv, full["transformer"], "--model-overrides", BOTH, stdin=words)
    small = command("fairseq-interactive", *argv, cut(full["transformer"], tmp_path / "cut.pt", KEPT), stdin=words)
    assert len(results(pruned, "H")) == 24
    assert results(pruned) == results(small)
    assert LINE + "encoder keeps layers [0,3] of 4" in pruned.stdout + pruned.stderr


def test_eval_lm(command, full, data, cut, tmp_path):
    path = full["transformer_lm"]
    argv = [data["transformer_lm"], *USER, "--task", "language_modeling", "--sample-break-mode", "eos", "--path"]
    pruned = command("fairseq-eval-lm", *argv, path, "--model-overrides", "{'decoder_layers_to_keep': 'every_other:2'}")
    by_hand = cut(path, tmp_path / "cut.pt", {"decoder": [0, 2]})
    small, whole = command("fairseq-eval-lm", *argv, by_hand), command("fairseq-eval-lm", *argv, path)
    losses = [loss(process) for process in (pruned, small, whole)]
    assert losses[0] == losses[1] != losses[2]
    assert LINE + "decoder keeps layers [0,2] of 4" in pruned.stdout + pruned.stderr
    assert parameters(pruned)[-1] == size(by_hand)


def loss(process):
    """Loss and perplexity of the last line that has them."""
    return re.findall(
        r"[Ll]oss[^|]*?([0-9.]+)[ ,|].*?(?:ppl|[Pp]erplexity):? ([0-9.]+)", process.stdout + process.stderr
    )[-1]


@pytest.mark.parametrize(
    ("family", "task", "overrides", "kept"),
    [
        ("transformer", "translation", BOTH, KEPT),
        ("roberta", "masked_lm", "{'encoder_layers_to_keep': 'first:3'}", {"encoder": [0, 1, 2]}),
    ],
)
def test_validate(family, task, overrides, kept, command, full, data, cut, tmp_path):
    argv = [data[family], *USER, "--task", task, "--valid-subset", "valid", "--max-tokens", "200", "--path"]
    pruned = command("fairseq-validate", *argv, full[family], "--model-overrides", overrides)
    small = command("fairseq-validate", *argv, cut(full[family], tmp_path / "cut.pt", kept))
    whole = command("fairseq-validate", *argv, full[family])
    losses = [loss(process) for process in (pruned, small, whole)]
    assert losses[0] == losses[1] != losses[2]
    assert LINE in pruned.stdout + pruned.stderr


def test_from_pretrained_in_a_plain_program(command, full, data):
    code = f"""
from fairseq.models.transformer import TransformerModel
hub = TransformerModel.from_pretrained({str(full["transformer"].parent)!r}, "checkpoint_last.pt",
    {str(data["transformer"])!r}, user_dir="layerdrop_plugin", decoder_layers_to_keep="0,2")
print(len(hub.models[0].encoder.layers), len(hub.models[0].decoder.layers), hub.cfg.model.decoder_layers)
"""
    assert command("python", "-W", "ignore", "-c", code).stdout.splitlines()[-1] == "4 2 2"


def test_a_malicious_checkpoint_does_not_run(command, data, full, tmp_path):
    class Malicious:
        def __reduce__(self):
            import os

            return os.system, (f"touch {tmp_path}/witness",)

    state = torch.load(full["transformer"])
    state["extra_state"]["surprise"] = Malicious()
    torch.save(state, tmp_path / "bad.pt")
    process = command("fairseq-generate", data["transformer"], *USER, "--path", tmp_path / "bad.pt", status=2)
    assert process.stderr.splitlines()[-1] == (
        "fairseq-generate: error: a checkpoint must hold only known objects, "
        f"but {tmp_path}/bad.pt holds posix.system, "
        "which may run code as it is loaded: it was made to do harm, or is no checkpoint."
    )
    assert "Traceback" not in process.stdout + process.stderr
    assert not (tmp_path / "witness").exists()
