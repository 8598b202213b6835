"""Tiny stacks that learn their drop rates."""

from __future__ import annotations

import torch
from torch import nn

from layerdrop_plugin.dropping import LayerDropStack
from layerdrop_plugin.learned_rates import LearnedRate, Learning


class Residual(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.fc = nn.Linear(width, width)

    def forward(self, x):
        return x + torch.tanh(self.fc(x))


def learning_stack(depth, rate=0.5, name="decoder", layer=Residual):
    """A stack that learns, with fresh rates."""
    torch.manual_seed(0)
    stack = LayerDropStack([layer() for _ in range(depth)], rate=rate, name=name)
    for i in range(depth):
        stack[i].learned_rate = LearnedRate(rate)
    stack.learning = Learning(depth)
    return stack
