"""Checkpoints pruned into files: what these hold, that fairseq goes on from them, what is refused."""

from __future__ import annotations

import os
import re

import pytest
import torch
from shared.pruned_files import (
    SPECS,
    by_hand,
    pruned_state,
    same,
    saved,  # noqa: F401  fixtures
)

from layerdrop_plugin.cli.prune import main
from layerdrop_plugin.fairseq_adapter.checkpoints.provenance import Pruned
from layerdrop_plugin.fairseq_adapter.checkpoints.write_pruned import prune_checkpoint
from layerdrop_plugin.fairseq_adapter.compat import ACTIVE

KEPT = {
    "transformer": {"encoder": Pruned(4, (0, 3)), "decoder": Pruned(4, (1, 2))},
    "transformer_lm": {"decoder": Pruned(4, (0, 2))},
    "roberta": {"encoder": Pruned(4, (2, 3))},
}


def depth_options(specs):
    return [word for stack in specs for word in (f"--{stack}-layers", "2")]


@pytest.mark.parametrize("family", list(SPECS))
@pytest.mark.parametrize("stock", [False, True], ids=["ours", "stock"])
def test_it_loads_without_options_as_the_full_one_with_them(family, stock, full, tmp_path, load_model, outputs):
    path = tmp_path / "small.pt"
    assert prune_checkpoint(str(full[family]), str(path), SPECS[family], stock=stock) == KEPT[family]
    small, cfg = load_model(path)
    wanted, _ = load_model(full[family], **{f"{stack}_layers_to_keep": spec for stack, spec in SPECS[family].items()})
    assert torch.equal(outputs(small, family), outputs(wanted, family))
    assert cfg._name == cfg.arch == ("" if stock else "layerdrop_") + family
    assert [getattr(cfg, f"{stack}_layers") for stack in SPECS[family]] == [2] * len(SPECS[family])
    origin = torch.load(path)["layerdrop"]
    assert {stack: (entry["depth"], tuple(entry["kept"])) for stack, entry in origin.items()} == KEPT[family]


def test_what_belongs_to_the_full_models_training_is_left_out(full):
    before = torch.load(full["transformer"])
    state, _ = pruned_state(str(full["transformer"]), SPECS["transformer"])
    assert set(before) - set(state) == {"last_optimizer_state"}
    assert set(state) - set(before) == {"layerdrop"}
    assert set(before["extra_state"]) - set(state["extra_state"]) == {"best", "val_loss", "metrics"}
    assert state["optimizer_history"] == before["optimizer_history"]  # the number of updates
    whole, _ = pruned_state(str(full["transformer"]), {}, dtype="float32")
    assert whole["extra_state"]["best"] == before["extra_state"]["best"]  # the same model still
    assert "layerdrop" not in whole


@pytest.mark.slow
@pytest.mark.parametrize("family", list(SPECS))
def test_training_goes_on_with_the_optimizer_as_if_it_had_pruned_the_full_one(
    family, full, data, tiny, train, tmp_path
):
    path = tmp_path / "small.pt"
    prune_checkpoint(str(full[family]), str(path), SPECS[family], keep_optimizer=True)
    argv = [data[family], "--arch", f"layerdrop_{family}", *tiny[family], "--max-update", 18]
    keep = [word for stack, spec in SPECS[family].items() for word in (f"--{stack}-layers-to-keep", spec)]
    train(*argv, *keep, "--restore-file", full[family], "--save-dir", tmp_path / "on_load")
    train(*argv, *depth_options(SPECS[family]), "--restore-file", path, "--save-dir", tmp_path / "file")
    on_load, file = (torch.load(tmp_path / name / "checkpoint_last.pt") for name in ("on_load", "file"))
    assert on_load["optimizer_history"][-1]["num_updates"] == 18
    for part in ("model", "last_optimizer_state", "optimizer_history", "layerdrop"):
        assert same(on_load[part], file[part]), part
    assert on_load["extra_state"]["val_loss"] == file["extra_state"]["val_loss"]
    assert not same(torch.load(path)["model"], file["model"])


FINETUNE = ["--finetune-from-model", "{path}"]


STARTS = {
    "restore": ["--restore-file", "{path}"],
    "reset": ["--restore-file", "{path}", "--reset-optimizer", "--reset-dataloader", "--reset-meters"],
    "finetune": FINETUNE,
    "ema": [*FINETUNE, "--store-ema", "--ema-fp32"],
    "own folder": [],
}


@pytest.mark.slow
@pytest.mark.parametrize("options", list(STARTS.values()), ids=list(STARTS))
def test_training_starts_from_it_with_a_fresh_optimizer(options, full, data, tiny, train, tmp_path):
    path = tmp_path / "checkpoint_last.pt"
    prune_checkpoint(str(full["transformer_lm"]), str(path), SPECS["transformer_lm"])
    argv = [data["transformer_lm"], "--arch", "layerdrop_transformer_lm", *tiny["transformer_lm"]]
    folder = tmp_path / "out" if options else tmp_path
    argv += [*depth_options(SPECS["transformer_lm"]), "--max-update", 5, "--save-dir", folder]
    train(*argv, *(option.format(path=path) for option in options))
    state = torch.load(folder / "checkpoint_last.pt")
    assert state["optimizer_history"][-1]["num_updates"] == 5
    assert state["last_optimizer_state"]["state"][0]["step"] == 5
    assert state["layerdrop"] == torch.load(path)["layerdrop"]
    assert (folder / "checkpoint_best.pt").exists()  # the full model's best does not stand in its way


def test_by_hand(saved):
    state, kept = pruned_state(saved(), {"decoder": [1]})
    assert kept == {"decoder": Pruned(2, (1,))}
    assert {name: value.tolist() for name, value in state["model"].items()} == {
        "decoder.version": [3.0],
        "decoder.embed_tokens.weight": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]],
        "decoder.layers.0.fc1.weight": [[20.0, 21.0]],
        "decoder.output_projection.weight": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]],
    }
    options = vars(state["cfg"]["model"])
    assert (options["decoder_layers"], options["decoder_layerdrop"], options["user_dir"]) == (
        1,
        0.2,
        "layerdrop_plugin",
    )
    assert state["extra_state"] == {"train_iterator": {"epoch": 1}}


def learned(*rates):
    """The weights of `by_hand` with learned rates, whose buffers no optimizer knows."""
    names = ("weight", "bias", "change", "loss", "rate")
    added = {
        f"decoder.layers.{i}.learned_rate.{name}": torch.tensor([rate])
        for i, rate in enumerate(rates)
        for name in names
    }
    return {**by_hand(), **added}


@pytest.mark.parametrize("stock", [False, True], ids=["ours", "stock"])
def test_the_layer_of_the_lowest_learned_rate_with_its_moments(stock, saved):
    # Parameters, in order: embedding, for each layer fc1 and the weight and bias of its rate.
    weights = {name: value for name, value in learned(0.4, 0.1).items() if "version" not in name}
    order = ["decoder.embed_tokens.weight"] + [
        f"decoder.layers.{i}.{name}"
        for i in (0, 1)
        for name in ("fc1.weight", "learned_rate.weight", "learned_rate.bias")
    ]
    weights = {**{n: weights[n] for n in order}, **weights}
    moments = {i: {"exp_avg": torch.full(weights[name].shape, float(i))} for i, name in enumerate(order)}
    optimizer = {"state": moments, "param_groups": [{"params": list(range(7))}]}
    path = saved(weights, last_optimizer_state=optimizer)
    state, kept = pruned_state(path, {"decoder": "learned:1"}, stock=stock, keep_optimizer=True)
    assert kept == {"decoder": Pruned(2, (1,))}
    assert state["model"]["decoder.layers.0.fc1.weight"].tolist() == [[20.0, 21.0]]
    assert any("learned_rate" in name for name in state["model"]) == (not stock)
    found = [
        entry["exp_avg"].flatten()[0].item() for _, entry in sorted(state["last_optimizer_state"]["state"].items())
    ]
    assert found == ([0, 4] if stock else [0, 4, 5, 6])


@pytest.mark.slow
def test_stock_stays_stock(stock_full, tmp_path, load_model, outputs):
    """Its encoders' copies of weights are left out: who needs them makes them."""
    path = tmp_path / "small.pt"
    prune_checkpoint(str(stock_full), str(path), SPECS["transformer"], stock=True)
    names = list(torch.load(path)["model"])
    assert "encoder.layers.1.fc1.weight" in names
    assert "encoder.layers.1.fc1_weight" not in names
    small, cfg = load_model(path)
    wanted, _ = load_model(stock_full, encoder_layers_to_keep="0,3", decoder_layers_to_keep="1,2")
    assert torch.equal(outputs(small, "transformer"), outputs(wanted, "transformer"))
    assert cfg.arch == "transformer"


@pytest.mark.skipif("encoder_weight_copies" not in ACTIVE, reason="this fairseq has no copies")
@pytest.mark.slow
def test_stocks_optimizer_counts_the_copies_and_so_they_stay(stock_full):
    state, _ = pruned_state(str(stock_full), SPECS["transformer"], keep_optimizer=True)
    names = [name for name in state["model"] if not name.endswith(("version", "_float_tensor"))]
    tied = ("decoder.embed_tokens.weight", "decoder.output_projection.weight")
    names = [name for name in names if name not in tied]
    assert "encoder.layers.1.fc1_weight" in names
    moments = {names[i]: entry["exp_avg"].shape for i, entry in state["last_optimizer_state"]["state"].items()}
    assert moments == {name: state["model"][name].shape for name in moments}
    assert len(names) - len(moments) == 2 * 8  # copies get no gradient
    assert state["last_optimizer_state"]["param_groups"][0]["params"] == list(range(len(names)))


def test_a_language_model_that_stock_trained(data, tiny, train, tmp_path, load_model, outputs):
    words = [word for word in tiny["transformer_lm"] if word not in ("--decoder-layerdrop", "0.3")]
    train(data["transformer_lm"], "--arch", "transformer_lm", *words, "--max-update", 2, "--save-dir", tmp_path)
    path = tmp_path / "checkpoint_last.pt"
    assert isinstance(torch.load(path)["cfg"]["model"], dict)
    prune_checkpoint(str(path), str(tmp_path / "small.pt"), {"decoder": "0,2"}, stock=True, keep_optimizer=True)
    small, cfg = load_model(tmp_path / "small.pt")
    wanted, _ = load_model(path, decoder_layers_to_keep="0,2")
    assert torch.equal(outputs(small, "transformer_lm"), outputs(wanted, "transformer_lm"))
    assert cfg.decoder_layers == 2


def test_no_more_is_written_than_is_kept(saved):
    weights = {f"decoder.layers.{i}.w": torch.zeros(50_000) for i in range(6)}
    source = saved(weights, last_optimizer_state={"state": {0: {"exp_avg": torch.zeros(300_000)}}})
    prune_checkpoint(source, "small.pt", {"decoder": "5"})
    assert 200_000 < os.path.getsize("small.pt") < 210_000


def test_a_lone_index_is_kept_with_a_warning(full, tmp_path, capsys):
    main([str(full["transformer_lm"]), "-o", str(tmp_path / "small.pt"), "--decoder", "2"])
    shown = capsys.readouterr()
    line = "`--decoder` 2 keeps layer 2 of 4: one layer; for two layers, every_other:2"
    assert shown.err == f"layerdrop-prune: warning: {line}\n"
    assert re.search(r"^decoder layers +4 +1 +\[2\] of 4$", shown.out, re.MULTILINE)
