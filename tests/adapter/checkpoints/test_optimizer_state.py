"""The optimizer's state follows the kept parameters: by hand on small states, by name on trained models."""

from __future__ import annotations

import logging

import pytest
import torch

from layerdrop_plugin.fairseq_adapter.checkpoints import optimizer_state
from layerdrop_plugin.fairseq_adapter.checkpoints.optimizer_state import Parameter
from layerdrop_plugin.fairseq_adapter.checkpoints.provenance import Pruned

# A model of three layers: embeddings of 2, layers of 1 and 3 numbers, a norm of 1, a criterion of 1.
WEIGHTS = {
    "embed.weight": torch.zeros(2),
    **{f"decoder.layers.{i}.{name}": torch.zeros(size) for i in range(3) for name, size in (("a", 1), ("b", 3))},
    "norm.weight": torch.zeros(1),
}
PRUNED = {"decoder": Pruned(3, (0, 2))}
AFTER = [
    Parameter("embed.weight", (2,)),
    Parameter("decoder.layers.0.a", (1,)),
    Parameter("decoder.layers.0.b", (3,)),
    Parameter("decoder.layers.1.a", (1,)),
    Parameter("decoder.layers.1.b", (3,)),
    Parameter("norm.weight", (1,)),
    Parameter("criterion.w", (1,)),
]
SIZES = [2, 1, 3, 1, 3, 1, 3, 1, 1]  # before: embed, a0, b0, a1, b1, a2, b2, norm, criterion


def numbered(key="exp_avg", missing=()):
    """Moments that are the parameter's number, for each parameter before."""
    entries = {i: {"step": 7, key: torch.full((n,), float(i))} for i, n in enumerate(SIZES) if i not in missing}
    return {"state": entries, "param_groups": [{"lr": 0.5, "params": list(range(len(SIZES)))}]}


@pytest.mark.parametrize("key", ["exp_avg", "momentum_buffer"])
def test_numbered_state_of_adam_and_nag(key):
    state = numbered(key)
    carried = optimizer_state.carry_over(state, WEIGHTS, PRUNED, AFTER)
    assert carried["param_groups"] == [{"lr": 0.5, "params": [0, 1, 2, 3, 4, 5, 6]}]
    assert {i: entry[key].tolist() for i, entry in carried["state"].items()} == {
        0: [0.0, 0.0],
        1: [1.0],
        2: [2.0, 2.0, 2.0],
        3: [5.0],
        4: [6.0, 6.0, 6.0],
        5: [7.0],
        6: [8.0],
    }
    assert {entry["step"] for entry in carried["state"].values()} == {7}
    assert state["param_groups"][0]["params"] == list(range(9))  # the caller's is left alone


def test_what_has_no_state_yet_gets_none():
    carried = optimizer_state.carry_over(numbered(missing=(5, 6)), WEIGHTS, PRUNED, AFTER)
    assert sorted(carried["state"]) == [0, 1, 2, 5, 6]


def test_flat_state_of_fp16_training():
    """The FP16Optimizer of fairseq lays all parameters end to end, in the model's order."""
    flat = torch.arange(16.0)
    state = {
        "state": {0: {"step": 7, "exp_avg": flat, "exp_avg_sq": flat * 10}},
        "param_groups": [{"lr": 0.5, "params": [0]}],
        "loss_scale": 128.0,
    }
    carried = optimizer_state.carry_over(state, WEIGHTS, PRUNED, AFTER)
    # embed 0-1, a0 2, b0 3-5; layer 1, 6-9, is gone; a2 10, b2 11-13; norm 14; criterion 15
    kept = [0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15]
    assert carried["state"][0]["exp_avg"].tolist() == kept
    assert carried["state"][0]["exp_avg_sq"].tolist() == [10 * i for i in kept]
    assert (carried["state"][0]["step"], carried["loss_scale"]) == (7, 128.0)
    assert carried["param_groups"] == [{"lr": 0.5, "params": [0]}]


def test_a_stack_that_is_not_pruned_keeps_its_state():
    weights = {f"{s}.layers.{i}.w": torch.zeros(1) for s in ("encoder", "decoder") for i in range(2)}
    after = [Parameter(name, (1,)) for name in ("encoder.layers.0.w", "encoder.layers.1.w", "decoder.layers.0.w")]
    state = {
        "state": {i: {"exp_avg": torch.full((1,), float(i))} for i in range(4)},
        "param_groups": [{"params": [0, 1, 2, 3]}],
    }
    carried = optimizer_state.carry_over(state, weights, {"decoder": Pruned(2, (1,))}, after)
    assert [carried["state"][i]["exp_avg"].item() for i in range(3)] == [0.0, 1.0, 3.0]


def test_the_copies_in_a_stock_checkpoint_are_counted_and_left_out():
    weights = {
        f"encoder.layers.{i}.{name}": torch.zeros(1)
        for i in range(2)
        for name in ("in_proj_weight", "fc1_bias", "fc1.bias")
    }
    state = {
        "state": {2: {"exp_avg": torch.tensor([2.0])}, 5: {"exp_avg": torch.tensor([5.0])}},  # copies get no gradient
        "param_groups": [{"params": [0, 1, 2, 3, 4, 5]}],
    }
    after = [Parameter("encoder.layers.0.fc1.bias", (1,))]
    carried = optimizer_state.carry_over(state, weights, {"encoder": Pruned(2, (1,))}, after)
    assert carried["state"] == {0: {"exp_avg": torch.tensor([5.0])}}


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ("SHARDED", "it is sharded or has several parameter groups"),
        ({"state": {}, "param_groups": [{"params": [0]}] * 2}, "it is sharded or has several parameter groups"),
        ({"state": {}, "param_groups": [{"params": [0, 1]}]}, "it has 2 parameters where the checkpoint's model has 9"),
        (
            {"state": {0: {"exp_avg": torch.zeros(12)}}, "param_groups": [{"params": [0]}]},
            "its 12 numbers are not the model's 16",
        ),
        (
            {"state": {1: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"params": list(range(9))}]},
            "its [2] does not fit decoder.layers.0.a",
        ),
    ],
)
def test_what_cannot_be_mapped_is_said_in_one_line(state, message):
    with pytest.raises(ValueError) as error:
        optimizer_state.carry_over(state, WEIGHTS, PRUNED, AFTER)
    assert str(error.value) == message


def test_another_shape_cannot_be_mapped():
    after = [Parameter("decoder.layers.1.b", (4,))]
    with pytest.raises(ValueError) as error:
        optimizer_state.carry_over(numbered(), WEIGHTS, PRUNED, after)
    assert str(error.value) == "the checkpoint has no parameter decoder.layers.2.b of shape [4]"


def test_a_fresh_state_remembers_nothing_but_the_rest():
    state = dict(numbered(), loss_scale=4.0)
    assert optimizer_state.fresh(state, 3) == {
        "state": {},
        "param_groups": [{"lr": 0.5, "params": [0, 1, 2]}],
        "loss_scale": 4.0,
    }
    flat = {"state": {}, "param_groups": [{"params": [0]}]}
    assert optimizer_state.fresh(flat, 3)["param_groups"] == [{"params": [0]}]
    assert optimizer_state.fresh("SHARDED", 3) is None


def by_name(state, names, key):
    """Moments of a saved state by the parameter's name, its number in the model's order."""
    return {name: state["state"][i][key] for i, name in enumerate(names) if i in state["state"]}


def moments(trainer, key):
    """Moments in a trainer's optimizer, by the parameter's name."""
    entries = trainer.optimizer.optimizer.state
    return {name: entries[p][key] for name, p in trainer.model.named_parameters() if key in entries.get(p, {})}


def kept_as(name, before):
    """The name that a parameter of a pruned model, layers 0 and 2 of the decoder's four, had before."""
    return name.replace("decoder.layers.1.", "decoder.layers.2.") if before else name


@pytest.fixture
def argv(tiny, data):
    def argv_of(family, arch=None):
        return [data[family], "--arch", arch or f"layerdrop_{family}", *tiny[family]]

    return argv_of


@pytest.mark.parametrize("family", ["transformer", "transformer_lm"])
def test_adams_moments_of_kept_parameters(family, full, make_trainer, argv):
    state = torch.load(full[family])["last_optimizer_state"]
    names = [name for name, _ in make_trainer(*argv(family)).model.named_parameters()]
    assert len(names) == len(state["param_groups"][0]["params"])
    pruned = make_trainer(*argv(family), "--restore-file", full[family], "--decoder-layers-to-keep", "0,2")
    pruned.load_checkpoint(str(full[family]))
    assert pruned.get_num_updates() == 12
    for key in ("exp_avg", "exp_avg_sq"):
        before, after = by_name(state, names, key), moments(pruned, key)
        assert set(after) == {name for name, _ in pruned.model.named_parameters()}
        for name, value in after.items():
            assert torch.equal(value, before[kept_as(name, before)]), name
        assert not torch.equal(before["decoder.layers.1.fc1.weight"], before["decoder.layers.2.fc1.weight"])


def test_nags_momentum_of_kept_parameters(train, make_trainer, argv, tmp_path):
    words = [*argv("transformer_lm"), "--optimizer", "nag", "--momentum", "0.9", "--save-dir", tmp_path]
    train(*words, "--max-update", 3)
    path = tmp_path / "checkpoint_last.pt"
    state = torch.load(path)["last_optimizer_state"]
    names = [name for name, _ in make_trainer(*words).model.named_parameters()]
    before = by_name(state, names, "momentum_buffer")
    pruned = make_trainer(*words, "--restore-file", path, "--decoder-layers-to-keep", "0,2")
    pruned.load_checkpoint(str(path))
    after = moments(pruned, "momentum_buffer")
    assert "decoder.layers.1.fc1.weight" in after
    for name, value in after.items():
        assert torch.equal(value, before[kept_as(name, before)]), name


@pytest.mark.slow
def test_a_stock_checkpoints_moments_are_carried_past_its_copies(stock_full, make_trainer, argv):
    saved = torch.load(stock_full)
    weights = [name for name in saved["model"] if not name.endswith(("version", "_float_tensor"))]
    names = [
        name for name in weights if name not in ("decoder.embed_tokens.weight", "decoder.output_projection.weight")
    ]
    assert len(names) == len(saved["last_optimizer_state"]["param_groups"][0]["params"])
    before = by_name(saved["last_optimizer_state"], names, "exp_avg")
    for options, renames in (([], False), (["--decoder-layers-to-keep", "0,2"], True)):
        trainer = make_trainer(*argv("transformer"), "--restore-file", stock_full, *options)
        trainer.load_checkpoint(str(stock_full))
        after = moments(trainer, "exp_avg")
        assert len(after) == len(list(trainer.model.parameters()))
        for name, value in after.items():
            assert torch.equal(value, before[kept_as(name, before) if renames else name]), name


def test_what_cannot_be_mapped_starts_fresh_with_one_warning(full, make_trainer, argv, tmp_path, caplog):
    state = torch.load(full["transformer_lm"])
    state["last_optimizer_state"]["param_groups"] *= 2
    torch.save(state, tmp_path / "two_groups.pt")
    options = ["--restore-file", tmp_path / "two_groups.pt", "--decoder-layers-to-keep", "0,2"]
    trainer = make_trainer(*argv("transformer_lm"), *options)
    with caplog.at_level(logging.WARNING, logger="layerdrop_plugin"):
        trainer.load_checkpoint(str(tmp_path / "two_groups.pt"))
    ours = [record for record in caplog.records if record.name.startswith("layerdrop_plugin")]
    assert [record.getMessage() for record in ours if record.levelno >= logging.WARNING] == [
        "the optimizer starts fresh: its state could not be carried over, "
        "as it is sharded or has several parameter groups"
    ]
    assert moments(trainer, "exp_avg") == {}
    assert trainer.get_num_updates() == 12  # no --reset-* option says otherwise


@pytest.mark.parametrize("reset", ["--reset-optimizer", "--reset-lr-scheduler"])
def test_fairseqs_reset_options_hold(reset, full, make_trainer, argv, caplog):
    from fairseq import checkpoint_utils

    path = full["transformer_lm"]
    options = ["--restore-file", path, "--decoder-layers-to-keep", "0,2", reset, "--lr-scheduler", "inverse_sqrt"]
    trainer = make_trainer(*argv("transformer_lm"), *options, "--warmup-updates", "100", "--reset-dataloader")
    with caplog.at_level(logging.WARNING, logger="layerdrop_plugin"):
        checkpoint_utils.load_checkpoint(trainer.cfg.checkpoint, trainer)
    assert [r for r in caplog.records if r.name.startswith("layerdrop_plugin") and r.levelno >= logging.WARNING] == []
    if reset == "--reset-optimizer":
        assert trainer.get_num_updates() == 0
        assert moments(trainer, "exp_avg") == {}
    else:
        assert trainer.get_num_updates() == 12
        assert set(moments(trainer, "exp_avg")) == {name for name, _ in trainer.model.named_parameters()}
