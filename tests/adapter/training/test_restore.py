"""What a training makes of the checkpoint that it reads: another one; what was read stays as it was."""

from __future__ import annotations

from argparse import Namespace

import pytest
import torch
from shared.pruned_files import same

from layerdrop_plugin.fairseq_adapter.checkpoints.checkpoint import Checkpoint
from layerdrop_plugin.fairseq_adapter.checkpoints.optimizer_state import Parameter
from layerdrop_plugin.fairseq_adapter.checkpoints.provenance import Origin, Pruned
from layerdrop_plugin.fairseq_adapter.training.restore import OPTIMIZER_IS_LOST, TrainingRun, _prepare

KEPT = Pruned(3, (0, 2))
PARAMETERS = [Parameter(f"decoder.layers.{i}.w", (1,)) for i in range(2)]


def full(count=3):
    """A checkpoint of three layers whose optimizer numbers so many parameters."""
    options = Namespace(decoder_layers=3, alignment_layer=1)
    return {
        "args": None,
        "cfg": {"model": options},
        "model": {f"decoder.layers.{i}.w": torch.tensor([float(i)]) for i in range(3)},
        "optimizer_history": [{"num_updates": 7, "criterion_name": "x", "lr_scheduler_state": {"best": 2.0}}],
        "extra_state": {"best": 2.0},
        "last_optimizer_state": {
            "state": {i: {"exp_avg": torch.tensor([10.0 + i])} for i in range(3)},
            "param_groups": [{"params": list(range(count))}],
        },
    }


def prepare(state, parameters=PARAMETERS, plan=KEPT, stores_ema=False):
    run = TrainingRun({"decoder": plan}, {"decoder": len(plan.kept)}, parameters, stores_ema)
    return _prepare(run, Checkpoint.of(state), "a.pt")


def test_it_is_pruned_with_its_optimizer():
    state = full()
    small = prepare(state)
    assert [value.item() for value in small.weights.values()] == [0.0, 2.0]
    assert small.origins == {"decoder": Origin(KEPT, KEPT)}
    assert vars(small.cfg["model"]) == {"decoder_layers": 2, "alignment_layer": None}
    assert [entry["exp_avg"].item() for entry in small.optimizer["state"].values()] == [10.0, 12.0]
    assert (small.extra_state, small.history[-1]["lr_scheduler_state"]) == ({}, {"best": float("inf")})
    assert same(state, full())


def test_an_optimizer_that_can_not_be_mapped_is_fresh(caplog):
    state = full(count=5)
    small = prepare(state)
    assert small.optimizer == {"state": {}, "param_groups": [{"params": [0, 1]}]}
    assert OPTIMIZER_IS_LOST not in small.history[-1]
    assert same(state, full(count=5))
    assert "the optimizer starts fresh: its state could not be carried over, as it has 5 parameters" in caplog.text


def test_an_optimizer_that_is_lost_is_noted_for_all_workers():
    state = {**full(), "last_optimizer_state": {"sharded": True}}
    small = prepare(state)
    assert (small.optimizer, small.history[-1][OPTIMIZER_IS_LOST]) == (None, True)
    assert OPTIMIZER_IS_LOST not in state["optimizer_history"][-1]


def test_a_run_that_starts_its_optimizer_fresh_reads_none():
    assert prepare(full(), parameters=None).optimizer is None


def test_moving_averages_begin_with_the_weights():
    state = full()
    small = prepare(state, stores_ema=True)
    assert same(small.extra_state["ema"], dict(small.weights))
    assert same(state, full())


@pytest.mark.parametrize("plan", [KEPT, Pruned(3, (0, 1))])
def test_layers_that_were_no_trained_depth_are_noted(plan, caplog):
    state = full()
    state["cfg"]["model"].layerdrop_depths = "first:2"
    prepare(state, plan=plan)
    line = "a.pt: the layers that are kept are none of the depths that were trained, 3, first:2"
    assert [r.getMessage() for r in caplog.records if "trained" in r.getMessage()] == ([line] if plan is KEPT else [])


def test_one_that_is_pruned_already_goes_on_as_it_is():
    state = prepare(full()).as_state()
    assert same(prepare(state).as_state(), state)


def test_other_layers_are_refused():
    with pytest.raises(ValueError) as error:
        prepare(prepare(full()).as_state(), plan=Pruned(4, (1, 2)))
    assert str(error.value) == (
        "`decoder_layers_to_keep` must fit the checkpoint, but asks for layers [1,2] of 4, "
        "and a.pt was pruned before and holds layers [0,2] of 3."
    )


def test_layers_of_another_depth_are_refused():
    with pytest.raises(ValueError) as error:
        prepare(full(), plan=Pruned(6, (1, 4)))
    assert str(error.value) == (
        "`decoder_layers_to_keep` must fit the checkpoint, but asks for layers [1,4] of 6, and a.pt has 3: "
        "`--decoder-layers` must be 3, too."
    )
