"""A checkpoint as a value: from fairseq's dict and back without loss, and what changes it leaves it as it was."""

from __future__ import annotations

import copy
from argparse import Namespace
from dataclasses import FrozenInstanceError

import pytest
import torch
from fairseq import checkpoint_utils
from omegaconf import OmegaConf
from shared.pruned_files import same

from layerdrop_plugin.fairseq_adapter.checkpoints import pruning
from layerdrop_plugin.fairseq_adapter.checkpoints.checkpoint import Checkpoint
from layerdrop_plugin.fairseq_adapter.checkpoints.provenance import Origin, Pruned
from layerdrop_plugin.fairseq_adapter.checkpoints.stock import as_stock
from layerdrop_plugin.fairseq_adapter.checkpoints.write_pruned import without_training
from layerdrop_plugin.fairseq_adapter.options.config import get


def options(**more):
    return {"_name": "layerdrop_transformer_lm", "decoder_layers": 3, "decoder_layerdrop": "linear:0:0.5", **more}


def groups(**more):
    """Options in groups, of which one looks up another's."""
    return {"common": {"seed": 7}, "task": {"_name": "language_modeling"}, "model": options(), **more}


def step(*kept):
    return {"depth": 6, "kept": list(kept)}


def weights():
    return {f"decoder.layers.{i}.w": torch.tensor([float(i)]) for i in range(3)}


def training():
    return {
        "optimizer_history": [
            {"best_loss": 2.0, "optimizer": {}},
            {"num_updates": 7, "lr_scheduler_state": {"best": 2}},
        ],
        "extra_state": {"best": 2.5, "ema": weights(), "train_iterator": {"epoch": 1}},
        "last_optimizer_state": {"state": {}, "param_groups": [{"params": [0, 1, 2]}]},
    }


STATES = {
    "a dict": lambda: {"args": None, "cfg": groups(), "model": weights(), **training()},
    "a Namespace in a dict": lambda: {"cfg": groups(model=Namespace(**options())), "model": weights(), "args": None},
    "a DictConfig": lambda: {"cfg": OmegaConf.create(groups()), "args": None, "model": weights(), **training()},
    "old": lambda: {"model": weights(), **training(), "args": Namespace(arch="transformer_lm", decoder_layers=3)},
    "args beside cfg": lambda: {"args": Namespace(**options()), "model": weights(), "cfg": groups()},
    "without groups": lambda: {"cfg": {}, "model": weights(), "last_optimizer_state": None, "extra_state": None},
    "pruned": lambda: {
        "layerdrop": {"decoder": {**step(0, 2, 4), "last": step(0, 2, 4), "by": "hand"}},
        "cfg": groups(),
        "model": weights(),
    },
    "more entries": lambda: {
        "fsdp_metadata": [1],
        "layerdrop": None,
        "cfg": groups(),
        "criterion": {"w": torch.ones(1)},
        "model": weights(),
        "task_state": {},
    },
}
states = pytest.mark.parametrize("make", STATES.values(), ids=list(STATES))


@states
def test_from_a_dict_and_back_nothing_is_lost(make):
    state = make()
    after = Checkpoint.of(state).as_state()
    assert same(after, make())
    assert list(after) == list(state)
    assert all(after[name] is value for name, value in state.items())


@states
@pytest.mark.parametrize("stock", [False, True], ids=["ours", "stock"])
def test_pruning_leaves_it_as_it_was(stock, make):
    state = make()
    checkpoint = Checkpoint.of(state)
    small, _ = pruning.prune(checkpoint, {"decoder": "0,2"})
    small = without_training(as_stock(small) if stock and checkpoint.architecture else small)
    assert list(small.weights) == ["decoder.layers.0.w", "decoder.layers.1.w"]
    assert same(state, make())
    assert same(checkpoint.as_state(), make())


@pytest.mark.parametrize("change", [{"decoder_layers": 6}, {"decoder_layers_to_keep": "0,2"}], ids=["deep", "to do"])
@pytest.mark.parametrize("kind", ["a dict", "a Namespace in a dict", "a DictConfig", "old"])
def test_reconciling_leaves_it_as_it_was(kind, change):
    state = Checkpoint.of(STATES[kind]()).with_options(lambda cfg: change).as_state()
    before = copy.deepcopy(state)
    reconciled = pruning.reconcile(Checkpoint.of(state))
    depth = 3 if "decoder_layers" in change else 2
    assert [get(cfg, "decoder_layers") for cfg in reconciled.configurations] == [depth]
    assert reconciled.depths == {"decoder": depth}
    assert same(state, before)


def test_entries_that_are_not_there_stay_away_and_new_ones_come_last():
    state = {"model": weights(), "cfg": groups()}
    small, _ = pruning.prune(Checkpoint.of(state), {"decoder": "0,2"})
    assert list(small.as_state()) == ["model", "cfg", "layerdrop"]
    assert small.origins == {"decoder": Origin(Pruned(3, (0, 2)), Pruned(3, (0, 2)))}


def test_tensors_are_the_same_ones():
    state = {"model": weights(), "cfg": groups(), **training()}
    small, _ = pruning.prune(Checkpoint.of(state), {"decoder": "0,2"})
    assert small.weights["decoder.layers.1.w"] is state["model"]["decoder.layers.2.w"]
    assert small.extra_state["ema"]["decoder.layers.1.w"] is state["extra_state"]["ema"]["decoder.layers.2.w"]
    assert small.optimizer is state["last_optimizer_state"]


@pytest.mark.parametrize("kind", ["a dict", "a Namespace in a dict", "a DictConfig", "args beside cfg"])
def test_options_of_every_kind_are_changed_and_keep_their_kind(kind):
    state = STATES[kind]()
    changed = Checkpoint.of(state).with_options(lambda cfg: {"decoder_layers": 2, "new": None})
    assert all((get(cfg, "decoder_layers"), get(cfg, "new", 1)) == (2, None) for cfg in changed.configurations)
    assert type(changed.cfg) is type(state["cfg"])
    assert type(changed.cfg["model"]) is type(state["cfg"]["model"])
    assert list(changed.cfg) == ["common", "task", "model"]


def test_a_changed_group_still_looks_up_others():
    cfg = OmegaConf.create(groups(model=options(seed="${common.seed}")))
    OmegaConf.set_struct(cfg, True)
    changed = Checkpoint({}, cfg=cfg).with_options(lambda cfg: {"decoder_layers": 2})
    changed.cfg.common.seed = 8
    assert (changed.cfg.model.seed, cfg.model.seed, cfg.model.decoder_layers) == (8, 7, 3)
    assert OmegaConf.is_struct(changed.cfg)


def test_where_nothing_changes_nothing_is_copied():
    cfg = OmegaConf.create(groups())
    assert pruning.reconcile(Checkpoint(weights(), cfg=cfg)).cfg is cfg


def test_what_fairseq_loaded_is_pruned_in_a_copy(full):
    state = checkpoint_utils.load_checkpoint_to_cpu(str(full["transformer"]))
    cfg, before = state["cfg"], copy.deepcopy(state["cfg"])
    small, _ = pruning.prune(Checkpoint.of(state), {"encoder": "0,3"})
    assert state["cfg"] is cfg
    assert str(cfg) == str(before)  # omegaconf 2.0 compares no Namespace
    assert cfg.model.encoder_layers == 4
    assert (small.cfg.model.encoder_layers, small.cfg["model"]) == (2, small.configurations[0])
    assert type(small.cfg.model) is type(cfg.model)


def test_what_it_tells():
    state = {"model": weights(), "cfg": groups(), **training()}
    checkpoint = Checkpoint.of(state)
    assert checkpoint.configurations == (Namespace(**options()),)
    assert (checkpoint.architecture, checkpoint.depths) == ("layerdrop_transformer_lm", {"decoder": 3})
    assert (checkpoint.option("task", "_name"), checkpoint.option("common", "seed")) == ("language_modeling", 7)
    assert (checkpoint.option("task", "data"), checkpoint.option("dataset", "x")) == (None, None)
    assert (checkpoint.history[-1]["num_updates"], checkpoint.extra_state["best"]) == (7, 2.5)


def test_what_an_old_or_empty_one_tells():
    args = Namespace(arch="roberta_base", task="masked_lm", encoder_layers=12)
    old = Checkpoint.of({"args": args, "model": {"decoder.sentence_encoder.layers.0.w": 0}, "cfg": groups()})
    assert (old.architecture, old.option("task", "task"), old.option("task", "_name")) == (
        "roberta_base",
        "masked_lm",
        None,
    )
    assert old.depths == {"encoder": 1}
    empty = Checkpoint.of({"model": {"decoder.layers.1.w": 0}})  # layers of a model that is none of ours
    assert (empty.configurations, empty.architecture, empty.option("task", "_name")) == ((), None, None)
    assert (empty.depths, empty.history, empty.extra_state, empty.origins) == ({}, [], {}, {})


def test_it_can_not_be_edited():
    with pytest.raises(FrozenInstanceError):
        Checkpoint({}).weights = {}


def test_an_origin_that_is_none_is_refused():
    with pytest.raises(ValueError) as error:
        Checkpoint.of({"model": {}, "layerdrop": {"decoder": 3}})
    assert str(error.value) == "`layerdrop` of a checkpoint must say what was pruned, but is {'decoder': 3}."
