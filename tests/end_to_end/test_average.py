"""The command `layerdrop-average`, on checkpoints of real training, and what fairseq makes of its result."""

from __future__ import annotations

import os
import re

import pytest
import torch

USER = ["--user-dir", "layerdrop_plugin", "--cpu"]
KEPT = {"encoder": [0, 3], "decoder": [1, 2]}
OVERRIDES = "{'encoder_layers_to_keep': '0,3', 'decoder_layers_to_keep': '1,2'}"


@pytest.fixture(scope="module")
def run(tiny, data, train, tmp_path_factory):
    """The folder of a training run that saved a checkpoint after 5, 10 and 15 updates; by family."""
    folders = {family: tmp_path_factory.mktemp(f"run_{family}") for family in ("transformer", "transformer_lm")}
    for family, folder in folders.items():
        argv = [data[family], "--arch", f"layerdrop_{family}", *tiny[family], "--save-interval-updates", 5]
        train(*argv, "--max-update", 16, "--save-dir", folder)
    return folders


@pytest.fixture(scope="module")
def averaged(run, command, tmp_path_factory):
    """The finished command and the checkpoint that it wrote, by family."""
    found = {}
    for family, folder in run.items():
        output = tmp_path_factory.mktemp("averaged") / "average.pt"
        argv = ["--inputs", folder, "--num-update-checkpoints", 2, "--checkpoint-upper-bound", 14, "--output", output]
        found[family] = command("layerdrop-average", *argv), output
    return found


def last_two(folder):
    """The checkpoints after 10 and after 5 updates."""
    names = sorted((int(name[:-3].split("_")[2]), name) for name in os.listdir(folder) if name.count("_") == 2)
    assert [number for number, _ in names] == [5, 10, 15]
    return [folder / name for _, name in (names[1], names[0])]


def by_hand(folder):
    """The newer of the last two checkpoints, its weights replaced as fairseq's script would."""
    states = [torch.load(path) for path in last_two(folder)]
    older = states[1]["model"]
    for name, weight in states[0]["model"].items():
        assert weight.dtype == torch.float32
        states[0]["model"][name] = (weight + older[name]) / 2
    return states[0]


def same(weights, others):
    """Whether two models hold the same; fairseq never sets `_float_tensor`, whose place alone counts."""
    return list(weights) == list(others) and all(
        torch.equal(weight, others[name]) for name, weight in weights.items() if not name.endswith("_float_tensor")
    )


def hypotheses(process):
    return sorted(line for line in process.stdout.splitlines() if line.startswith("H-"))


@pytest.mark.parametrize("family", ["transformer", "transformer_lm"])
def test_the_mean_bit_for_bit(family, run, averaged):
    process, path = averaged[family]
    newer, older = last_two(run[family])
    assert (process.stdout, process.stderr) == (f"{path}: the average of {newer}, {older}\n", "")
    expected, state = by_hand(run[family]), torch.load(path)
    assert same(state["model"], expected["model"])
    assert not same(state["model"], torch.load(newer)["model"])
    assert set(expected) - set(state) == {"last_optimizer_state"}
    for key in set(state) - {"model"}:
        assert state[key] == expected[key]
    if family == "transformer":
        names = ("encoder.embed_tokens", "decoder.embed_tokens", "decoder.output_projection")
        assert len({state["model"][f"{name}.weight"].data_ptr() for name in names}) == 1
    assert path.stat().st_size < 0.6 * newer.stat().st_size


def test_generate_prunes_it(averaged, run, command, data, cut, tmp_path):
    argv = [data["transformer"], *USER, "--beam", "2", "--max-tokens", "200", "--path"]
    torch.save(by_hand(run["transformer"]), tmp_path / "by_hand.pt")
    small = command("fairseq-generate", *argv, cut(tmp_path / "by_hand.pt", tmp_path / "cut.pt", KEPT))
    pruned = command("fairseq-generate", *argv, averaged["transformer"][1], "--model-overrides", OVERRIDES)
    whole = command("fairseq-generate", *argv, averaged["transformer"][1])
    assert len(hypotheses(whole)) == 24
    assert hypotheses(pruned) == hypotheses(small) != hypotheses(whole)
    line = (
        "Pruning model to specified layer configuration: "
        "encoder keeps layers [0,3] of 4; decoder keeps layers [1,2] of 4"
    )
    assert line in pruned.stdout + pruned.stderr


def test_eval_lm_reads_it(averaged, command, data):
    argv = [data["transformer_lm"], *USER, "--task", "language_modeling", "--path", averaged["transformer_lm"][1]]
    process = command("fairseq-eval-lm", *argv, "--tokens-per-sample", "32", "--sample-break-mode", "none")
    assert re.search(r"Evaluated [1-9]\d* tokens", process.stdout + process.stderr)


@pytest.mark.parametrize(
    "options", [["--finetune-from-model", "{path}"], ["--restore-file", "{path}", "--reset-optimizer"]], ids=" ".join
)
def test_training_starts_from_it(options, averaged, tiny, data, make_trainer, tmp_path):
    from fairseq import checkpoint_utils

    path = averaged["transformer"][1]
    argv = [data["transformer"], "--arch", "layerdrop_transformer", *tiny["transformer"], "--save-dir", tmp_path]
    trainer = make_trainer(*argv, *(option.format(path=path) for option in options))
    checkpoint_utils.load_checkpoint(trainer.cfg.checkpoint, trainer)
    assert same(torch.load(path)["model"], trainer.model.state_dict())
    assert trainer.get_num_updates() == 0


def test_another_training_is_warned_of_and_a_continued_one_is_not(run, train, command, data, tiny, tmp_path):
    first, _ = last_two(run["transformer"])
    argv = [data["transformer"], "--arch", "layerdrop_transformer", *tiny["transformer"], "--max-update", 17]
    train(*argv, "--seed", 7, "--save-dir", tmp_path / "other")
    train(*argv, "--lr", 0.1, "--restore-file", first, "--save-dir", tmp_path / "continued")
    warned = {}
    for name in ("other", "continued"):
        inputs = [first, tmp_path / name / "checkpoint_last.pt"]
        warned[name] = command("layerdrop-average", *inputs, "-o", tmp_path / f"{name}.pt").stderr
    assert warned["continued"] == ""
    assert re.fullmatch(
        r"layerdrop-average: warning: checkpoints to average should be of one training, but `seed` is 1 in \S+ and 7 "
        r"in \S+, and \d more options differ\.\n",
        warned["other"],
    )


def test_a_malicious_checkpoint_does_not_run(run, command, tmp_path):
    class Malicious:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/witness",)

    good, other = last_two(run["transformer"])
    state = torch.load(other)
    state["extra_state"]["surprise"] = Malicious()
    torch.save(state, tmp_path / "bad.pt")
    argv = ["--inputs", good, tmp_path / "bad.pt", "--output", tmp_path / "average.pt"]
    process = command("layerdrop-average", *argv, status=2)
    assert process.stdout == ""
    assert process.stderr.splitlines()[-1] == (
        "layerdrop-average: error: a checkpoint must hold only known objects, "
        f"but {tmp_path}/bad.pt holds posix.system, "
        "which may run code as it is loaded: it was made to do harm, or is no checkpoint."
    )
    assert "Traceback" not in process.stderr
    assert os.listdir(tmp_path) == ["bad.pt"]


def test_models_of_different_depth_are_refused_in_one_line(run, cut, command, tmp_path):
    good, other = last_two(run["transformer"])
    small = cut(other, tmp_path / "small.pt", {"decoder": [0, 1]})
    process = command("layerdrop-average", "--inputs", good, small, "--output", tmp_path / "average.pt", status=2)
    message = process.stderr.splitlines()[-1]
    assert message.startswith("layerdrop-average: error: models to average must have the same weights, but ")
    assert message.endswith(f"but `decoder.layers.2.self_attn.k_proj.weight` is in {good} and not in {small}.")
    assert os.listdir(tmp_path) == ["small.pt"]


def test_a_wrong_variable_is_one_line_too(command, full, tmp_path):
    argv = ["--inputs", full["transformer"], "--output", tmp_path / "average.pt"]
    process = command("layerdrop-average", *argv, status=2, env={"LAYERDROP_ALLOW_GLOBALS": "nothing"}.items())
    assert process.stderr == (
        "layerdrop-average: error: `LAYERDROP_ALLOW_GLOBALS` must name objects as module.name, but has 'nothing'.\n"
    )
