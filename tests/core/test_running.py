"""Chosen layers of a tiny stack run in evaluation."""

from __future__ import annotations

import copy

import pytest
import torch
from shared.toy_stacks import DEPTH, Layer, forward, make_stack, ran

from layerdrop_plugin.dropping import Dropping, LayerDropStack


def test_running_equals_the_chosen_layers_by_hand_and_restores():
    stack = make_stack().eval()
    x = torch.randn(2, 4)
    full = forward(stack, x)
    with stack.running([4, 0, 2]) as same:
        assert same is stack
        assert stack.running_layers == (0, 2, 4)
        assert torch.equal(forward(stack, x), stack[4](stack[2](stack[0](x))))
        with stack.running([1]):
            assert stack.running_layers == (1,)
            assert torch.equal(forward(stack, x), stack[1](x))
        assert stack.running_layers == (0, 2, 4)
    assert stack.running_layers == tuple(range(DEPTH))
    assert torch.equal(forward(stack, x), full)


def test_a_layer_that_does_not_run_keeps_its_place():
    stack = LayerDropStack([Layer() for _ in range(3)], extra_outputs=2).eval()
    with stack.running([1]):
        first, second, third = stack
        assert second is stack[1]
        assert first("x", mask=1) == third("x") == ("x", None, None)
        assert repr(stack).startswith("LayerDropStack(")


def test_a_layer_that_does_not_run_returns_what_stands_for_its_other_outputs():
    stack = LayerDropStack([Layer() for _ in range(2)], Dropping(0.999), extra_outputs=((None, "nothing"),))
    assert [layer(torch.ones(1))[1:] for layer in stack] == [((None, "nothing"),)] * 2  # dropped
    with stack.eval().running([1]):
        first, _ = stack
        assert first("x", mask=1) == ("x", (None, "nothing"))


def test_running_restores_after_an_error():
    stack = make_stack().eval()
    with pytest.raises(KeyError), stack.running([0]):
        raise KeyError
    assert stack.running_layers == tuple(range(DEPTH))


@pytest.mark.parametrize("kept", [[], [0, 0], [-1], [12], [0, 12]])
def test_running_refuses_what_are_no_layers(kept):
    stack = make_stack()
    with pytest.raises(ValueError) as error, stack.running(kept):
        pass
    assert str(error.value) == f"`kept` must name layers from 0 to 11, each once, but is {kept}."


def test_running_is_for_evaluation_only():
    stack = make_stack()
    with stack.running([0]):
        forward(stack, torch.randn(1, 4))
    assert ran(stack) == [2, 3, 4, 6, 9, 10, 11]


def test_other_functions_are_called_instead_as_the_layers_are():
    stack = make_stack().eval()
    x = torch.randn(3, 4)
    with stack.instead([lambda x: x + 1, stack[2]]) as same, stack.running([0]):
        assert same is stack
        assert torch.equal(forward(stack, x), stack[2](x + 1))
        with stack.instead([]):
            assert torch.equal(forward(stack, x), x)
        assert len(stack) == DEPTH
        assert stack.running_layers == (0,)
    ran(stack)
    forward(stack, x)
    assert ran(stack) == list(range(DEPTH))


def test_what_runs_instead_is_undone_after_an_error_and_never_trained():
    stack = make_stack(0.0)
    x = torch.randn(3, 4)

    def fail():
        with stack.instead([lambda x: x]):
            assert not torch.equal(forward(stack, x), x)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert not torch.equal(forward(stack.eval(), x), x)


def test_a_layer_that_does_not_run_has_its_attributes():
    """Fairseq's BART sets the size of the beam in each layer."""
    stack = make_stack().eval()
    with stack.running([1]):
        first, *_ = stack
        assert first.fc is stack[0].fc
        copy.deepcopy(first)
        with pytest.raises(AttributeError, match="no attribute 'never'"):
            first.never  # noqa: B018
