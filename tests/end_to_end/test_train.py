"""Training through fairseq's commands: with LayerDrop, pruned, from YAML, stopped and resumed."""

from __future__ import annotations

import json
import re

import pytest
import torch

USER = ["--user-dir", "layerdrop_plugin"]
LINE = "Pruning model to specified layer configuration: "
JSON = ["--log-format", "json"]


@pytest.fixture
def argv(tiny, data):
    def arguments(family, arch=None):
        return [data[family], *USER, "--arch", arch or f"layerdrop_{family}", *tiny[family], *JSON]

    return arguments


def losses(process):
    """The loss of each update of a training, by the update's number."""
    found = {}
    for line in process.stdout.splitlines():
        match = re.search(r"\| train_inner \| (\{.*\})", line)
        if match:
            entry = json.loads(match[1])
            found[int(entry["num_updates"])] = (entry["loss"], entry["gnorm"])
    return found


def count(process):
    return int(re.search(r"num\. shared model params: ([0-9,]+)", process.stdout)[1].replace(",", ""))


def depth(path, stack):
    names = torch.load(path)["model"]
    return len({m[1] for m in (re.match(rf"{stack}\.(?:sentence_encoder\.)?layers\.(\d+)\.", n) for n in names) if m})


def stands_on_its_own(path):
    """Loads with no flags, every weight in its place."""
    from fairseq import checkpoint_utils

    model = checkpoint_utils.load_model_ensemble([str(path)])[0][0]
    weights = torch.load(path)["model"]
    for name, value in model.named_parameters():
        assert torch.equal(value, weights[name]), name


@pytest.mark.parametrize("family", ["transformer", "transformer_lm", "roberta"])
def test_masks_and_losses_are_those_of_the_same_command_again(family, command, argv, full, tmp_path):
    """The command's first 12 updates end where those in `full`, run in another process, end."""
    process = command("fairseq-train", *argv(family), "--max-update", 12, "--save-dir", tmp_path)
    assert sorted(losses(process)) == list(range(1, 13))
    theirs, ours = (torch.load(path)["model"] for path in (full[family], tmp_path / "checkpoint_last.pt"))
    assert count(process) > 0
    assert LINE not in process.stdout
    for name, value in ours.items():
        if not name.endswith("_float_tensor"):
            assert torch.equal(value, theirs[name]), name


@pytest.mark.parametrize(
    ("family", "options", "kept", "depths", "repeated"),
    [
        (
            "transformer",
            ["--encoder-layers-to-keep", "1-3", "--decoder-layers-to-keep", "every_other:2"],
            "encoder keeps layers [1,2,3] of 4; decoder keeps layers [0,2] of 4",
            {"encoder": 3, "decoder": 2},
            True,
        ),
        (
            "transformer_lm",
            ["--decoder-layers-to-keep", "last:1"],
            "decoder keeps layers [3] of 4",
            {"decoder": 1},
            False,
        ),
        ("roberta", ["--encoder-layers-to-keep", "0,2"], "encoder keeps layers [0,2] of 4", {"encoder": 2}, True),
    ],
)
def test_pick_up_from_a_pruned_checkpoint(family, options, kept, depths, repeated, command, argv, full, tmp_path):
    """Stopped after two updates and started again, by the same command or without its --restore-file, it goes on."""
    begin = ["fairseq-train", *argv(family), "--save-interval-updates", 2, *options]
    whole = command(*begin, "--restore-file", full[family], "--max-update", 16, "--save-dir", tmp_path / "whole")
    assert whole.stdout.count(LINE + kept + "\n") == 1
    assert "WARNING | layerdrop_plugin" not in whole.stdout + whole.stderr
    command(*begin, "--restore-file", full[family], "--max-update", 14, "--save-dir", tmp_path / "stopped")
    restore = ["--restore-file", full[family]] if repeated else []
    again = command(*begin, *restore, "--max-update", 16, "--save-dir", tmp_path / "stopped")
    assert sorted(losses(whole)) == [13, 14, 15, 16]
    assert sorted(losses(again)) == [15, 16]
    assert {update: losses(whole)[update] for update in (15, 16)} == losses(again)
    paths = [tmp_path / run / "checkpoint_last.pt" for run in ("whole", "stopped")]
    states = [torch.load(path) for path in paths]
    for name, value in states[0]["model"].items():
        if not name.endswith("_float_tensor"):
            assert torch.equal(value, states[1]["model"][name]), name
    for path, state in zip(paths, states):
        for stack, layers in depths.items():
            assert depth(path, stack) == layers == getattr(state["cfg"]["model"], f"{stack}_layers")
            assert getattr(state["cfg"]["model"], f"{stack}_layers_to_keep") is None
            assert state["layerdrop"][stack]["depth"] == 4
            assert len(state["layerdrop"][stack]["kept"]) == layers
        assert set(state["layerdrop"]) == set(depths)
        stands_on_its_own(path)


def test_fine_tuning_started_again_by_the_same_command_is_not_pruned_twice(command, argv, full, tmp_path):
    arguments = [*argv("transformer_lm"), "--finetune-from-model", full["transformer_lm"], "--save-dir", tmp_path]
    arguments += ["--decoder-layers-to-keep", "0,2", "--save-interval-updates", 1]
    first = command("fairseq-train", *arguments, "--max-update", 2)
    second = command("fairseq-train", *arguments, "--max-update", 4)
    assert (sorted(losses(first)), sorted(losses(second))) == ([1, 2], [3, 4])
    path = tmp_path / "checkpoint_last.pt"
    assert depth(path, "decoder") == 2
    entry = {"depth": 4, "kept": [0, 2], "last": {"depth": 4, "kept": [0, 2]}}
    assert torch.load(path)["layerdrop"] == {"decoder": entry}
    third = [*argv("transformer_lm"), "--restore-file", path, "--save-dir", tmp_path / "third"]
    third += ["--decoder-layers", "2", "--decoder-layers-to-keep", "1", "--max-update", 4]
    log = command("fairseq-train", *third)
    assert "`decoder_layers_to_keep` 1 keeps layer 1 of 2: one layer; for one layer, every_other:1\n" in log.stdout
    line = f"`--max-update` counts the updates of {path}, too, which has 4: with 4, the training ends after one more"
    assert log.stdout.count(line) == 1
    assert list(losses(log)) == [5]
    entry = {"depth": 4, "kept": [2], "last": {"depth": 2, "kept": [1]}}
    assert torch.load(tmp_path / "third" / "checkpoint_last.pt")["layerdrop"] == {"decoder": entry}


def test_a_pruned_stock_checkpoint_stands_on_its_own_in_stock_fairseq(command, stock, argv, stock_full, tmp_path):
    arguments = [*argv("transformer", arch="transformer"), "--encoder-layerdrop", 0, "--decoder-layerdrop", 0]
    arguments += ["--encoder-layers-to-keep", "0,3", "--decoder-layers-to-keep", "1", "--restore-file", stock_full]
    process = command("fairseq-train", *arguments, "--max-update", 6, "--save-dir", tmp_path)
    assert LINE + "encoder keeps layers [0,3] of 4; decoder keeps layers [1] of 4" in process.stdout
    path = tmp_path / "checkpoint_last.pt"
    code = """
import torch
from fairseq import checkpoint_utils
model = checkpoint_utils.load_model_ensemble([sys.argv[1]])[0][0].eval()
tokens = torch.tensor([[5, 6, 7, 8, 2], [9, 10, 11, 12, 2]])
torch.save(model(tokens, None, tokens)[0].detach(), sys.argv[2])
print(len(model.encoder.layers), len(model.decoder.layers))
"""
    assert stock(code, path, tmp_path / "out.pt").stdout.splitlines()[-1] == "2 1"
    from fairseq import checkpoint_utils

    model = checkpoint_utils.load_model_ensemble([str(path)])[0][0].eval()
    tokens = torch.tensor([[5, 6, 7, 8, 2], [9, 10, 11, 12, 2]])
    assert torch.allclose(model(tokens, None, tokens)[0], torch.load(tmp_path / "out.pt"), atol=1e-6)


YAML = """
common: {{user_dir: layerdrop_plugin, cpu: true, seed: 1, log_format: json, log_interval: 1}}
checkpoint: {{save_dir: {save}, restore_file: {restore}, no_epoch_checkpoints: true}}
task: {{_name: language_modeling, data: {data}, tokens_per_sample: 32}}
dataset: {{max_tokens: 300, num_workers: 0}}
optimization: {{max_update: {updates}, lr: [0.01]}}
optimizer: {{_name: adam}}
lr_scheduler: {{_name: fixed}}
criterion: {{_name: cross_entropy}}
model:
  _name: layerdrop_transformer_lm
  decoder_layers: 4
  decoder_embed_dim: 16
  decoder_ffn_embed_dim: 24
  decoder_attention_heads: 2
  decoder_layerdrop: 0.3
  {more}
"""


def test_yaml_trains_prunes_and_goes_on(command, data, full, tmp_path):
    save = tmp_path / "save"

    def hydra(restore, updates, more, status=0):
        text = YAML.format(save=save, restore=restore, updates=updates, more=more, data=data["transformer_lm"])
        (tmp_path / "small.yaml").write_text("# @package _group_\n" + text)
        return command(
            "fairseq-hydra-train", "--config-dir", tmp_path, "--config-name", "small", cwd=tmp_path, status=status
        )

    first = hydra(full["transformer_lm"], 14, "decoder_layers_to_keep: '0,2'")
    log = first.stdout + first.stderr
    assert log.count(LINE + "decoder keeps layers [0,2] of 4") == 1
    path = save / "checkpoint_last.pt"
    assert depth(path, "decoder") == 2
    assert torch.load(path)["layerdrop"]["decoder"]["kept"] == [0, 2]
    assert torch.load(path)["cfg"]["model"]["decoder_layers"] == 2
    hydra("checkpoint_last.pt", 15, "decoder_layers_to_keep: '0,2'")
    state = torch.load(path)
    assert state["optimizer_history"][-1]["num_updates"] == 15
    assert depth(path, "decoder") == 2
    refused = hydra("checkpoint_last.pt", 16, "decoder_layers_to_keep: '0,4'", status=2)
    message = "`--decoder-layers-to-keep` must name layers from 0 to 3, but has 4 in '0,4'."
    assert refused.stderr.splitlines()[-1] == f"fairseq-hydra-train: error: {message}"
    assert "Traceback" not in refused.stdout + refused.stderr
