"""Stacks of tiny layers without fairseq."""

from __future__ import annotations

import torch
from torch import nn

from layerdrop_plugin.dropping import Dropping, LayerDropStack, dropped_groups

DEPTH = 12


class Layer(nn.Module):
    """An encoder's layer: hidden state in, hidden state out. Counts its calls."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.calls = 0

    def forward(self, x, scale=1.0):
        self.calls += 1
        return torch.tanh(self.fc(x)) * scale


def make_stack(rates=0.5, layer=Layer, extra_outputs=0, **dropping):
    torch.manual_seed(0)
    layers = [layer() for _ in range(DEPTH)]
    return LayerDropStack(layers, Dropping(rates, **dropping), name="encoder", extra_outputs=extra_outputs)


def forward(layers, x):
    for layer in layers:
        x = layer(x)
    return x


def ran(stack):
    """Which layers were called since this was last asked."""
    found = [i for i in range(len(stack)) if stack[i].calls]
    for i in found:
        stack[i].calls = 0
    return found


def survivors(stack, forward_pass=0, update=0):
    """The layers of a stack that a forward pass does not drop."""
    key = {"seed": stack.dropping.seed, "update": update, "forward_pass": forward_pass}
    mask = dropped_groups(stack.rates, **key, name=stack.name)
    return [stack[i] for i in range(len(stack)) if not mask[i]]
