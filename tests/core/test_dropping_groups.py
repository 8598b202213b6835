"""Groups within layers (heads, FFN, sub-layers) of a tiny stack."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace

import pytest
import torch
from shared.toy_stacks import DEPTH, forward, make_stack
from torch import nn

from layerdrop_plugin.dropping import Dropping, Groups, LayerDropStack, dropped_groups
from layerdrop_plugin.rates import Schedule


class Halves(nn.Module):
    """A layer of two heads and an FFN: each adds a number of its own."""

    def __init__(self, number):
        super().__init__()
        self.numbers = {"heads": [number, 10 * number], "ffn": [100 * number]}

    def forward(self, x, scale=1):
        return self.without({}, x, scale)

    def without(self, dropped, x, scale=1):
        for name, numbers in self.numbers.items():
            mask = dropped.get(name, [False] * len(numbers))
            x = x + scale * sum(number for number, gone in zip(numbers, mask) if not gone)
        return x


def halves(depth=6, rate=0.0, **groups):
    """A stack named encoder, as a run with seed 0 begins with; `groups` are rates by name."""
    sizes, calls = {"heads": 2, "ffn": 1}, []

    def run_without(layer, dropped, x, *args, **kwargs):
        calls.append(dropped)
        return layer.without(dropped, x, *args, **kwargs)

    of_all = tuple(Groups(name, p if isinstance(p, tuple) else (p,) * depth, sizes[name]) for name, p in groups.items())
    dropping = Dropping(rate, of_all, run_without)
    return LayerDropStack([Halves(1) for _ in range(depth)], dropping, name="encoder"), calls


def bits(mask):
    return "".join("01"[dropped] for dropped in mask)


def masks_of(**key):
    """The masks of six layers with two heads each at rate 0.5, by the pure function."""
    kinds = {"encoder": 6, "encoder.heads": 12, "encoder.ffn": 6}
    return {name: bits(dropped_groups((0.5,) * n, name=name, **key)) for name, n in kinds.items()}


def test_groups_are_dropped_inside_of_the_layers_that_run():
    assert masks_of(seed=0, update=0, forward_pass=0) == {
        "encoder": "110001",
        "encoder.heads": "010100110110",
        "encoder.ffn": "101101",
    }
    stack, calls = halves(heads=0.5, ffn=0.5)
    x = torch.zeros(1)
    for layer in stack:
        x = layer(x, scale=2)
    assert calls == [
        {"heads": (False, True), "ffn": (True,)},
        {"heads": (False, True)},
        {"ffn": (True,)},
        {"heads": (True, True), "ffn": (True,)},
        {"heads": (False, True)},
        {"heads": (True, False), "ffn": (True,)},
    ]
    assert x.item() == 2 * (1 + 101 + 11 + 0 + 101 + 10)
    assert (stack.forward_passes, stack.drawn, stack.dropped) == (1, 6, 0)
    stack, calls = halves(rate=0.5, heads=0.5, ffn=0.5)
    assert forward(stack, torch.zeros(1)).item() == 11 + 0 + 101  # layers 2, 3, 4
    assert calls == [{"ffn": (True,)}, {"heads": (True, True), "ffn": (True,)}, {"heads": (False, True)}]
    stack, calls = halves(ffn=0.5)
    assert forward(stack, torch.zeros(1)).item() == 4 * 11 + 2 * 111
    assert len(calls) == 4  # layers of which nothing is dropped are called as ever


def test_masks_of_one_kind_do_not_depend_on_the_others():
    x = torch.zeros(1)
    together, calls = halves(heads=0.5, ffn=0.5)
    forward(together, x)
    for name in ("heads", "ffn"):
        alone, found = halves(**{name: 0.5})
        forward(alone, x)
        assert found == [{name: dropped[name]} for dropped in calls if name in dropped]
    layers, _ = halves(rate=0.5)
    both, _ = halves(rate=0.5, ffn=1e-9)
    assert forward(layers, x).item() == forward(both, x).item() == 3 * 111  # the zeros of 110001


def test_groups_have_rates_by_layer_and_follow_the_schedule():
    stack, calls = halves(heads=(0.0, 0.999, 0.0, 0.0, 0.0, 0.0))
    forward(stack, torch.zeros(1))
    assert calls == [{"heads": (True, True)}]
    stack.dropping = replace(stack.dropping, schedule=Schedule(cooldown=1, max_update=1))
    stack.forward_passes = 0
    forward(stack, torch.zeros(1))
    assert len(calls) == 1


def test_evaluation_runs_all_groups():
    stack, calls = halves(rate=0.999, heads=0.999, ffn=0.999)
    stack.eval()
    assert forward(stack, torch.zeros(1)).item() == 6 * 111
    with stack.running([1, 2]):
        assert forward(stack, torch.zeros(1)).item() == 2 * 111
    assert (calls, stack.forward_passes) == ([], 0)


def run_less(layer, dropped, x):
    """At the top of a module, so that it can be pickled."""
    return x - 1


@pytest.mark.parametrize("twin_of", [copy.deepcopy, lambda stack: pickle.loads(pickle.dumps(stack))])
def test_a_copy_has_groups_schedule_and_learning_of_its_own(twin_of):
    stack = make_stack(
        groups=(Groups("ffn", (0.5,) * DEPTH),), run_without=run_less, schedule=Schedule(warmup=2), learned=True
    )
    stack.set_num_updates(2)
    x = torch.randn(2, 4)
    forward(stack, x)
    twin = twin_of(stack)
    assert twin.dropping == stack.dropping
    assert twin.dropping.run_without is run_less
    assert twin.learning.masks == stack.learning.masks != []
    assert torch.equal(forward(twin, x), forward(stack, x))
    forward(twin, x)
    assert (len(twin.learning.masks), len(stack.learning.masks)) == (3, 2)
    assert (twin.forward_passes, stack.forward_passes) == (3, 2)
    stack.score_function_loss(torch.tensor(1.0))
    stack.set_num_updates(3)
    assert stack[0].learned_rate.loss.item() == 1.0
    assert twin[0].learned_rate.loss.item() == 0.0
