"""Checkpoints pruned into files: what these hold, that fairseq goes on from them, what is refused."""

import argparse
import copy
import os

import pytest
import torch

from layerdrop_plugin.cli.prune import main
from layerdrop_plugin.fairseq_adapter.checkpoint_prune import prune_checkpoint, pruned
from layerdrop_plugin.fairseq_adapter.provenance import Pruned

SPECS = {
    "transformer": {"encoder": "0,3", "decoder": "1-2"},
    "transformer_lm": {"decoder": "every_other:2"},
    "roberta": {"encoder": "last:2"},
}
KEPT = {
    "transformer": {"encoder": Pruned(4, (0, 3)), "decoder": Pruned(4, (1, 2))},
    "transformer_lm": {"decoder": Pruned(4, (0, 2))},
    "roberta": {"encoder": Pruned(4, (2, 3))},
}


def same(value, other):
    """Whether two parts of checkpoints are the same, to any depth; fairseq never sets `_float_tensor`."""
    if isinstance(value, torch.Tensor):
        return torch.equal(value, other)
    if isinstance(value, dict):
        return list(value) == list(other) and all(
            same(value[k], other[k]) for k in value if not str(k).endswith("_float_tensor")
        )
    return value == other


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
    state, _ = pruned(str(full["transformer"]), SPECS["transformer"])
    assert set(before) - set(state) == {"last_optimizer_state"}
    assert set(state) - set(before) == {"layerdrop"}
    assert set(before["extra_state"]) - set(state["extra_state"]) == {"best", "val_loss"}
    assert state["optimizer_history"] == before["optimizer_history"]  # the number of updates
    whole, _ = pruned(str(full["transformer"]), {}, dtype="float32")
    assert whole["extra_state"]["best"] == before["extra_state"]["best"]  # the same model still
    assert "layerdrop" not in whole


@pytest.mark.slow
@pytest.mark.parametrize("family", list(SPECS))
def test_training_goes_on_with_the_optimiser_as_if_it_had_pruned_the_full_one(
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
def test_training_starts_from_it_with_a_fresh_optimiser(options, full, data, tiny, train, tmp_path):
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


@pytest.fixture
def saved(tmp_path, monkeypatch):
    """A function that saves, as `model.pt` in the working directory, a checkpoint of two layers made by hand."""
    monkeypatch.chdir(tmp_path)

    def save(weights=None, name="model.pt", **entries):
        options = argparse.Namespace(_name="layerdrop_transformer_lm", arch="layerdrop_transformer_lm")
        vars(options).update(decoder_layers=2, decoder_layerdrop=0.2, user_dir="layerdrop_plugin")
        state = {
            "args": None,
            "cfg": {"model": options, "common": {"user_dir": "layerdrop_plugin"}},
            "model": by_hand() if weights is None else weights,
            "optimizer_history": [{"num_updates": 7}],
            "extra_state": {"train_iterator": {"epoch": 1}, "best": 2.5, "val_loss": 3.0},
        }
        torch.save({**state, **entries}, name)
        return name

    return save


def by_hand():
    """Weights of two layers; the output's table is the embedding's."""
    table = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    return {
        "decoder.version": torch.tensor([3.0]),
        "decoder.embed_tokens.weight": table,
        "decoder.layers.0.fc1.weight": torch.tensor([[10.0, 11.0]]),
        "decoder.layers.1.fc1.weight": torch.tensor([[20.0, 21.0]]),
        "decoder.output_projection.weight": table,
    }


def test_by_hand(saved):
    state, kept = pruned(saved(), {"decoder": [1]})
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
    """The weights of `by_hand` with learned rates, whose buffers no optimiser knows."""
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
    state, kept = pruned(path, {"decoder": "learned:1"}, stock=stock, keep_optimizer=True)
    assert kept == {"decoder": Pruned(2, (1,))}
    assert state["model"]["decoder.layers.0.fc1.weight"].tolist() == [[20.0, 21.0]]
    assert any("learned_rate" in name for name in state["model"]) == (not stock)
    found = [
        entry["exp_avg"].flatten()[0].item() for _, entry in sorted(state["last_optimizer_state"]["state"].items())
    ]
    assert found == ([0, 4] if stock else [0, 4, 5, 6])


@pytest.mark.parametrize("kind", [dict, argparse.Namespace])
def test_stock_leaves_nothing_of_ours_in_the_options(kind, saved):
    options = {"_name": "layerdrop_transformer_lm_gpt", "arch": "layerdrop_transformer_lm_gpt", "decoder_layers": 2}
    options.update(decoder_layerdrop=0.2, decoder_layers_to_keep=None, user_dir="/home/layerdrop_plugin", dropout=0.1)
    cfg = {"model": kind(**options), "common": {"user_dir": "layerdrop_plugin", "seed": 1}, "task": {"_name": "x"}}
    state, _ = pruned(saved(cfg=copy.deepcopy(cfg)), {"decoder": "0"}, stock=True)
    after = {"_name": "transformer_lm_gpt", "arch": "transformer_lm_gpt", "decoder_layers": 1}
    after.update(decoder_layerdrop=0.0, decoder_layers_to_keep=None, user_dir=None, dropout=0.1)
    assert state["cfg"] == {"model": kind(**after), "common": {"user_dir": None, "seed": 1}, "task": {"_name": "x"}}


def test_stock_of_old_options(saved):
    args = argparse.Namespace(arch="layerdrop_transformer_lm", decoder_layers=2, user_dir="x", lr=[1.0])
    state, _ = pruned(saved(args=args, cfg=None), {"decoder": "0"}, stock=True)
    after = argparse.Namespace(arch="transformer_lm", decoder_layers=1, user_dir=None, lr=[1.0])
    after.decoder_layers_to_keep = None
    assert state["args"] == after


@pytest.mark.slow
def test_stock_stays_stock(stock_full, tmp_path, load_model, outputs):
    """Its encoders' copies of weights are left out: who needs them makes them."""
    path = tmp_path / "small.pt"
    prune_checkpoint(str(stock_full), str(path), SPECS["transformer"], stock=True)
    names = list(torch.load(path)["model"])
    assert "encoder.layers.1.fc1.weight" in names and "encoder.layers.1.fc1_weight" not in names
    small, cfg = load_model(path)
    wanted, _ = load_model(stock_full, encoder_layers_to_keep="0,3", decoder_layers_to_keep="1,2")
    assert torch.equal(outputs(small, "transformer"), outputs(wanted, "transformer"))
    assert cfg.arch == "transformer"


def test_stocks_optimiser_counts_the_copies_and_so_they_stay(stock_full):
    state, _ = pruned(str(stock_full), SPECS["transformer"], keep_optimizer=True)
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


@pytest.fixture(scope="module")
def small(full, tmp_path_factory, load_model, outputs):
    """A pruned file of each family, with its optimiser's state, and the outputs of the model."""
    paths = {family: tmp_path_factory.mktemp("small") / f"{family}.pt" for family in SPECS}
    for family, path in paths.items():
        prune_checkpoint(str(full[family]), str(path), SPECS[family], keep_optimizer=True)
    return {family: (torch.load(path), outputs(load_model(path)[0], family)) for family, path in paths.items()}


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


def test_the_flat_optimiser_of_training_in_fp16(full, tmp_path):
    """Made from Adam's numbered moments: fp16 training lays all parameters end to end."""
    state = torch.load(full["transformer"])
    optimizer = state["last_optimizer_state"]
    entries = [optimizer["state"][i] for i in range(len(optimizer["param_groups"][0]["params"]))]
    flat = {k: torch.cat([entry[k].reshape(-1) for entry in entries]) for k in ("exp_avg", "exp_avg_sq")}
    optimizer["state"] = {0: {"step": entries[0]["step"], **flat}}
    optimizer["param_groups"][0]["params"] = [0]
    optimizer["loss_scale"] = 8.0
    torch.save(state, tmp_path / "fp16.pt")
    numbered, _ = pruned(str(full["transformer"]), SPECS["transformer"], keep_optimizer=True)
    found, _ = pruned(str(tmp_path / "fp16.pt"), SPECS["transformer"], keep_optimizer=True)
    found, expected = found["last_optimizer_state"], numbered["last_optimizer_state"]["state"]
    assert (found["param_groups"][0]["params"], found["loss_scale"]) == ([0], 8.0)
    for k in ("exp_avg", "exp_avg_sq"):
        assert torch.equal(found["state"][0][k], torch.cat([expected[i][k].reshape(-1) for i in sorted(expected)]))


def test_moving_averages_go_with_the_optimiser(saved):
    ema = {name: value + 1 for name, value in by_hand().items()}
    extra = {"train_iterator": {"epoch": 1}, "ema": ema, "ema_fp32_params": dict(ema)}
    moments = {"state": {i: {"exp_avg": torch.full((1, 2), float(i))} for i in (1, 2)}}
    path = saved(extra_state=extra, last_optimizer_state={**moments, "param_groups": [{"params": [0, 1, 2]}]})
    state, _ = pruned(path, {"decoder": "1"}, keep_optimizer=True)
    assert state["extra_state"]["ema"]["decoder.layers.0.fc1.weight"].tolist() == [[21.0, 22.0]]
    assert "decoder.layers.1.fc1.weight" not in state["extra_state"]["ema_fp32_params"]
    assert state["last_optimizer_state"]["state"][1]["exp_avg"].tolist() == [[2.0, 2.0]]
    assert pruned(path, {"decoder": "1"})[0]["extra_state"] == {"train_iterator": {"epoch": 1}}


def test_the_oldest_optimisers_are_left_out_as_fairseq_wants_them(saved):
    """fairseq moves these entries to where they are today, so they must be there."""
    history = [{"best_loss": 1.0, "optimizer": {"state": {0: torch.zeros(9)}}}]
    state, _ = pruned(saved(optimizer_history=history, optimizer={"state": {}}), {"decoder": "0"})
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
    assert marks and {weights[name].dtype for name in marks} == {torch.float32}
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


def test_no_more_is_written_than_is_kept(saved):
    weights = {f"decoder.layers.{i}.w": torch.zeros(50_000) for i in range(6)}
    source = saved(weights, last_optimizer_state={"state": {0: {"exp_avg": torch.zeros(300_000)}}})
    prune_checkpoint(source, "small.pt", {"decoder": "5"})
    assert 200_000 < os.path.getsize("small.pt") < 210_000


SHARD = (
    "`CKPT` must be a whole checkpoint, but {} is one of several shards; "
    "fairscale's FullyShardedDataParallel.consolidate_shard_weights makes one model of them."
)
NO_OPTIMIZER = "`--keep-optimizer` must be left out for {}: its optimiser's state can't be carried over, as {}."
DEFAULT = ["--decoder", "0", "-o", "out.pt"]
TWO_GROUPS = {"state": {}, "param_groups": [{"params": [0]}] * 2}


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["no.pt", *DEFAULT], "`CKPT` must be the file of a checkpoint, but no.pt does not exist."),
        ([".", *DEFAULT], "`CKPT` must be the file of a checkpoint, but . is a folder."),
        (
            ["text.pt", *DEFAULT],
            "`CKPT` must be the file of a checkpoint, but text.pt is damaged or no checkpoint at all.",
        ),
        (
            ["weights.pt", *DEFAULT],
            "a checkpoint must be one of fairseq, but weights.pt lacks the entries `model` and `cfg` or `args`.",
        ),
        (["none.pt", *DEFAULT], "a checkpoint must be one of fairseq, but none.pt has no weights in `model`."),
        (["model-shard0.pt", *DEFAULT], SHARD.format("model-shard0.pt")),
        (["flat.pt", *DEFAULT], SHARD.format("flat.pt")),
        (
            ["model.pt", "-o", "out.pt"],
            "one of `--encoder`, `--decoder`, `--stock` and `--dtype` must be given, but none is.",
        ),
        (
            ["model.pt", "-o", "out.pt", "--keep-optimizer"],
            "one of `--encoder`, `--decoder`, `--stock` and `--dtype` must be given, but none is.",
        ),
        (["model.pt", "--decoder", "0"], "the following arguments are required: -o/--output"),
        (["model.pt", "-o", "out.pt", "--decoder", ""], "`--decoder` must keep at least one layer, but is '' instead."),
        (
            ["no.pt", "-o", "out.pt", "--encoder", "every_other:x"],  # said before anything is read
            "`--encoder`: the K of 'every_other:K' must be a whole number of at least 1, "
            "but is 'x' in 'every_other:x'.",
        ),
        (
            ["model.pt", "-o", "out.pt", "--decoder", "0,2"],
            "`--decoder` must name layers from 0 to 1, but has 2 in '0,2'.",
        ),
        (
            ["half.pt", "-o", "out.pt", "--decoder", "0,1"],
            "`--decoder` must name layers from 0 to 0, but has 1 in '0,1'. "
            "The checkpoint was pruned before and holds decoder layers 1 of 2.",
        ),
        (
            ["model.pt", "-o", "out.pt", "--decoder", "learned:1"],
            "`--decoder` must not be 'learned:1' where no drop rates were learned (with --*-layerdrop-learned).",
        ),
        (
            ["model.pt", "-o", "out.pt", "--encoder", "0"],
            "`--encoder` must be left out: the model has no encoder (got '0').",
        ),
        (
            ["model.pt", "-o", "out.pt", "--dtype", "int8"],
            "argument --dtype: must be one of float32, float16, bfloat16, but is 'int8' instead.",
        ),
        (
            ["large.pt", "-o", "out.pt", "--dtype", "float16"],
            "`--dtype` must have room for the weights, but in float16 some of `decoder.layers.0.w` are infinite.",
        ),
        (["model.pt", *DEFAULT, "--keep-optimizer"], NO_OPTIMIZER.format("model.pt", "there is none")),
        (
            ["groups.pt", *DEFAULT, "--keep-optimizer"],
            NO_OPTIMIZER.format("groups.pt", "it is sharded or has several parameter groups"),
        ),
        (
            ["encoder.pt", "-o", "out.pt", "--stock", "--keep-optimizer"],
            "`--keep-optimizer` must be left out with `--stock` for a model with an encoder, "
            "whose weights fairseq 0.12.2 counts twice in its optimiser.",
        ),
        (
            ["mine.pt", "-o", "out.pt", "--stock"],
            "`--stock` must be for an architecture of fairseq's, or layerdrop_ before its name, but 'mine' is none.",
        ),
        (
            ["model.pt", "--decoder", "0", "-o", "no/out.pt"],
            "`--output` must be in a folder that exists, but is 'no/out.pt' instead.",
        ),
        (
            ["model.pt", "--decoder", "0", "-o", "half.pt"],
            "`--output` must be a new file, but half.pt exists; --force replaces it.",
        ),
        (
            ["model.pt", "--decoder", "0", "-o", "model.pt", "--force"],
            "`--output` must be another file than the checkpoint, but is model.pt.",
        ),
        (
            ["model.pt", "--decoder", "0", "-o", "link.pt", "--force"],
            "`--output` must be another file than the checkpoint, but is link.pt.",
        ),
        (
            ["model.pt", *DEFAULT, "--json", "half.pt"],
            "`--json` must be a new file, but half.pt exists; --force replaces it.",
        ),
        (
            ["model.pt", *DEFAULT, "--force", "--json", "./model.pt"],
            "`--json` must be another file than model.pt, but is ./model.pt.",
        ),
        (
            ["model.pt", *DEFAULT, "--force", "--csv", "out.pt"],
            "`--csv` must be another file than out.pt, but is out.pt.",
        ),
        (
            ["model.pt", "--decoder", "0", "-o", "out\udcff.pt"],
            r"`--output` must be in UTF-8, but is 'out\udcff.pt' instead.",
        ),
        (
            ["unnamed.pt", "-o", "out.pt", "--stock"],
            "`--stock` must be for a checkpoint that names its architecture, but this one does not.",
        ),
        (
            ["base.pt", *DEFAULT],
            "`--decoder` must be left out: the decoder's BASE layers can't be pruned.",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_one_line_for_what_is_wrong(argv, message, saved, tmp_path, error_of):
    prune_checkpoint(saved(), "half.pt", {"decoder": "1"})
    saved(name="model-shard0.pt")
    saved({"decoder.layers.0.w": torch.tensor([1e5])}, "large.pt")
    saved({"flat_param_0": torch.zeros(1)}, "flat.pt")
    saved({"encoder.layers.0.w": torch.zeros(1)}, "encoder.pt")
    saved(name="none.pt", model=None)
    saved(name="mine.pt", cfg={"model": argparse.Namespace(arch="mine")})
    saved(name="unnamed.pt", cfg={})
    saved(name="base.pt", cfg={"model": argparse.Namespace(arch="transformer_lm", decoder_layers=1, base_layers=1)})
    saved(name="groups.pt", last_optimizer_state=TWO_GROUPS)
    torch.save({"w": torch.zeros(1)}, "weights.pt")
    (tmp_path / "text.pt").write_text("no checkpoint\n" * 10)
    os.symlink("model.pt", "link.pt")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert error_of(main, *argv) == message
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_force_replaces(saved):
    saved(name="out.pt")
    main([saved(), "-o", "out.pt", "--decoder", "1", "--force"])
    assert list(torch.load("out.pt")["layerdrop"]) == ["decoder"]


def test_help_names_every_option_and_has_examples(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    text, examples = capsys.readouterr().out.split("\nexamples:\n")
    assert all(f"  {word}" in text for word in ("-o", "--encoder", "--decoder", "--stock", "--dtype", "--keep-opt"))
    assert len(examples.splitlines()) == 3
    assert all(line.startswith("  layerdrop-prune checkpoint_") for line in examples.splitlines())
