"""torch.jit.script and torch.jit.trace of a stack: it is the list of its layers."""

from __future__ import annotations

import io

import pytest
import torch
from torch import nn

from layerdrop_plugin.dropping import Dropping, LayerDropStack


class Model(nn.Module):
    def __init__(self, stack):
        super().__init__()
        self.stack = stack

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.stack:
            x = layer(x)
        return x


@pytest.fixture
def model():
    torch.manual_seed(1)
    return Model(LayerDropStack([nn.Linear(4, 4) for _ in range(3)], Dropping(0.9))).eval()


def test_a_stack_is_scripted_saved_and_loaded(model):
    file, x = io.BytesIO(), torch.randn(2, 4)
    torch.jit.save(torch.jit.script(model), file)
    file.seek(0)
    assert torch.equal(torch.jit.load(file)(x), model.stack[2](model.stack[1](model.stack[0](x))))


def test_one_scripted_while_training_runs_whole_and_the_stack_goes_on_dropping(model):
    x = torch.randn(2, 4)
    scripted = torch.jit.script(model.train())
    assert torch.equal(scripted(x), model.eval()(x))
    assert (type(model.stack), model.stack.drawn) == (LayerDropStack, 0)
    model.train()(x)
    assert (model.stack.drawn, model.stack.dropped) == (3, 3)


def test_a_trace_records_what_runs(model):
    x, y = torch.randn(2, 4), torch.randn(3, 4)
    assert torch.equal(torch.jit.trace(model, x)(y), model(y))
    with model.stack.running([1]):
        some = torch.jit.trace(model, x)
    assert torch.equal(some(y), model.stack[1](y))


def test_some_layers_or_other_functions_are_not_scripted(model):
    message = "`torch.jit.script` must be called outside of `running` and `instead`, but is inside."
    for context in (model.stack.running([1]), model.stack.instead([nn.Identity()])):
        with context, pytest.raises(ValueError) as refused:
            torch.jit.script(model)
        assert str(refused.value) == message
    torch.jit.script(model)
