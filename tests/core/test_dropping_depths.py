"""Stacks that train several depths: what a forward pass runs, beside everything else that is dropped."""

from __future__ import annotations

import pickle

import pytest
import torch
from shared.toy_stacks import DEPTH, Layer, forward, make_stack, ran
from torch import nn

from layerdrop_plugin import depths
from layerdrop_plugin.dropping import Dropping, Groups, LayerDropStack
from layerdrop_plugin.forward_pass import Passes
from layerdrop_plugin.rates import Schedule

TRAINED = depths.parse("12=0.4,6,first:3,1", {"encoder": DEPTH})


def layers_that_ran(stack, passes=40):
    """The layers of each of so many forward passes, one for each update."""
    found = []
    for update in range(passes):
        stack.set_num_updates(update)
        forward(stack, torch.randn(2, 4))
        found.append(tuple(ran(stack)))
    return found


def test_a_pass_runs_just_the_layers_of_one_trained_depth():
    kept = {d.kept["encoder"] for d in TRAINED}
    assert kept == {tuple(range(12)), (0, 2, 4, 6, 8, 10), (0, 1, 2), (0,)}
    assert set(layers_that_ran(make_stack(0.0, depths=TRAINED))) == kept


def test_it_runs_what_the_draw_says():
    runs = layers_that_ran(make_stack(0.0, depths=TRAINED, seed=5))
    drawn = [depths.draw(TRAINED, seed=5, update=u, forward_pass=0).kept["encoder"] for u in range(40)]
    assert runs == drawn


def test_a_pass_equals_the_chosen_layers_by_hand():
    stack = make_stack(0.0, depths=depths.parse("12=0,4", {"encoder": DEPTH}))
    x = torch.randn(3, 4)
    assert torch.equal(forward(stack, x), forward([stack[i] for i in (0, 3, 6, 9)], x))


def test_full_depth_only_is_training_without_depths_bit_for_bit():
    x = torch.randn(3, 4)
    plain, with_depths = make_stack(0.5), make_stack(0.5, depths=depths.parse("12=1,6=0", {"encoder": DEPTH}))
    for update in range(5):
        plain.set_num_updates(update)
        with_depths.set_num_updates(update)
        assert torch.equal(forward(plain, x), forward(with_depths, x))


def test_rates_drop_layers_of_passes_at_full_depth_only():
    stack = make_stack((0.0,) + (0.999,) * 11, depths=depths.parse("6", {"encoder": DEPTH}))
    assert set(layers_that_ran(stack)) == {(0,), (0, 2, 4, 6, 8, 10)}


def test_groups_are_dropped_at_each_depth():
    calls = []

    def run_without(layer, dropped, x):
        calls.append(dropped)
        return layer(x)

    trained = depths.parse("12=0,3", {"encoder": DEPTH})
    groups = (Groups("ffn", (0.999,) * DEPTH),)
    forward(make_stack(0.0, groups=groups, run_without=run_without, depths=trained), torch.randn(2, 4))
    assert calls == [{"ffn": (True,)}] * 3


def test_the_share_of_small_depths_follows_the_schedule():
    trained = depths.parse("12=0,6", {"encoder": DEPTH})
    stack = make_stack(0.0, depths=trained, schedule=Schedule(warmup=10, cooldown=10, max_update=100))
    runs = [len(layers) for layers in layers_that_ran(stack, passes=100)]
    assert runs[0] == runs[99] == 12
    assert runs[10:90] == [6] * 80
    assert set(runs[1:10]) == {6, 12}


def test_both_stacks_of_a_model_run_the_same_depth():
    trained = depths.parse("6+3,3+6,2+1", {"encoder": 12, "decoder": 12})
    stacks = [
        LayerDropStack([Layer() for _ in range(12)], Dropping(seed=2, depths=trained), s) for s in trained[0].kept
    ]
    both = set(zip(*map(layers_that_ran, stacks)))
    assert both == {(d.kept["encoder"], d.kept["decoder"]) for d in trained}


class Model(nn.Module):
    """Two stacks, of which the encoder may be called alone."""

    def __init__(self, trained):
        super().__init__()
        for name in trained[0].kept:
            setattr(self, name, LayerDropStack([Layer() for _ in range(12)], Dropping(depths=trained), name))

    def forward(self, x):
        return forward(self.decoder, forward(self.encoder, x))


def test_one_pass_of_a_model_is_at_one_depth_also_where_the_encoder_is_called_alone_besides():
    trained = depths.parse("12=0,6,3,1", {"encoder": 12, "decoder": 12})
    model, passes, x = Model(trained), Passes(), torch.randn(2, 4)
    model.register_forward_pre_hook(passes)
    model.encoder.model_passes = model.decoder.model_passes = passes
    model = pickle.loads(pickle.dumps(model))
    for update in range(10):
        for stack in (model.encoder, model.decoder):
            stack.set_num_updates(update)
        for number in range(2):
            drawn = depths.draw(trained, seed=0, update=update, forward_pass=number).kept
            model(x)
            assert {name: tuple(ran(getattr(model, name))) for name in drawn} == drawn
            forward(model.encoder, x)
            assert tuple(ran(model.encoder)) == drawn["encoder"]
            model.eval()(x)
            model.train()
            ran(model.encoder), ran(model.decoder)


def test_the_second_pass_of_an_update_has_a_draw_of_its_own():
    stack = make_stack(0.0, depths=depths.parse("12=0,6,3,1", {"encoder": DEPTH}))
    runs = []
    for _ in range(20):
        forward(stack, torch.randn(2, 4))
        runs.append(len(ran(stack)))
    assert set(runs) == {6, 3, 1}
    stack.set_num_updates(1)
    stack.set_num_updates(0)
    forward(stack, torch.randn(2, 4))
    assert len(ran(stack)) == runs[0]


def test_layers_that_do_not_run_get_no_gradient():
    stack = make_stack(0.0, depths=depths.parse("12=0,2", {"encoder": DEPTH}))
    forward(stack, torch.randn(2, 4)).sum().backward()
    assert [i for i in range(DEPTH) if stack[i].fc.weight.grad is not None] == [0, 6]


def test_the_share_of_dropped_layers_counts_those_that_a_depth_leaves_out():
    stack = make_stack(0.0, depths=depths.parse("12=0,3", {"encoder": DEPTH}))
    forward(stack, torch.randn(2, 4))
    assert stack.take_share() == 0.75


def test_evaluation_runs_every_layer():
    stack = make_stack(0.0, depths=TRAINED).eval()
    assert layers_that_ran(stack, passes=3) == [tuple(range(12))] * 3


@pytest.mark.parametrize(
    ("trained", "message"),
    [
        (
            depths.parse("3", {"encoder": 6}),
            "`depths` must have all 12 layers of encoder as full depth, but has (0, 1, 2, 3, 4, 5).",
        ),
        (
            depths.parse("3", {"decoder": 12}),
            "`depths` must have all 12 layers of encoder as full depth, but has None.",
        ),
    ],
)
def test_depths_of_another_stack_are_refused(trained, message):
    with pytest.raises(ValueError) as error:
        make_stack(0.0, depths=trained)
    assert str(error.value) == message


def test_learned_rates_and_depths_are_refused():
    with pytest.raises(ValueError) as error:
        make_stack(0.5, learned=True, depths=TRAINED)
    assert str(error.value) == "`learned` must be False where there are `depths`, but is True."


def test_a_stack_shows_its_depths():
    shown = repr(nn.Sequential(make_stack(0.0, depths=TRAINED)))
    assert "name=encoder, rates=0.0, depths=12=0.4,6=0.2,first:3=0.2,1=0.2" in shown
