"""Tiny stacks that learn their drop rates."""

from __future__ import annotations

import torch
from torch import nn

from layerdrop_plugin.dropping import Dropping, LayerDropStack


class Residual(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.fc = nn.Linear(width, width)

    def forward(self, x):
        return x + torch.tanh(self.fc(x))


def learning_stack(depth, rate=0.5, name="decoder", layer=Residual, **dropping):
    """A stack that learns, with fresh rates."""
    torch.manual_seed(0)
    return LayerDropStack([layer() for _ in range(depth)], Dropping(rate, learned=True, **dropping), name=name)
