"""Trainings at several depths: what runs, and what is logged, saved, pruned, validated and refused."""

from __future__ import annotations

import json
import re
import signal

import pytest
import torch
from shared.trainings import (  # noqa: F401  fixtures
    NOTES,
    USER,
    arguments,
    assert_same_training,
    listening,
    losses,
    refused,
    run,
    state_of,
)

from layerdrop_plugin import depths
from layerdrop_plugin.masks import dropped_groups

LM = ["--layerdrop-depths", "2,1", "--decoder-layerdrop", "0", "--max-update", "12"]
LOG = {
    "transformer": {
        "4+4": "depth 4+4 is trained in 0.4 of the forward passes: encoder layers [0,1,2,3]; decoder layers [0,1,2,3]",
        "3+1": "depth 3+1 is trained in 0.3 of the forward passes: encoder layers [0,1,2]; decoder layers [0]",
        "2+2": "depth 2+2 is trained in 0.3 of the forward passes: encoder layers [0,2]; decoder layers [0,2]",
    },
    "roberta": {
        "4": "depth 4 is trained in 0.5 of the forward passes: encoder layers [0,1,2,3]",
        "last:2": "depth last:2 is trained in 0.5 of the forward passes: encoder layers [2,3]",
    },
}
SPECS = {"transformer": "3+1,2", "roberta": "4,last:2"}


@pytest.fixture(scope="module")
def trained_lm(run, tmp_path_factory):
    """The log and the folder of a language model that was trained at depths 4, 2 and 1, and validated at each."""
    folder = tmp_path_factory.mktemp("depths_lm")
    more = ["--layerdrop-validate-depths", "--best-checkpoint-metric", "loss@1"]
    return run("transformer_lm", *LM, *more, "--save-dir", folder), folder


@pytest.mark.parametrize("family", list(SPECS))
def test_the_log_says_what_each_depth_runs(family, run, tmp_path):
    log = run(family, "--layerdrop-depths", SPECS[family], "--max-update", 3, "--save-dir", tmp_path)
    lines = re.findall(r"depth \S+ is trained in .*", log.messages)
    assert lines == list(LOG[family].values())


def test_the_mean_depth_stands_beside_the_loss(trained_lm):
    log, _ = trained_lm
    trained = depths.parse("2,1", {"decoder": 4})
    drawn = [len(depths.draw(trained, seed=1, update=u, forward_pass=0).kept["decoder"]) for u in range(12)]
    assert [float(log.updates[u + 1]["layerdrop_depth_dec"]) for u in range(12)] == drawn
    assert set(drawn) == {4, 2, 1}


def test_with_a_rate_it_is_that_of_the_layers_that_ran(run, tmp_path):
    options = [*LM, "--decoder-layerdrop", "0.5", "--max-update", 8, "--save-dir", tmp_path]
    log = run("transformer_lm", *options)
    trained = depths.parse("2,1", {"decoder": 4})
    ran = []
    for u in range(8):
        key = {"seed": 1, "update": u, "forward_pass": 0}
        depth = depths.draw(trained, **key)
        full = 4 - sum(dropped_groups((0.5,) * 4, **key, name="decoder"))
        ran.append(full if depth.name == "4" else len(depth.kept["decoder"]))
    assert [float(log.updates[u + 1]["layerdrop_depth_dec"]) for u in range(8)] == ran
    assert 3 in ran
    line = "layers are dropped at their rates in forward passes at full depth; layerdrop_depth_dec: how many ran"
    assert line in log.messages


def test_full_depth_only_is_training_without_the_option_bit_for_bit(run, tmp_path):
    plain = ["--decoder-layerdrop", "0.4", "--max-update", "8"]
    folders = [tmp_path / "without", tmp_path / "with"]
    logs = [
        run("transformer_lm", *plain, *more, "--save-dir", folder)
        for folder, more in zip(folders, ([], ["--layerdrop-depths", "4=1,2=0"]))
    ]
    assert losses(logs[0]) == losses(logs[1])
    assert_same_training(*folders)
    shown = [{key for key in log.updates[1] if key.startswith("layerdrop")} for log in logs]
    assert shown == [{"layerdrop_dec", "layerdrop_dec_rate"}, {"layerdrop_depth_dec"}]


def test_killed_and_continued_it_ends_as_if_it_were_not(trained_lm, arguments, run, command, tmp_path):
    options = [*LM, "--save-interval-updates", 3, "--save-dir", tmp_path]
    argv = arguments("transformer_lm", *options, "--user-dir", NOTES)
    command("fairseq-train", *argv, env={"KILL": "worker 0, update 10"}, status=-signal.SIGKILL)
    again = run("transformer_lm", *options)
    log, folder = trained_lm
    assert losses(again) == {update: loss for update, loss in losses(log).items() if update > 9}
    assert_same_training(tmp_path, folder)


def test_each_depth_is_validated_as_the_pruned_model_is(trained_lm, data, command):
    log, folder = trained_lm
    shown = dict(re.findall(r"\| INFO \| (valid\S*) \| (\{.*)", log.messages))
    assert list(shown) == ["valid@1", "valid", "valid@2"]  # that which the best checkpoint is chosen by goes first
    for name, keep in (("valid@1", 1), ("valid@2", 2), ("valid", 4)):
        overrides = f"{{'decoder_layers_to_keep': 'every_other:{keep}'}}"
        argv = [data["transformer_lm"], *USER, "--task", "language_modeling", "--path", folder / "checkpoint_last.pt"]
        validated = command("fairseq-validate", *argv, "--model-overrides", overrides, "--batch-size", 4, "--cpu")
        loss = float(re.search(r"\| valid \| .*?loss ([0-9.]+)", validated.stdout + validated.stderr)[1])
        assert float(json.loads(shown[name])[f"{name}_loss"]) == pytest.approx(loss, abs=0.002)


def test_the_best_checkpoint_is_chosen_by_one_depth(trained_lm):
    log, folder = trained_lm
    shown = re.findall(r"\| INFO \| valid@1 \| (\{.*)", log.messages)
    best = min(float(json.loads(entry)["valid@1_loss"]) for entry in shown)
    state = state_of(folder)
    assert state["extra_state"]["best"] == pytest.approx(best, abs=0.0006)
    assert state["cfg"]["checkpoint"]["best_checkpoint_metric"] == "loss@1"


def test_the_best_checkpoints_of_a_depth_are_kept_and_others_deleted(run, tmp_path):
    from fairseq import checkpoint_utils
    from fairseq.logging import metrics

    options = ["--layerdrop-depths", "3+1", "--layerdrop-validate-depths", "--best-checkpoint-metric", "loss@3+1"]
    saving = ["--keep-best-checkpoints", 1, "--save-interval-updates", 2, "--max-update", 8, "--save-dir", tmp_path]
    log = run("transformer", *options, *saving)
    values = [float(json.loads(v)["valid@3+1_loss"]) for v in re.findall(r"INFO \| valid@3\+1 \| (\{.*)", log.messages)]
    assert len(set(values)) >= 4
    (kept,) = tmp_path.glob("checkpoint.best_*")
    assert re.fullmatch(rf"checkpoint\.best_loss@3-1_{min(values):.3f}0\.pt", kept.name)
    assert checkpoint_utils.save_checkpoint.best == state_of(tmp_path)["extra_state"]["best"] == min(values)
    assert state_of(tmp_path)["cfg"]["checkpoint"]["best_checkpoint_metric"] == "loss@3+1"
    assert metrics.get_smoothed_value("valid", "loss@3+1") == values[-1]


def test_pruning_says_once_that_a_depth_was_not_trained(trained_lm, load_model):
    _, folder = trained_lm
    path = folder / "checkpoint_last.pt"
    said = {}
    for kept in ("every_other:2", "every_other:3"):
        with listening() as lines:
            _, cfg = load_model(path, decoder_layers_to_keep=kept)
        said[kept] = [line for line in lines if "none of the depths" in line]
        said[f"{kept} left"] = cfg.layerdrop_depths
    assert said == {
        "every_other:2": [],
        "every_other:2 left": "1=0.3",
        "every_other:3": [
            f"| WARNING | layerdrop_plugin.fairseq_adapter.checkpoints.at_load | {path}: "
            "the layers that are kept are none of the depths that were trained, 4, 2, 1"
        ],
        "every_other:3 left": "3=0,1=1",
    }


def test_a_pruned_model_trains_on_at_the_depths_that_are_left(trained_lm, run, tmp_path):
    _, folder = trained_lm
    options = ["--decoder-layers-to-keep", "every_other:2", "--restore-file", folder / "checkpoint_last.pt"]
    more = ["--layerdrop-depths", "2,1", "--max-update", 16, "--save-dir", tmp_path]
    log = run("transformer_lm", *options, *more, "--reset-dataloader", "--layerdrop-validate-depths")
    assert re.findall(r"depth \S+ is trained in .*", log.messages) == [
        "depth 2 is trained in 0.7 of the forward passes: decoder layers [0,1]",
        "depth 1 is trained in 0.3 of the forward passes: decoder layers [0]",
    ]
    assert re.findall(r"\| INFO \| (valid\S*) \|", log.messages) == ["valid", "valid@1"]
    assert state_of(tmp_path)["cfg"]["model"].layerdrop_depths == "2=0.7,1=0.3"
    assert not [line for line in log.messages.splitlines() if "not trained, as" in line or "none of the" in line]


def test_depths_that_pruning_loses_are_named_once(trained_lm, run, tmp_path):
    path = trained_lm[1] / "checkpoint_last.pt"
    options = ["--decoder-layers-to-keep", "first:3", "--restore-file", path, "--reset-dataloader"]
    log = run("transformer_lm", *options, "--layerdrop-depths", "2,1", "--max-update", 13, "--save-dir", tmp_path)
    assert [line.split(" | ")[-1] for line in log.messages.splitlines() if "WARNING" in line and "trained" in line] == [
        "not trained, as pruning leaves decoder layers [0,1,2]: 2 of --layerdrop-depths",
        f"{path}: the layers that are kept are none of the depths that were trained, 4, 2, 1",
    ]
    assert state_of(tmp_path)["cfg"]["model"].layerdrop_depths == "3=0.7,1=0.3"


def test_layers_that_no_depth_has_are_named(run, tmp_path):
    log = run("transformer_lm", "--layerdrop-depths", "4=0,2", "--max-update", 1, "--save-dir", tmp_path)
    assert re.findall(r"depth \S+ is trained in .*|not trained, .*", log.messages) == [
        "depth 2 is trained in 1 of the forward passes: decoder layers [0,2]",
        "not trained, as no depth of --layerdrop-depths has them: decoder layers [1,3]",
    ]


def test_shares_are_those_between_warm_up_and_cool_down(run, tmp_path):
    options = ["--layerdrop-depths", "4=0,2", "--layerdrop-warmup-updates", 2, "--max-update", 2]
    log = run("transformer_lm", *options, "--save-dir", tmp_path)
    when = "of the forward passes, between warm-up and cool-down"
    assert re.findall(r"depth \S+ is trained in .*|not trained, .*", log.messages) == [
        f"depth 4 is trained in 0 {when}: decoder layers [0,1,2,3]",
        f"depth 2 is trained in 1 {when}: decoder layers [0,2]",
    ]


def test_a_loaded_model_trains_all_layers_also_where_pruning_kept_what_was_not_trained(trained_lm, load_model, tokens):
    model, cfg = load_model(trained_lm[1] / "checkpoint_last.pt", decoder_layers_to_keep="first:3")
    assert cfg.layerdrop_depths == "3=0,1=1"
    stack, ran = model.train().decoder.layers, set()
    for update in range(20):
        stack.set_num_updates(update)
        model(tokens)
        ran.add(round(len(stack) * (1 - stack.take_share())))
    assert ran == {3, 1}


def test_a_file_that_is_pruned_to_what_was_not_trained_says_so_again(trained_lm, capsys, tmp_path):
    from layerdrop_plugin.cli import describe, prune

    before, warning = trained_lm[1] / "checkpoint_last.pt", "none of the depths that were trained, "
    for name, trained in (("once.pt", "4, 2, 1"), ("twice.pt", "1")):
        prune.main([str(before), "--output", str(tmp_path / name), "--decoder", "first:3"])
        assert warning + trained + "\n" in capsys.readouterr().err
        before = tmp_path / name
        describe.main([str(before)])
        assert "  trained at    1 (1)\n" in capsys.readouterr().out


def test_a_sweep_leaves_out_a_trained_depth_of_other_layers(trained_lm, data, capsys, tmp_path):
    from layerdrop_plugin.cli import sweep

    state, path, rows = state_of(trained_lm[1]), tmp_path / "last.pt", tmp_path / "rows.json"
    state["cfg"]["model"].layerdrop_depths = "last:2,1"
    torch.save(state, path)
    sweep.main([str(data["transformer_lm"]), "--path", str(path), "--cpu", "--json", str(rows)])
    line = "the trained depth last:2 is left out: its decoder layers are 2,3, not every_other:2"
    assert f"layerdrop-sweep: warning: {line}\n" in capsys.readouterr().err
    assert [row["depth"] for row in json.loads(rows.read_text())["rows"]] == ["4", "1"]


def test_a_list_that_is_none_is_an_error_of_the_file(trained_lm, error_of, tmp_path):
    from layerdrop_plugin.cli import describe

    state, path = state_of(trained_lm[1]), tmp_path / "wrong.pt"
    state["cfg"]["model"].layerdrop_depths = "5"
    torch.save(state, path)
    assert error_of(describe.main, str(path)) == (
        f"{path}: `layerdrop_depths` must keep 1 to 4 decoder layers, but has '5' in '5'."
    )


def test_describe_and_sweep_take_the_depths_that_were_trained(trained_lm, data, capsys, tmp_path):
    from layerdrop_plugin.cli import describe, sweep

    path = str(trained_lm[1] / "checkpoint_last.pt")
    describe.main([path])
    assert "  trained at    4 (0.4), 2 (0.3), 1 (0.3)\n" in capsys.readouterr().out
    sweep.main([str(data["transformer_lm"]), "--path", path, "--cpu", "--json", str(tmp_path / "rows.json")])
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert [row["depth"] for row in rows["rows"]] == ["4", "2", "1"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--layerdrop-depths", "2", "--layerdrop-validate-depths", "--valid-subset", "valid,valid@2"],
            "`--valid-subset` must have no 'valid@2' with `--layerdrop-validate-depths`, where that is valid at depth "
            "2, but is 'valid,valid@2'.",
        ),
        (["--layerdrop-depths", ""], f"`--layerdrop-depths` must be {depths.GRAMMAR}, but has '' in ''."),
        (
            ["--layerdrop-depths", "2", "--base-layers", "1"],
            "`--layerdrop-depths` must be left out with --base-layers, but is '2'.",
        ),
        (
            ["--layerdrop-depths", "5"],
            "`--layerdrop-depths` must keep 1 to 4 decoder layers, but has '5' in '5'.",
        ),
        (
            ["--layerdrop-depths", "2+2"],
            "`--layerdrop-depths` must name one depth, of the decoder, but has '2+2' in '2+2'.",
        ),
        (
            ["--layerdrop-depths", "2", "--decoder-layerdrop", "0.2", "--decoder-layerdrop-learned"],
            "`--layerdrop-depths` must be left out with --decoder-layerdrop-learned, but is '2'.",
        ),
        (
            ["--layerdrop-validate-depths"],
            "`--layerdrop-validate-depths` must go with `--layerdrop-depths`, which is missing.",
        ),
        (
            ["--layerdrop-depths", "2", "--decoder-layers-to-keep", "first:3"],
            "`--layerdrop-depths` must name a depth that is left after pruning to decoder layers [0,1,2], but has 2; "
            "depths count the layers before pruning.",
        ),
        (
            ["--layerdrop-depths", "2", "--best-checkpoint-metric", "loss@2"],
            "`--best-checkpoint-metric` must go with `--layerdrop-validate-depths` to be 'loss@2'.",
        ),
        (
            ["--layerdrop-depths", "2", "--layerdrop-validate-depths", "--best-checkpoint-metric", "ppl@3"],
            "`--best-checkpoint-metric` must be ppl, or ppl@ and one of 4, 2, but is 'ppl@3'.",
        ),
    ],
)
def test_what_is_refused_is_one_line_before_data_is_read(options, message, arguments, monkeypatch, capfd):
    assert refused([*arguments("transformer_lm", *options), *USER], monkeypatch, capfd) == message
