"""Backward through the stack that drops layers: which gradients there are, and what stays in the graph."""

from __future__ import annotations

import copy

import pytest
import torch
from shared.toy_stacks import DEPTH, forward, make_stack, survivors
from torch import nn

from layerdrop_plugin.dropping import Dropping, LayerDropStack


def test_dropped_layers_get_no_gradient_and_the_others_theirs_by_hand():
    stack = make_stack()
    by_hand = copy.deepcopy(stack)
    x = torch.randn(3, 4, requires_grad=True)
    y = x.detach().clone().requires_grad_()
    forward(stack, x).sum().backward()
    forward(survivors(by_hand), y).sum().backward()
    assert torch.equal(x.grad, y.grad)
    without = [i for i in range(DEPTH) if stack[i].fc.weight.grad is None and stack[i].fc.bias.grad is None]
    assert without == [0, 1, 5, 7, 8]  # the ones of 110001011000
    for i in set(range(DEPTH)) - set(without):
        assert torch.equal(stack[i].fc.weight.grad, by_hand[i].fc.weight.grad)
        assert torch.equal(stack[i].fc.bias.grad, by_hand[i].fc.bias.grad)


def test_every_layer_may_be_dropped():
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(1, 1)

        def forward(self, x):
            raise RuntimeError("a dropped layer computes nothing")

    stack = LayerDropStack([Broken() for _ in range(3)], Dropping(0.999), name="encoder")
    x = torch.randn(2, 1, requires_grad=True)
    y = forward(stack, x)
    assert torch.equal(y, x)
    y.sum().backward()
    assert torch.equal(x.grad, torch.ones(2, 1))
    assert [p.grad for p in stack.parameters()] == [None] * 6
    stack.eval()
    with pytest.raises(RuntimeError, match="a dropped layer computes nothing"):
        forward(stack, x)


@pytest.mark.parametrize("as_keyword", [True, False])
def test_what_dropped_layers_read_stays_in_the_graph(as_keyword, monkeypatch):
    """DistributedDataParallel waits for each parameter of an encoder, also when no decoder layer reads it."""

    class Reader(nn.Module):
        def forward(self, x, encoded):
            return x + encoded

    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    encoder, stack = nn.Linear(2, 2), LayerDropStack([Reader() for _ in range(3)], Dropping(0.999), name="decoder")
    ready = []
    nodes = []
    for name, parameter in encoder.named_parameters():
        nodes.append(parameter.view_as(parameter).grad_fn.next_functions[0][0])  # as torch's DDP finds it
        nodes[-1].register_hook(lambda *_, name=name: ready.append(name))
    encoded, x = encoder(torch.randn(3, 2)), torch.randn(3, 2, requires_grad=True)
    y = x
    for layer in stack:
        y = layer(y, encoded=encoded) if as_keyword else layer(y, encoded)
    assert torch.equal(y, x)
    y.sum().backward()
    assert sorted(ready) == ["bias", "weight"]
    assert (encoder.weight.grad, encoder.bias.grad) == (None, None)
    assert torch.equal(x.grad, torch.ones(3, 2))


def test_a_dropped_layer_of_one_worker_costs_no_search_for_its_parameters():
    stack = LayerDropStack([nn.Linear(2, 2) for _ in range(3)], Dropping(0.999))
    x = torch.randn(3, 2, requires_grad=True)
    assert all(layer(x) is x for layer in stack)


def test_one_worker_can_go_backward_when_all_that_trains_is_dropped():
    stack = LayerDropStack([nn.Linear(2, 2) for _ in range(3)], Dropping(0.999))
    x = torch.randn(3, 2)
    y = forward(stack, x)
    assert torch.equal(y, x)
    y.sum().backward()
    assert all(parameter.grad is None for parameter in stack.parameters())


def test_frozen_layers_and_no_grad_are_dropped_as_well(monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    stack = make_stack()
    stack.requires_grad_(False)
    x = torch.randn(2, 4)
    assert torch.equal(forward(stack, x), forward(survivors(stack), x))
    stack.requires_grad_(True)
    with torch.no_grad():
        y = forward(stack, x)
    assert not y.requires_grad
    assert torch.equal(y, forward(survivors(stack, forward_pass=1), x))
