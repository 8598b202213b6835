"""layerdrop-prune on checkpoints of every form: old, in parts, of fp16, pruned already."""

from __future__ import annotations

import argparse
import copy

import pytest
import torch
from shared.pruned_files import SPECS, by_hand, pruned_state, same, saved  # noqa: F401  fixtures

from layerdrop_plugin.fairseq_adapter.checkpoints.provenance import Pruned
from layerdrop_plugin.fairseq_adapter.checkpoints.write_pruned import prune_checkpoint


@pytest.fixture(scope="module")
def small(full, tmp_path_factory, load_model, outputs):
    """A pruned file of each family, with its optimizer's state, and the outputs of the model."""
    paths = {family: tmp_path_factory.mktemp("small") / f"{family}.pt" for family in SPECS}
    for family, path in paths.items():
        prune_checkpoint(str(full[family]), str(path), SPECS[family], keep_optimizer=True)
    return {family: (torch.load(path), outputs(load_model(path)[0], family)) for family, path in paths.items()}


@pytest.mark.parametrize("kind", [dict, argparse.Namespace])
def test_stock_leaves_nothing_of_ours_in_the_options(kind, saved):
    options = {"_name": "layerdrop_transformer_lm_gpt", "arch": "layerdrop_transformer_lm_gpt", "decoder_layers": 2}
    options.update(decoder_layerdrop=0.2, decoder_layers_to_keep=None, user_dir="/home/layerdrop_plugin", dropout=0.1)
    cfg = {"model": kind(**options), "common": {"user_dir": "layerdrop_plugin", "seed": 1}, "task": {"_name": "x"}}
    state, _ = pruned_state(saved(cfg=copy.deepcopy(cfg)), {"decoder": "0"}, stock=True)
    after = {"_name": "transformer_lm_gpt", "arch": "transformer_lm_gpt", "decoder_layers": 1}
    after.update(decoder_layerdrop=0.0, decoder_layers_to_keep=None, user_dir=None, dropout=0.1)
    assert state["cfg"] == {"model": kind(**after), "common": {"user_dir": None, "seed": 1}, "task": {"_name": "x"}}


def test_stock_of_old_options(saved):
    args = argparse.Namespace(arch="layerdrop_transformer_lm", decoder_layers=2, user_dir="x", lr=[1.0])
    state, _ = pruned_state(saved(args=args, cfg=None), {"decoder": "0"}, stock=True)
    after = argparse.Namespace(arch="transformer_lm", decoder_layers=1, user_dir=None, lr=[1.0])
    assert state["args"] == after


def as_args(state):
    """As fairseq saved before 2020: `args`, no `cfg`."""
    state["args"] = state.pop("cfg")["model"]
    del state["args"]._name


def as_yaml(state):
    """As fairseq-hydra-train saves."""
    state["cfg"]["model"] = vars(state["cfg"]["model"])


def as_from_a_gpu(state):
    """There tied weights are saved apart."""
    state["model"] = {name: value.clone() for name, value in state["model"].items()}


def as_a_part(state):
    """Weights that are slices of one piece of memory."""
    flat = torch.cat([value.reshape(-1) for value in state["model"].values()])
    parts = flat.split([value.numel() for value in state["model"].values()])
    state["model"] = {name: part.view(v.shape) for part, (name, v) in zip(parts, state["model"].items())}


def stored_bytes(weights):
    """How much of the file they take: each piece of memory once, and all of it."""
    storages = [
        value.untyped_storage() if hasattr(value, "untyped_storage") else value.storage() for value in weights.values()
    ]
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


CHANGES = {"args": as_args, "YAML": as_yaml, "from a GPU": as_from_a_gpu, "parts": as_a_part, "legacy": None}


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
@pytest.mark.parametrize("family", list(SPECS))
def test_checkpoints_of_other_forms_give_the_same(family, change, full, small, tmp_path, load_model, outputs):
    state = torch.load(full[family])
    if change is not None:
        change(state)
    torch.save(state, tmp_path / "other.pt", _use_new_zipfile_serialization=change is not None)
    prune_checkpoint(str(tmp_path / "other.pt"), str(tmp_path / "small.pt"), SPECS[family], keep_optimizer=True)
    found, (expected, output) = torch.load(tmp_path / "small.pt"), small[family]
    for part in ("model", "last_optimizer_state", "layerdrop"):
        assert same(found[part], expected[part]), part
    assert stored_bytes(found["model"]) == stored_bytes(expected["model"])
    assert torch.equal(outputs(load_model(tmp_path / "small.pt")[0], family), output)


def test_the_flat_optimizer_of_training_in_fp16(full, tmp_path):
    """Made from Adam's numbered moments: fp16 training lays all parameters end to end."""
    state = torch.load(full["transformer"])
    optimizer = state["last_optimizer_state"]
    entries = [optimizer["state"][i] for i in range(len(optimizer["param_groups"][0]["params"]))]
    flat = {k: torch.cat([entry[k].reshape(-1) for entry in entries]) for k in ("exp_avg", "exp_avg_sq")}
    optimizer["state"] = {0: {"step": entries[0]["step"], **flat}}
    optimizer["param_groups"][0]["params"] = [0]
    optimizer["loss_scale"] = 8.0
    torch.save(state, tmp_path / "fp16.pt")
    numbered, _ = pruned_state(str(full["transformer"]), SPECS["transformer"], keep_optimizer=True)
    found, _ = pruned_state(str(tmp_path / "fp16.pt"), SPECS["transformer"], keep_optimizer=True)
    found, expected = found["last_optimizer_state"], numbered["last_optimizer_state"]["state"]
    assert (found["param_groups"][0]["params"], found["loss_scale"]) == ([0], 8.0)
    for k in ("exp_avg", "exp_avg_sq"):
        assert torch.equal(found["state"][0][k], torch.cat([expected[i][k].reshape(-1) for i in sorted(expected)]))


def test_moving_averages_go_with_the_optimizer(saved):
    ema = {name: value + 1 for name, value in by_hand().items()}
    extra = {"train_iterator": {"epoch": 1}, "ema": ema, "ema_fp32_params": dict(ema)}
    moments = {"state": {i: {"exp_avg": torch.full((1, 2), float(i))} for i in (1, 2)}}
    path = saved(extra_state=extra, last_optimizer_state={**moments, "param_groups": [{"params": [0, 1, 2]}]})
    state, _ = pruned_state(path, {"decoder": "1"}, keep_optimizer=True)
    assert state["extra_state"]["ema"]["decoder.layers.0.fc1.weight"].tolist() == [[21.0, 22.0]]
    assert "decoder.layers.1.fc1.weight" not in state["extra_state"]["ema_fp32_params"]
    assert state["last_optimizer_state"]["state"][1]["exp_avg"].tolist() == [[2.0, 2.0]]
    assert pruned_state(path, {"decoder": "1"})[0]["extra_state"] == {"train_iterator": {"epoch": 1}}


def test_the_oldest_optimizers_are_left_out_as_fairseq_wants_them(saved):
    """These entries must be there: fairseq moves them to where they are today."""
    history = [{"best_loss": 1.0, "optimizer": {"state": {0: torch.zeros(9)}}}]
    state, _ = pruned_state(saved(optimizer_history=history, optimizer={"state": {}}), {"decoder": "0"})
    assert state["optimizer_history"] == [{"best_loss": float("inf"), "optimizer": None}]
    assert state["optimizer"] is None


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("family", list(SPECS))
def test_another_type(dtype, family, full, tmp_path, load_model, outputs):
    path = tmp_path / "small.pt"
    prune_checkpoint(str(full[family]), str(path), SPECS[family], dtype=dtype)
    weights = torch.load(path)["model"]
    marks = {name for name in weights if name.endswith(("version", "_float_tensor"))}
    assert {str(v.dtype) for name, v in weights.items() if name not in marks} == {f"torch.{dtype}"}
    assert marks
    assert {weights[name].dtype for name in marks} == {torch.float32}
    if family == "transformer":
        names = ("encoder.embed_tokens", "decoder.embed_tokens", "decoder.output_projection")
        assert len({weights[f"{name}.weight"].data_ptr() for name in names}) == 1
    small, _ = load_model(path)
    wanted, _ = load_model(full[family], **{f"{stack}_layers_to_keep": spec for stack, spec in SPECS[family].items()})
    tolerance = {"float32": 0, "float16": 0.01, "bfloat16": 0.1}[dtype]
    assert torch.allclose(outputs(small, family), outputs(wanted, family), rtol=0, atol=tolerance)


def test_a_pruned_file_is_pruned_again_and_knows_the_first_models_layers(saved):
    prune_checkpoint(
        saved({f"decoder.layers.{i}.w": torch.ones(1) * i for i in range(6)}), "half.pt", {"decoder": "0,2,4"}
    )
    assert prune_checkpoint("half.pt", "one.pt", {"decoder": "last:1"}) == {"decoder": Pruned(3, (2,))}
    state = torch.load("one.pt")
    assert state["layerdrop"] == {"decoder": {"depth": 6, "kept": [4], "last": {"depth": 3, "kept": [2]}}}
    assert state["model"] == {"decoder.layers.0.w": torch.tensor([4.0])}
