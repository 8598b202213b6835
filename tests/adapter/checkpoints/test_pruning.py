"""Pruning a checkpoint that was read: weights, configuration, outputs; against layers removed by hand."""

from __future__ import annotations

import copy
from argparse import Namespace

import pytest
import torch
from omegaconf import OmegaConf

from layerdrop_plugin.fairseq_adapter.checkpoints import pruning
from layerdrop_plugin.fairseq_adapter.checkpoints import stock as stock_checkpoint
from layerdrop_plugin.fairseq_adapter.checkpoints.checkpoint import Checkpoint
from layerdrop_plugin.fairseq_adapter.checkpoints.provenance import Pruned
from layerdrop_plugin.fairseq_adapter.options.config import get, put
from layerdrop_plugin.fairseq_adapter.options.model_options import read


def small_state(cfg=None, **entries):
    """A checkpoint of two encoder and three decoder layers of one number each, and a head with digits."""
    weights = {"encoder.embed": 0, **{f"encoder.layers.{i}.w": 10 + i for i in range(2)}}
    weights.update({f"decoder.layers.{i}.w": 20 + i for i in range(3)})
    weights["classification_heads.x.layers.1.weight"] = 31
    return {"model": weights, "args": cfg or Namespace(encoder_layers=2, decoder_layers=3), **entries}


def test_requested_takes_the_specifications_out_of_a_mapping():
    cfg = {"encoder_layers_to_keep": None, "decoder_layers_to_keep": "0,2", "encoder_layers": 2}
    assert pruning.requested(cfg) == {"decoder": "0,2"}
    assert pruning.requested({}) == {}


def test_plan_counts_each_stack():
    specs = {"encoder": "last:1", "decoder": [0, 2]}
    planned = pruning.plan(specs, {"encoder": 2, "decoder": 3})
    assert planned == {"encoder": Pruned(2, (1,)), "decoder": Pruned(3, (0, 2))}


def test_plan_refuses_a_stack_that_is_not_there():
    with pytest.raises(ValueError) as error:
        pruning.plan({"decoder": "0,2"}, {"encoder": 4})
    assert str(error.value) == (
        "`decoder_layers_to_keep` must be left out: the decoder layers of this model can't be pruned (got '0,2')."
    )


def prune(state, specs):
    """What pruning makes of fairseq's dict, and what was kept; the dict itself is left as it was."""
    before = copy.deepcopy(state)
    small, kept = pruning.prune(Checkpoint.of(state), specs)
    assert state == before
    return small.as_state(), kept


def reconcile(state):
    """What reconciling makes of fairseq's dict, which is left as it was."""
    before = copy.deepcopy(state)
    reconciled = pruning.reconcile(Checkpoint.of(state)).as_state()
    assert state == before
    return reconciled


def test_a_checkpoint_is_pruned_in_weights_configuration_and_origin():
    state, kept = prune(small_state(), {"decoder": "0,2"})
    assert kept == {"decoder": Pruned(3, (0, 2))}
    assert state == {
        "model": {
            "encoder.embed": 0,
            "encoder.layers.0.w": 10,
            "encoder.layers.1.w": 11,
            "decoder.layers.0.w": 20,
            "decoder.layers.1.w": 22,
            "classification_heads.x.layers.1.weight": 31,
        },
        "args": Namespace(encoder_layers=2, decoder_layers=2),
        "layerdrop": {"decoder": {"depth": 3, "kept": [0, 2], "last": {"depth": 3, "kept": [0, 2]}}},
    }


@pytest.mark.parametrize("make", [lambda **cfg: Namespace(**cfg), lambda **cfg: OmegaConf.create(cfg)])
def test_either_kind_of_configuration_is_read(make):
    cfg = make(encoder_layers=2, decoder_layers=3)
    changes = pruning.changed_options(cfg, {"encoder": Pruned(2, (1,))})
    assert changes == {"encoder_layers": 1}
    done = pruning.changed_options(make(encoder_layers=2, encoder_layers_to_keep="1"), {"encoder": Pruned(2, (1,))})
    assert done == {"encoder_layers": 1, "encoder_layers_to_keep": None}
    assert cfg == make(encoder_layers=2, decoder_layers=3)


@pytest.mark.parametrize("make", [lambda **cfg: Namespace(**cfg), lambda **cfg: OmegaConf.create(cfg)])
@pytest.mark.parametrize(
    ("given", "kept", "left"),
    [
        ("linear:0:0.5", (0, 2, 4), "0.0,0.25,0.5"),
        ("linear:0:0.5", (2,), 0.25),
        ("0.1,0.2,0.3,0.4,0.5", (1, 3), "0.2,0.4"),
        ("0.1,0.2,0.1,0.2,0.1", (0, 2, 4), 0.1),
        ("target:4", (0, 1), 1.0 - 4 / 5),
        (0.3, (0, 1), 0.3),
        (None, (0, 1), None),
    ],
)
def test_rates_stay_with_their_layers(given, kept, left, make):
    cfg = make(decoder_layers=5, decoder_attention_heads=8, encoder_layers=5, encoder_layerdrop="linear:0:0.5")
    for kind in ("layerdrop", "ffndrop", "sublayerdrop"):
        put(cfg, f"decoder_{kind}", given)
    changes = pruning.changed_options(cfg, {"decoder": Pruned(5, kept)})
    drops = [f"decoder_{kind}" for kind in ("layerdrop", "ffndrop", "sublayerdrop")]
    assert [changes.get(name, get(cfg, name)) for name in drops] == [left] * 3
    assert changes.keys() - drops == {"decoder_layers"}
    assert changes["decoder_layers"] == len(kept)


def test_a_target_of_heads_stays_a_rate_of_heads():
    cfg = Namespace(decoder_layers=5, decoder_attention_heads=8, decoder_headdrop="target:6")
    assert pruning.changed_options(cfg, {"decoder": Pruned(5, (0, 4))})["decoder_headdrop"] == 0.25


def test_rates_that_fall_to_0_can_be_read_again_from_a_pruned_configuration():
    """The last of these, by first + (last - first) i / (n - 1), would be -4e-19, and no rate."""
    cfg = Namespace(decoder_layers=4, decoder_layerdrop="linear:0.003:0")
    changes = pruning.changed_options(cfg, {"decoder": Pruned(4, (0, 3))})
    assert changes["decoder_layerdrop"] == "0.003,0.0"
    read(Namespace(**{**vars(cfg), **changes}))


def learned_state(depth=4, **options):
    """A checkpoint whose decoder learned the rates 0.4, 0.1, 0.3, 0.2."""
    state = {"model": {}, "args": Namespace(decoder_layers=depth, **options)}
    for i, rate in enumerate((0.4, 0.1, 0.3, 0.2)[:depth]):
        state["model"][f"decoder.layers.{i}.w"] = 20 + i
        state["model"][f"decoder.layers.{i}.learned_rate.rate"] = torch.tensor([rate])
    return state


@pytest.mark.parametrize("keep", [1, 2, 3, 4])
def test_a_checkpoint_is_pruned_to_the_lowest_learned_rates(keep):
    kept = {1: (1,), 2: (1, 3), 3: (1, 2, 3), 4: (0, 1, 2, 3)}[keep]
    small, found = pruning.prune(Checkpoint.of(learned_state()), {"decoder": f"learned:{keep}"})
    assert found == {"decoder": Pruned(4, kept)}
    assert [v for name, v in small.weights.items() if name.endswith(".w")] == [20 + i for i in kept]
    left = small.learned_rates["decoder"]
    assert left == pytest.approx([(0.4, 0.1, 0.3, 0.2)[i] for i in kept])


def test_a_checkpoint_without_learned_rates_is_not_pruned_by_them():
    state = small_state()
    before = copy.deepcopy(state)
    with pytest.raises(ValueError) as error:
        pruning.prune(Checkpoint.of(state), {"decoder": "learned:2"})
    assert str(error.value) == (
        "`decoder_layers_to_keep` must not be 'learned:2' where no drop rates were learned "
        "(with --*-layerdrop-learned)."
    )
    assert state == before


def test_reconcile_carries_out_what_is_to_be_kept_by_learned_rates():
    state = reconcile(learned_state(decoder_layers_to_keep="learned:2"))
    assert [v for name, v in state["model"].items() if name.endswith(".w")] == [21, 23]
    assert (state["args"].decoder_layers, state["args"].decoder_layers_to_keep) == (2, None)
    assert reconcile(state)["args"].decoder_layers == 2


@pytest.mark.parametrize("kind", ["args", "cfg"])
def test_a_stock_checkpoint_has_nothing_of_ours(kind):
    drops = {f"decoder_{drop}": "linear:0:0.5" for drop in ("layerdrop", "headdrop", "ffndrop", "sublayerdrop")}
    state = learned_state(arch="layerdrop_transformer_lm", decoder_layerdrop_learned=True, dropout=0.1, **drops)
    options = state.pop("args")
    options.layerdrop_warmup_updates, options.layerdrop_cooldown_updates = 10, 20
    options.decoder_layers_to_keep = options.encoder_layerdrop = None
    state[kind] = options if kind == "args" else {"model": options, "task": {"decoder_layerdrop": "linear:0:0.5"}}
    state["extra_state"] = {"ema": dict(state["model"])}
    before = copy.deepcopy(state)
    stock = stock_checkpoint.as_stock(Checkpoint.of(state)).as_state()
    assert state == before
    plain = {f"decoder.layers.{i}.w": 20 + i for i in range(4)}
    assert stock["model"] == stock["extra_state"]["ema"] == plain
    assert vars(stock["args"] if kind == "args" else stock["cfg"]["model"]) == {
        "arch": "transformer_lm",
        "decoder_layers": 4,
        "dropout": 0.1,
        **dict.fromkeys((*drops, "encoder_layerdrop"), 0.0),
        "decoder_layerdrop_learned": False,
        "layerdrop_warmup_updates": 0,
        "layerdrop_cooldown_updates": 0,
        "decoder_layers_to_keep": None,
    }
    if kind == "cfg":
        assert stock["cfg"]["task"] == {"decoder_layerdrop": 0.0}


def test_averages_of_the_weights_are_pruned_too():
    average = {"decoder.layers.0.w": 0, "decoder.layers.1.w": 1, "decoder.layers.2.w": 2, "embed": 3}
    state = small_state(extra_state={"ema": dict(average), "ema_fp32_params": dict(average), "best": 1})
    state, _ = prune(state, {"decoder": "last:1"})
    pruned = {"decoder.layers.0.w": 2, "embed": 3}
    assert state["extra_state"] == {"ema": pruned, "ema_fp32_params": pruned}


def test_pruned_again_it_says_what_is_left_of_the_first_model():
    state, _ = prune(small_state(), {"decoder": "0,2"})
    state, _ = prune(state, {"decoder": "last:1"})
    assert state["layerdrop"] == {"decoder": {"depth": 3, "kept": [2], "last": {"depth": 2, "kept": [1]}}}
    assert state["model"]["decoder.layers.0.w"] == 22


def test_what_does_not_fit_a_pruned_checkpoint_is_refused_with_what_it_holds():
    state, _ = prune(small_state(), {"decoder": "0,2"})
    before = copy.deepcopy(state)
    with pytest.raises(ValueError) as error:
        pruning.prune(Checkpoint.of(state), {"decoder": "0,2"})
    assert str(error.value) == (
        "`decoder_layers_to_keep` must name layers from 0 to 1, but has 2 in '0,2'. "
        "The checkpoint was pruned before and holds decoder layers [0,2] of 3."
    )
    assert state == before


@pytest.mark.parametrize(
    ("cfg", "depth", "layers"),
    [
        ({"decoder_layers": 3}, 3, [20, 21, 22]),
        ({"decoder_layers": 6}, 3, [20, 21, 22]),  # fairseq wrote pruned weights with the full depth (#1403)
        ({"decoder_layers": 6, "decoder_layers_to_keep": "0,2,4"}, 3, [20, 21, 22]),  # and what it had done (#1406)
        ({"decoder_layers": 3, "decoder_layers_to_keep": "0,2"}, 2, [20, 22]),  # still to be done
        ({"decoder_layers": 3, "decoder_layers_to_keep": "every_other:1"}, 1, [20]),
        ({"decoder_layers": 12, "decoder_layers_to_keep": "every_other:2"}, 2, [20, 21]),  # of the three that it has
    ],
)
def test_reconcile_makes_a_checkpoint_agree_with_itself(cfg, depth, layers):
    state = reconcile(small_state(Namespace(encoder_layers=2, **cfg)))
    assert state["args"].decoder_layers == depth
    assert getattr(state["args"], "decoder_layers_to_keep", None) is None
    assert [v for name, v in state["model"].items() if name.startswith("decoder.layers")] == layers
    assert state["args"].encoder_layers == 2
    assert reconcile(state) == state


def test_options_of_two_models_change_alike():
    """Whatever a file says in `args` and in `cfg`, its own architecture is the first that it names."""
    weights = {f"decoder.layers.{i}.w": 20 + i for i in range(3)}
    both = {"args": Namespace(arch="transformer_lm", decoder_layers=3), "cfg": {"model": {"_name": "roberta"}}}
    state, _ = prune({"model": weights, **both}, {"decoder": "0,2"})
    assert (state["args"].decoder_layers, state["cfg"]["model"]["decoder_layers"]) == (2, 2)
