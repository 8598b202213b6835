"""`layerdrop-describe` in this process: what it tells of checkpoints of every kind, what it refuses."""

from __future__ import annotations

import argparse
import json
import os

import pytest
import torch

from layerdrop_plugin.cli.describe import main
from layerdrop_plugin.fairseq_adapter.checkpoints.describe import describe
from layerdrop_plugin.fairseq_adapter.checkpoints.write_pruned import prune_checkpoint
from layerdrop_plugin.fairseq_adapter.compat import ACTIVE

# A layer of width 16, with 24 in its FFN, has 4 projections, 2 norms and the FFN: 4 (256 + 16) + 2 x 32 + 408 + 400.
# A translation's decoder layer has the 4 projections of its second attention and one norm more.
LAYER = 1960
DECODER_LAYER = 3080
NO_OTHER_DROPS = {"learned_rates": None, "headdrop": None, "ffndrop": None, "sublayerdrop": None}


def stack(layer, depth=4, rate=0.3, pruned=None):
    sizes = {"embed_dim": 16, "ffn_embed_dim": 24, "attention_heads": 2}
    drops = {"layerdrop": rate, **NO_OTHER_DROPS}
    return {"depth": depth, **drops, **sizes, "layer_parameters": [layer] * depth, "pruned": pruned}


@pytest.mark.parametrize(
    ("family", "task", "stacks"),
    [
        ("transformer", "translation", {"encoder": stack(LAYER), "decoder": stack(DECODER_LAYER)}),
        ("transformer_lm", "language_modeling", {"decoder": stack(LAYER)}),
        ("roberta", "masked_lm", {"encoder": stack(LAYER)}),
    ],
)
def test_each_family(family, task, stacks, full):
    state = torch.load(full[family])
    # Adam keeps two moments of each parameter; fairseq's sinusoidal positions and versions are none.
    moments = sum(entry["exp_avg"].numel() for entry in state["last_optimizer_state"]["state"].values())
    marks = sum(value.numel() for name, value in state["model"].items() if name.endswith(("version", "_tensor")))
    assert describe(str(full[family])).as_json() == {
        "checkpoint": str(full[family]),
        "architecture": f"layerdrop_{family}",
        "task": task,
        "stacks": stacks,
        "trained_depths": {},
        "classification_heads": [],
        "parameters": moments,
        "dtype": "float32",
        "updates": 12,
        "best": state["extra_state"]["best"],
        "best_metric": "loss",
        "bytes": {"file": full[family].stat().st_size, "weights": 4 * (moments + marks), "optimizer": 8 * moments},
        "options": None,
    }


def test_a_pruned_one_tells_its_layers_of_the_first_model(full, tmp_path):
    path = str(tmp_path / "small.pt")
    prune_checkpoint(str(full["transformer"]), path, {"encoder": "1,3", "decoder": "0"}, stock=True, dtype="float16")
    found = describe(path)
    pruned = {"depth": 4, "kept": [1, 3]}
    assert found.as_json()["stacks"] == {
        "encoder": stack(LAYER, 2, 0.0, pruned),
        "decoder": stack(DECODER_LAYER, 1, 0.0, {"depth": 4, "kept": [0]}),
    }
    assert found.parameters == describe(str(full["transformer"])).parameters - 2 * LAYER - 3 * DECODER_LAYER
    assert (found.architecture, found.dtype, found.updates) == ("transformer", "float16", 12)
    assert (found.best, found.best_metric, found.bytes.optimizer) == (None, None, 0)


@pytest.mark.skipif("encoder_weight_copies" not in ACTIVE, reason="this fairseq has no copies")
@pytest.mark.slow
def test_stocks_copies_of_weights_are_not_counted(stock_full, full):
    found, ours = describe(str(stock_full)), describe(str(full["transformer"]))
    assert found.parameters == ours.parameters
    assert found.as_json()["stacks"] == {"encoder": stack(LAYER, rate=0.0), "decoder": stack(DECODER_LAYER, rate=0.0)}
    assert found.bytes.weights > ours.bytes.weights  # though they are in the file


def test_tied_weights_that_a_gpu_saved_apart_count_once(full, tmp_path):
    state = torch.load(full["transformer"])
    state["model"] = {name: value.clone() for name, value in state["model"].items()}
    torch.save(state, tmp_path / "gpu.pt")
    assert describe(str(tmp_path / "gpu.pt")).parameters == describe(str(full["transformer"])).parameters


@pytest.fixture
def save(tmp_path, monkeypatch):
    """A function that saves, in the working directory, a checkpoint with two layers made by hand."""
    monkeypatch.chdir(tmp_path)

    def write(name, **entries):
        options = argparse.Namespace(arch="layerdrop_roberta_base", encoder_layers=2, encoder_layerdrop=0.2)
        options.encoder_attention_heads = 12
        weights = {f"encoder.sentence_encoder.layers.{i}.fc1.weight": torch.zeros(8, 4) for i in range(2)}
        state = {"args": None, "cfg": {"model": options, "task": {"_name": "masked_lm"}}, "model": weights}
        torch.save({**state, **entries}, name)

    return write


def test_heads_and_another_metric(save):
    heads = {f"classification_heads.{head}.dense.weight": torch.rand(4, 4) for head in ("rte", "mnli")}
    weights = {f"encoder.sentence_encoder.layers.{i}.fc1.weight": torch.ones(8 + i, 4) for i in range(2)}
    cfg = {
        "model": argparse.Namespace(_name="layerdrop_roberta_base", encoder_layers=2),
        "task": argparse.Namespace(_name="sentence_prediction"),
        "checkpoint": {"best_checkpoint_metric": "accuracy"},
    }
    save("model.pt", model={**weights, **heads}, cfg=cfg, extra_state={"best": 81.25}, optimizer_history=[])
    found = describe("model.pt")
    assert found.classification_heads == ("rte", "mnli")
    assert (found.best, found.best_metric) == (81.25, "accuracy")
    assert (found.task, found.updates) == ("sentence_prediction", None)
    assert found.stacks["encoder"].layer_parameters == (32, 36)
    assert found.parameters == 32 + 36 + 2 * 16


def test_old_options(save):
    """As fairseq saved before 2020; RoBERTa's encoder was called a decoder then."""
    args = argparse.Namespace(arch="roberta_base", task="masked_lm", encoder_layers=1, encoder_attention_heads=2)
    args.best_checkpoint_metric = "ppl"
    weights = {"decoder.sentence_encoder.layers.0.fc1.weight": torch.zeros(8, 4)}
    entries = {"optimizer_history": [{"num_updates": 9}], "extra_state": {"best": float("inf")}}
    torch.save({"args": args, "model": weights, **entries}, "old.pt")
    found = describe("old.pt")
    assert (found.architecture, found.task, found.updates) == ("roberta_base", "masked_lm", 9)
    assert (found.best, found.best_metric) == (None, None)  # no number that JSON knows
    assert found.as_json()["stacks"] == {
        "encoder": {
            "depth": 1,
            "layerdrop": None,
            **NO_OTHER_DROPS,
            "embed_dim": 4,
            "ffn_embed_dim": 8,
            "attention_heads": 2,
            "layer_parameters": [32],
            "pruned": None,
        }
    }


def test_what_fairseq_had_pruned_has_the_depth_of_its_weights(save):
    """It saves pruned weights beside the full depth."""
    options = argparse.Namespace(_name="layerdrop_roberta", encoder_layers=12)
    save("model.pt", cfg={"model": options})
    assert describe("model.pt").stacks["encoder"].depth == 2


def test_a_model_without_stacks(save):
    save("model.pt", cfg={"model": argparse.Namespace(_name="lstm")}, model={"decoder.rnn.weight": torch.zeros(3)})
    found = describe("model.pt")
    assert (found.architecture, found.stacks, found.parameters) == ("lstm", {}, 3)


TEXT = """\
a.pt
  architecture  layerdrop_roberta_base
  task          masked_lm
  encoder       2 layers, pruned to [0,2] of 4, layer-drop 0.2, embed 4, ffn 8, 12 heads, 32 parameters a layer
  parameters    64 in all (float32)
  training      12,345 updates, best validation loss 3.25
  file          {a}: weights 256 bytes, optimizer's state 4 kB ({share})

b.pt
  architecture  not said
  task          not said
  encoder       1 layer, 32 parameters a layer
  heads         x
  parameters    33 in all (float32)
  file          {b}: weights 132 bytes, no optimizer's state
"""
ORIGIN = {"encoder": {"depth": 4, "kept": [0, 2], "last": {"depth": 4, "kept": [0, 2]}}}


def save_two(save):
    moments = {"state": {0: {"exp_avg": torch.zeros(1000)}}}
    training = {"optimizer_history": [{"num_updates": 12345}], "extra_state": {"best": 3.25}}
    save("a.pt", layerdrop=ORIGIN, last_optimizer_state=moments, **training)
    weights = {"encoder.layers.0.w": torch.zeros(32), "classification_heads.x.w": torch.zeros(1)}
    save("b.pt", cfg=None, model=weights)


def test_the_text(save, capsys):
    save_two(save)
    main(["a.pt", "b.pt"])
    a, b = (os.path.getsize(name) for name in ("a.pt", "b.pt"))
    share = f"{4000 / a:.0%}"
    assert capsys.readouterr().out == TEXT.format(a=f"{a / 1000:.3g} kB", b=f"{b / 1000:.3g} kB", share=share)


def test_the_data(save, tmp_path):
    save_two(save)
    main(["a.pt", "b.pt", "--json", "out.json", "--csv", "out.csv"])
    assert json.loads((tmp_path / "out.json").read_text()) == [describe("a.pt").as_json(), describe("b.pt").as_json()]
    a, b = (os.path.getsize(name) for name in ("a.pt", "b.pt"))
    assert (tmp_path / "out.csv").read_text().splitlines() == [
        "checkpoint,architecture,task,encoder_depth,encoder_layerdrop,encoder_learned_rates,encoder_headdrop,"
        "encoder_ffndrop,encoder_sublayerdrop,encoder_embed_dim,encoder_ffn_embed_dim,encoder_attention_heads,"
        "encoder_layer_parameters,encoder_layers,trained_depths,classification_heads,parameters,dtype,"
        "updates,best,best_metric,file_bytes,weights_bytes,optimizer_bytes",
        'a.pt,layerdrop_roberta_base,masked_lm,2,0.2,,,,,4,8,12,32,"[0,2] of 4",,,64,float32,12345,3.25,loss,'
        f"{a},256,4000",
        f"b.pt,,,1,,,,,,,,,32,,,x,33,float32,,,,{b},132,0",
    ]


def save_structured(save):
    """Rates of every kind, and learned ones."""
    options = argparse.Namespace(arch="layerdrop_transformer_lm", decoder_layers=2, decoder_attention_heads=4)
    options.decoder_layerdrop, options.decoder_layerdrop_learned = 0.25, True
    options.decoder_headdrop, options.decoder_ffndrop, options.decoder_sublayerdrop = "target:3", "0.1,0.2", 0.0
    weights = {}
    for i, rate in enumerate((0.375, 0.12345)):
        weights[f"decoder.layers.{i}.fc1.weight"] = torch.zeros(8, 4)
        for name in ("weight", "bias", "change", "loss", "rate"):
            weights[f"decoder.layers.{i}.learned_rate.{name}"] = torch.tensor([rate])
    save("c.pt", cfg={"model": options}, model=weights)


def test_rates_of_every_kind(save):
    save_structured(save)
    found = describe("c.pt")
    assert found.as_json()["stacks"]["decoder"] == {
        "depth": 2,
        "layerdrop": 0.25,
        "learned_rates": [0.375, pytest.approx(0.12345)],
        "headdrop": "target:3",
        "ffndrop": "0.1,0.2",
        "sublayerdrop": None,
        "embed_dim": 4,
        "ffn_embed_dim": 8,
        "attention_heads": 4,
        "layer_parameters": [34, 34],  # 32, and the two by which a rate is learned
        "pruned": None,
    }
    assert (found.parameters, found.dtype) == (68, "float32")


def test_the_json_word_for_word(save):
    """Programs may read it: names, order and types stay."""
    save_structured(save)
    origin = {"depth": 4, "kept": [0, 2]}
    save("c.pt", **{**torch.load("c.pt"), "layerdrop": {"decoder": {**origin, "last": origin}}})
    size = os.path.getsize("c.pt")
    assert json.dumps(describe("c.pt").as_json()) == (
        '{"checkpoint": "c.pt", "architecture": "layerdrop_transformer_lm", "task": null, "stacks": {"decoder": '
        '{"depth": 2, "layerdrop": 0.25, "learned_rates": [0.375, 0.12345000356435776], "headdrop": "target:3", '
        '"ffndrop": "0.1,0.2", "sublayerdrop": null, "embed_dim": 4, "ffn_embed_dim": 8, "attention_heads": 4, '
        '"layer_parameters": [34, 34], "pruned": {"depth": 4, "kept": [0, 2]}}}, "trained_depths": {}, '
        '"classification_heads": [], '
        '"parameters": 68, "dtype": "float32", "updates": null, "best": null, "best_metric": null, '
        f'"bytes": {{"file": {size}, "weights": 296, "optimizer": 0}}, "options": null}}'
    )


def test_the_text_and_the_table_of_rates_of_every_kind(save, capsys, tmp_path):
    save_structured(save)
    main(["c.pt", "--csv", "out.csv"])
    assert capsys.readouterr().out.splitlines()[3:5] == [
        "  decoder       2 layers, layer-drop 0.25, head-drop target:3, ffn-drop 0.1,0.2, embed 4, ffn 8, 4 heads, "
        "34 parameters a layer",
        "  decoder rates learned, by layer: 0.375 0.123",
    ]
    head, row = (line.split(",decoder_embed_dim")[0] for line in (tmp_path / "out.csv").read_text().splitlines())
    assert head == (
        "checkpoint,architecture,task,decoder_depth,decoder_layerdrop,decoder_learned_rates,decoder_headdrop,"
        "decoder_ffndrop,decoder_sublayerdrop"
    )
    assert row.startswith('c.pt,layerdrop_transformer_lm,,2,0.25,"0.375,0.123",target:3,"0.1,0.2",,4,8,4,34,')


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "the following arguments are required: CKPT"),
        (["no.pt"], "`CKPT` must be the file of a checkpoint, but no.pt does not exist."),
        (["."], "`CKPT` must be the file of a checkpoint, but . is a folder."),
        (["empty.pt"], "`CKPT` must be the file of a checkpoint, but empty.pt is empty."),
        (["text.pt"], "`CKPT` must be the file of a checkpoint, but text.pt is damaged or no checkpoint at all."),
        (
            ["weights.pt"],
            "a checkpoint must be one of fairseq, but weights.pt lacks the entries `model` and `cfg` or `args`.",
        ),
        (["list.pt"], "a checkpoint must be one of fairseq, but list.pt has a list as `model`, which must be a dict."),
        (
            ["a-shard1.pt"],
            "`CKPT` must be a whole checkpoint, but a-shard1.pt is one of several shards; "
            "fairscale's FullyShardedDataParallel.consolidate_shard_weights makes one model of them.",
        ),
        (["a\udcff.pt"], r"`CKPT` must be in UTF-8, but is 'a\udcff.pt' instead."),
        (["pipe"], "`CKPT` must be the file of a checkpoint, but pipe is no regular file."),
        (["a.pt", "--json", "./a.pt", "--force"], "`--json` must be another file than a.pt, but is ./a.pt."),
        (["no.pt", "--csv", "a.pt"], "`--csv` must be a new file, but a.pt exists; --force replaces it."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_one_line_for_what_is_wrong(argv, message, save, tmp_path, error_of):
    for name in ("a.pt", "a-shard1.pt"):
        save(name)
    save("list.pt", model=[torch.zeros(1)])
    torch.save({"w": torch.zeros(1)}, "weights.pt")
    (tmp_path / "empty.pt").touch()
    (tmp_path / os.fsdecode(b"a\xff.pt")).write_bytes((tmp_path / "a.pt").read_bytes())
    os.mkfifo("pipe")
    (tmp_path / "text.pt").write_text("no checkpoint\n" * 10)
    assert error_of(main, *argv) == message


def test_one_that_is_wrong_among_others(save, tmp_path, capsys):
    save_two(save)
    with pytest.raises(SystemExit) as end:
        main(["b.pt", "no.pt", "a.pt", "--json", "out.json"])
    written = capsys.readouterr()
    assert end.value.code == 2
    assert written.err == (
        "layerdrop-describe: error: `CKPT` must be the file of a checkpoint, but no.pt does not exist.\n"
    )
    assert written.out.splitlines()[0] == "b.pt"
    assert written.out.splitlines()[-1].startswith("  file ")
    assert not (tmp_path / "out.json").exists()


def test_what_was_pruned_must_fit_the_weights(save, error_of):
    save("a.pt", layerdrop={"encoder": {"depth": 4, "kept": [3], "last": {"depth": 4, "kept": [3]}}})
    assert error_of(main, "a.pt") == (
        "`layerdrop` of a checkpoint must fit its weights, but says that it holds encoder layers [3] of 4, "
        "and there are 2."
    )


def test_a_damaged_file(save, tmp_path, error_of):
    save("a.pt", model={"encoder.layers.0.w": torch.zeros(5000)})
    content = (tmp_path / "a.pt").read_bytes()
    (tmp_path / "b.pt").write_bytes(content[: len(content) // 2])
    assert error_of(main, "b.pt").startswith(
        "`CKPT` must be the file of a checkpoint, but b.pt is damaged or no checkpoint at all."
    )
