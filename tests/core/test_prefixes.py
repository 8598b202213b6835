"""Sets of layers that share their computation: the same results bit for bit, and no layer run twice."""

from __future__ import annotations

import contextlib
import random

import pytest
import torch
from torch import nn

from layerdrop_plugin.candidates import all_candidates
from layerdrop_plugin.dropping import Dropping, LayerDropStack
from layerdrop_plugin.prefixes import EachApart, SharedPrefixes, layer_evaluations, layer_evaluations_apart


class Layer(nn.Module):
    """Adds what it makes of its input, of a mask and of the encoder's output; counts its calls."""

    def __init__(self, extra_outputs=0):
        super().__init__()
        self.linear = nn.Linear(5, 5)
        self.extra_outputs = extra_outputs
        self.calls = 0
        self.fails_at = None

    def forward(self, x, encoded=None, mask=None):
        self.calls += 1
        if self.calls == self.fails_at:
            raise KeyboardInterrupt
        x = x + torch.tanh(self.linear(x)) * mask
        x = x if encoded is None else x * encoded.mean()
        return (x, *["attention", {}][: self.extra_outputs]) if self.extra_outputs else x


class Model(nn.Module):
    """An embedding, one or two stacks, an output layer; what is outside the stacks draws on them, too."""

    def __init__(self, *depths, extra_outputs):
        super().__init__()
        torch.manual_seed(1)
        names = ["encoder", "decoder"][-len(depths) :]
        extra = [0, extra_outputs][-len(depths) :]
        self.stacks = nn.ModuleList(
            LayerDropStack([Layer(e) for _ in range(depth)], Dropping(0.5), name=name, extra_outputs=e)
            for name, depth, e in zip(names, depths, extra)
        )
        self.embeddings = nn.ModuleList(nn.Linear(5, 5) for _ in depths)
        self.output = nn.Linear(5, 3)
        self.batch = torch.randn(4, 5)
        self.eval()

    @torch.no_grad()
    def forward(self):
        encoded = None
        for embedding, stack in zip(self.embeddings, self.stacks):
            x = embedding(self.batch)
            mask = x.gt(0) if encoded is None else encoded.gt(0)
            for layer in stack:
                found = layer(x, encoded, mask=mask)
                x = found[0] if isinstance(found, tuple) else found
            encoded = x
        return self.output(x).logsumexp(-1)

    @property
    def layers(self):
        return [layer for stack in self.stacks for layer in stack._modules.values()]

    @property
    def calls(self):
        return [layer.calls for layer in self.layers]

    def forget_calls(self):
        for layer in self.layers:
            layer.calls, layer.fails_at = 0, None


def apart(model, candidate):
    """The result when just these layers run."""
    with contextlib.ExitStack() as contexts:
        for stack, kept in zip(model.stacks, candidate):
            contexts.enter_context(stack.running(kept))
        return model()


MODELS = {
    "encoder": ((4,), 0),
    "decoder": ((4,), 2),
    "both": ((3, 3), 2),
    "both, plain": ((3, 3), 0),
}


@pytest.fixture(params=MODELS)
def model(request):
    depths, extra_outputs = MODELS[request.param]
    return Model(*depths, extra_outputs=extra_outputs)


def every(model):
    """All sets of all sizes."""
    sizes = all_candidates([len(stack) for stack in model.stacks], [1] * len(model.stacks))
    depths = [len(stack) for stack in model.stacks]
    return sorted(c for size in sizes for c in all_candidates(depths, [k + 1 for (k,) in size]))


@pytest.mark.parametrize("order", ["sorted", "backwards", "shuffled"])
def test_each_result_is_that_of_its_layers_alone(model, order):
    candidates = every(model)
    expected = {c: apart(model, c) for c in candidates}
    assert len({tuple(value.tolist()) for value in expected.values()}) == len(candidates) in (15, 49)
    asked = candidates * 2
    if order != "sorted":
        asked.reverse()
    if order == "shuffled":
        random.Random(1).shuffle(asked)
    shared = SharedPrefixes(list(model.stacks), model)
    assert all(torch.equal(shared.result(c), expected[c]) for c in asked)


@pytest.mark.parametrize(
    ("depths", "candidates", "calls"),
    [
        ((3,), [((0, 1),), ((0, 2),), ((1, 2),)], [1, 2, 2]),  # sorted: a walk over the tree of prefixes
        ((3,), [((1, 2),), ((0, 2),), ((0, 1),)], [1, 2, 2]),
        ((3,), [((0, 1),), ((1, 2),), ((0, 2),)], [2, 2, 2]),  # 0 is run twice: the first was forgotten
        ((3,), [((0, 1),), ((0, 1),), ((0, 1, 2),), ((0,),), ((0, 1),)], [1, 2, 1]),
        ((2, 2), [((0,), (0,)), ((0,), (1,)), ((1,), (0,)), ((1,), (1,))], [1, 1, 2, 2]),
        ((2, 2), [((0, 1), (0,)), ((0, 1), (0, 1)), ((0,), (0, 1)), ((0, 1), (0, 1))], [1, 2, 3, 3]),
    ],
)
def test_layers_that_are_shared_run_once(depths, candidates, calls):
    model = Model(*depths, extra_outputs=2)
    shared = SharedPrefixes(list(model.stacks), model)
    for candidate in candidates:
        shared.result(candidate)
    assert model.calls == calls
    assert shared.layer_evaluations == sum(calls) == layer_evaluations(candidates)


@pytest.mark.parametrize(
    ("depths", "keep", "sharing", "one_by_one"),
    [
        ([16], [8], 24309, 102960),
        ([6, 6], [3, 3], 714, 2400),  # 34 in the encoder; then 34 in the decoder for each of 20
        ([4], [4], 4, 4),
        ([5], [1], 5, 5),
    ],
)
def test_counts_of_layer_evaluations(depths, keep, sharing, one_by_one):
    candidates = all_candidates(depths, keep)
    assert (layer_evaluations(candidates), layer_evaluations_apart(candidates)) == (sharing, one_by_one)


def test_counts_of_nothing():
    assert (layer_evaluations([]), layer_evaluations_apart([])) == (0, 0)


def test_the_whole_model_is_called_once_for_each_result_and_once_for_each_beginning():
    model = Model(2, 2, extra_outputs=0)
    calls = []
    shared = SharedPrefixes(list(model.stacks), lambda: calls.append(None) or model())
    for candidate, count in {((0,), (0,)): 3, ((0,), (1,)): 4, ((1,), (1,)): 6, ((0, 1), (1,)): 8}.items():
        shared.result(candidate)
        assert len(calls) == count  # the encoder begins the same way always, the decoder with each encoder's output


def test_candidates_of_a_model_that_runs_a_stack_several_times_run_apart():
    """The decoder's second pass begins with what the first gave."""
    model = Model(2, 2, extra_outputs=2)

    def forward():
        batch = model.batch
        first, model.batch = model(), 2 * batch
        second, model.batch = model(), batch
        return first + second

    results = EachApart(list(model.stacks), forward)
    expected = forward()
    assert not torch.equal(results.result(((0,), (1,))), expected)
    assert torch.equal(results.result(((0, 1), (0, 1))), expected)
    assert results.layer_evaluations == 2 + 4


def test_an_interruption_anywhere_leaves_the_later_results_right(model):
    candidates = every(model)
    expected = {c: apart(model, c) for c in candidates}
    order = random.Random(2).sample(candidates, 8)
    model.forget_calls()
    shared = SharedPrefixes(list(model.stacks), model)
    for candidate in order:
        shared.result(candidate)
    counts, interruptions = model.calls, 0
    for layer, count in zip(model.layers, counts):
        for number in range(1, count + 1):
            model.forget_calls()
            layer.fails_at = number
            shared = SharedPrefixes(list(model.stacks), model)
            with pytest.raises(KeyboardInterrupt):
                list(map(shared.result, order))
            assert [(stack._instead, stack._running) for stack in model.stacks] == [(None, None)] * len(model.stacks)
            assert torch.equal(model(), expected[candidates_of_all(model)])
            assert all(torch.equal(shared.result(c), expected[c]) for c in [candidate, *order])
            interruptions += 1
    assert interruptions == sum(counts) > 10


def candidates_of_all(model):
    return tuple(tuple(range(len(stack))) for stack in model.stacks)


def test_a_failure_outside_of_the_stacks_leaves_the_later_results_right():
    model = Model(2, 2, extra_outputs=2)
    expected = {c: apart(model, c) for c in every(model)}
    fails = []

    def forward():
        found = model()
        if fails:
            raise KeyboardInterrupt
        return found

    shared = SharedPrefixes(list(model.stacks), forward)
    shared.result(((0,), (0,)))
    fails.append(True)
    with pytest.raises(KeyboardInterrupt):
        shared.result(((1,), (0,)))
    fails.clear()
    for candidate in (((0,), (0,)), ((1,), (0,)), ((1,), (0, 1))):
        assert torch.equal(shared.result(candidate), expected[candidate])


def test_a_model_that_does_not_call_its_layers():
    stack = LayerDropStack([nn.Identity()], name="encoder").eval()
    with pytest.raises(ValueError) as error:
        SharedPrefixes([stack], lambda: 1).result(((0,),))
    assert str(error.value) == "the model must call the layers of its encoder, but does not."


def test_layers_kept_by_running_elsewhere_do_not_matter(model):
    whole = candidates_of_all(model)
    expected = apart(model, whole)
    with model.stacks[0].running([1]):
        assert torch.equal(SharedPrefixes(list(model.stacks), model).result(whole), expected)
