"""The stack that drops layers, against the surviving layers applied by hand."""

from __future__ import annotations

import copy

import pytest
import torch
from shared.toy_stacks import DEPTH, Layer, forward, make_stack, ran, survivors
from torch import nn
from torch.nn import functional

from layerdrop_plugin.dropping import Dropping, Groups, LayerDropStack, dropped_groups
from layerdrop_plugin.rates import Schedule


class DecoderLayer(Layer):
    """A decoder's layer: also returns its attention and a third value."""

    def forward(self, x, scale=1.0):
        return super().forward(x, scale), f"attention of {x.shape}", "state"


@pytest.mark.parametrize(
    ("seed", "update", "forward_pass", "name", "mask"),
    [
        (0, 0, 0, "encoder.self_attn.heads", "001011010000"),
        (0, 0, 0, "encoder.ffn", "101101001011"),
        (0, 0, 0, "encoder.ffn.sublayer", "000111010001"),
        (0, 0, 0, "decoder.encoder_attn.heads", "001101101111"),
        (3, 7, 1, "decoder.encoder_attn.heads", "111110001000"),
        (1, 12345, 3, "decoder.ffn", "001111011010"),
    ],
)
def test_masks_of_groups_never_change_either(seed, update, forward_pass, name, mask):
    """The masks were worked out by hashlib alone.

    Group i is dropped when u < 0.5, where
    key = blake2b(three little-endian int64: seed, update, forward pass, then the name; 32 bytes)
    u = blake2b(int64 i, key=key, 8 bytes), as a little-endian int // 2**11 / 2**53
    """
    dropped = dropped_groups((0.5,) * DEPTH, seed=seed, update=update, forward_pass=forward_pass, name=name)
    assert dropped == tuple(digit == "1" for digit in mask)


def test_a_masked_forward_equals_the_surviving_layers_by_hand():
    stack = make_stack()
    x = torch.randn(3, 4)
    assert torch.equal(forward(stack, x), forward(survivors(stack), x))
    stack.forward_passes = 0
    ran(stack)
    forward(stack, x)
    assert ran(stack) == [2, 3, 4, 6, 9, 10, 11]  # the zeros of 110001011000


def test_a_decoder_stack_returns_none_beside_the_hidden_state_of_a_dropped_layer():
    stack = make_stack(layer=DecoderLayer, extra_outputs=2)
    x = torch.randn(3, 4)
    outputs, by_hand = [], x
    hidden = x
    for layer in stack:
        hidden, attention, state = layer(hidden, scale=2.0)
        outputs.append((attention, state))
    for layer in survivors(stack):
        by_hand = layer(by_hand, scale=2.0)[0]
    assert torch.equal(hidden, by_hand)
    kept = ("attention of torch.Size([3, 4])", "state")
    gone = (None, None)
    assert outputs == [gone if digit == "1" else kept for digit in "110001011000"]


def test_passes_of_one_update_differ_and_a_new_update_counts_from_0():
    stack = make_stack()
    x = torch.randn(1, 4)
    first, second = ([forward(stack, x), ran(stack)][1] for _ in range(2))
    assert first == [2, 3, 4, 6, 9, 10, 11]
    assert second == [0, 2, 3, 5, 9, 10, 11]  # the zeros of 010010111000
    stack.set_num_updates(1)
    forward(stack, x)
    assert ran(stack) == [1, 3, 4, 5, 6, 10]  # the zeros of 101000011101
    stack.set_num_updates(1)  # the same again: the count goes on
    assert stack.forward_passes == 1


def test_a_fresh_stack_goes_on_where_another_stopped():
    one, other = make_stack(seed=7), make_stack(seed=7)
    x = torch.randn(1, 4)
    for _ in range(3):
        forward(one, x)
    for update in (1, 2, 3):
        one.set_num_updates(update)
        forward(one, x)
    other.set_num_updates(3)
    forward(other, x)
    ran(one)
    ran(other)
    forward(one, x)
    forward(other, x)
    assert ran(one) == ran(other) != []


def test_other_randomness_and_the_mask_leave_each_other_alone():
    quiet, noisy = make_stack(), make_stack()
    x = torch.randn(1, 4)
    forward(quiet, x)
    torch.manual_seed(99)
    functional.dropout(torch.ones(1000))
    before = torch.get_rng_state()
    forward(noisy, x)
    assert torch.equal(torch.get_rng_state(), before)
    assert ran(noisy) == ran(quiet) == [2, 3, 4, 6, 9, 10, 11]


def test_stacks_and_seeds_have_masks_of_their_own():
    encoder, decoder, seeded = make_stack(), make_stack(), make_stack(seed=1)
    decoder.name = "decoder"
    for stack in (encoder, decoder, seeded):
        forward(stack, torch.randn(1, 4))
    assert ran(encoder) == [2, 3, 4, 6, 9, 10, 11]
    assert ran(decoder) == [0, 1, 2, 3, 8, 10, 11]
    assert ran(seeded) == [1, 2, 3, 5, 6, 11]


def test_nothing_is_rescaled():
    class AddOne(nn.Module):
        def forward(self, x):
            return x + 1

    stack = LayerDropStack([AddOne() for _ in range(DEPTH)], Dropping(0.5), name="encoder")
    assert forward(stack, torch.zeros(1)).item() == 7.0  # seven zeros in 110001011000
    stack.eval()
    assert forward(stack, torch.zeros(1)).item() == 12.0


def test_evaluation_and_rate_0_run_every_layer_and_draw_nothing():
    for stack in (make_stack().eval(), make_stack(0.0)):
        x = torch.randn(2, 4)
        assert torch.equal(forward(stack, x), forward([stack[i] for i in range(DEPTH)], x))
        assert stack.forward_passes == 0


@pytest.mark.parametrize("rate", [1.0, -0.1])
def test_a_stack_refuses_what_is_no_rate(rate):
    with pytest.raises(ValueError) as error:
        LayerDropStack([Layer()], Dropping(rate))
    assert str(error.value) == f"`rate` must be at least 0 and below 1, but is {rate} instead."


def test_a_stack_refuses_what_is_no_rate_of_one_layer():
    with pytest.raises(ValueError) as error:
        LayerDropStack([Layer(), Layer()], Dropping([0.1, 1.0]))
    assert str(error.value) == "`rate` must be at least 0 and below 1, but is 1.0 instead."


@pytest.mark.parametrize(
    ("dropping", "message"),
    [
        (
            Dropping((0.1, 0.2, 0.3)),
            "`rates` must be one rate, or one for each of 2 layers, but is (0.1, 0.2, 0.3).",
        ),
        (
            Dropping(0.1, (Groups("ffn", (0.1,)),), run_without=lambda layer, dropped, x: x),
            "`ffn` must be one rate, or one for each of 2 layers, but is (0.1,).",
        ),
    ],
)
def test_a_stack_refuses_rates_that_are_not_as_many_as_layers(dropping, message):
    with pytest.raises(ValueError) as error:
        LayerDropStack([Layer(), Layer()], dropping)
    assert str(error.value) == message


def test_groups_need_what_runs_a_layer_without_them():
    with pytest.raises(ValueError) as error:
        Dropping(0.1, (Groups("ffn", (0.1,)),))
    assert str(error.value) == "`run_without` must be given where there are `groups`, but is None."


def test_a_stack_shows_what_it_drops():
    shown = repr(make_stack((0.0,) * 6 + (0.5,) * 6)).splitlines()
    assert shown[0] == "LayerDropStack("
    assert shown[1] == "  name=encoder, rates=0.0,0.0,0.0,0.0,0.0,0.0,0.5,0.5,0.5,0.5,0.5,0.5"
    assert "(fc): Linear(in_features=4, out_features=4, bias=True)" in shown[3]
    groups = (Groups("heads", (0.25,) * DEPTH, 2), Groups("ffn", (0.1,) * DEPTH))
    grouped = make_stack(0.2, groups=groups, run_without=lambda layer, dropped, x: x)
    assert repr(grouped).splitlines()[1] == "  name=encoder, rates=0.2, heads=0.25, ffn=0.1"
    assert repr(nn.Sequential(grouped)).count("rates=0.2") == 1


def test_looking_at_the_layers_is_no_forward_pass():
    stack = make_stack()
    assert len(list(stack)) == DEPTH
    assert "Layer(" in repr(stack)
    assert [layer.fc.weight.shape for layer in stack] == [torch.Size([4, 4])] * DEPTH
    assert "Linear" in str([*stack])
    for layer in stack:
        layer.mark = "set"  # as fairseq does in `make_generation_fast_`
    assert [stack[i].mark for i in range(DEPTH)] == ["set"] * DEPTH
    assert stack.forward_passes == 0
    forward(stack, torch.randn(1, 4))
    assert ran(stack) == [2, 3, 4, 6, 9, 10, 11]
    assert stack.forward_passes == 1


def test_names_in_the_state_dict_are_those_of_a_module_list():
    stack = make_stack()
    plain = nn.ModuleList([Layer() for _ in range(DEPTH)])
    assert list(stack.state_dict()) == list(plain.state_dict())
    plain.load_state_dict(stack.state_dict())
    x = torch.randn(2, 4)
    assert torch.equal(forward(plain, x), forward(stack.eval(), x))
    assert len(stack) == DEPTH
    assert isinstance(stack[3], Layer)


def test_a_deep_copy_is_on_its_own():
    stack = make_stack(seed=3)
    stack.set_num_updates(5)
    twin = copy.deepcopy(stack)
    assert (twin.dropping.rates, twin.name, twin.dropping.seed, twin.update, len(twin)) == (0.5, "encoder", 3, 5, DEPTH)
    x = torch.randn(1, 4)
    forward(twin, x)
    assert (twin.forward_passes, stack.forward_passes) == (1, 0)
    assert torch.equal(forward(stack, x), forward(survivors(twin, update=5), x))


@pytest.mark.parametrize("rate", [(0.5,) * DEPTH, [0.5] * DEPTH])
def test_one_rate_for_each_layer_that_are_equal_are_as_one_for_all(rate):
    stack = make_stack(rate)
    forward(stack, torch.randn(1, 4))
    assert ran(stack) == [2, 3, 4, 6, 9, 10, 11]
    assert stack.rates == make_stack().rates == (0.5,) * DEPTH


def test_layers_of_different_rates():
    stack = make_stack((0.0,) * 6 + (0.999,) * 6)
    forward(stack, torch.randn(1, 4))
    assert ran(stack) == [0, 1, 2, 3, 4, 5]


def test_the_share_of_dropped_layers_since_the_last_time():
    stack = make_stack()
    assert stack.take_share() is None
    x = torch.randn(1, 4)
    forward(stack, x)
    assert stack.take_share() == 5 / 12  # the ones of 110001011000
    assert stack.take_share() is None
    forward(stack, x)  # 010010111000
    stack.set_num_updates(1)
    forward(stack, x)  # 101000011101
    assert stack.take_share() == 11 / 24
    forward(stack.eval(), x)
    assert stack.take_share() is None


def test_rates_follow_the_schedule():
    stack = make_stack((0.0, 0.4) + (0.8,) * 10, schedule=Schedule(warmup=4, cooldown=4, max_update=16))
    found = {}
    for update in (0, 1, 4, 11, 14, 15):
        stack.set_num_updates(update)
        found[update] = (*stack.rates_now()[:3], stack.mean_rate_now())
    assert stack.rates == (0.0, 0.4) + (0.8,) * 10
    mean = 8.4 / 12
    expected = {0: 0.0, 1: 0.25, 4: 1.0, 11: 1.0, 14: 0.25, 15: 0.0}
    assert found == {u: pytest.approx((0.0, 0.4 * f, 0.8 * f, mean * f), abs=1e-15) for u, f in expected.items()}


def test_rates_of_0_at_the_start_of_a_schedule_drop_nothing():
    groups = (Groups("ffn", (0.999,) * DEPTH),)
    stack = make_stack(0.999, groups=groups, run_without=lambda layer, dropped, x: x, schedule=Schedule(warmup=10))
    x = torch.randn(3, 4)
    assert torch.equal(forward(stack, x), forward([stack[i] for i in range(DEPTH)], x))
    assert stack.take_share() == 0.0
    stack.set_num_updates(10)
    assert torch.equal(forward(stack, x), x)


def test_a_model_may_run_a_stack_several_times_in_one_pass_without_the_same_layers():
    stack = make_stack()
    x = torch.randn(3, 4)
    with stack.one_pass() as same:
        assert same is stack
        assert torch.equal(forward(stack, x), forward(stack, x))
        ran(stack)
        forward(stack, x)
    assert ran(stack) == [2, 3, 4, 6, 9, 10, 11]  # as in a pass that runs it once
    assert stack.forward_passes == 1
    forward(stack, x)
    assert ran(stack) == [i for i, layer in enumerate(stack._layers()) if layer in survivors(stack, forward_pass=1)]


def test_a_pass_that_fails_is_over():
    stack = make_stack()
    forward_fails = pytest.raises(RuntimeError, match="shapes cannot be multiplied")
    with forward_fails, stack.one_pass():
        forward(stack, torch.randn(3, 5))
    forward(stack, torch.randn(3, 4))
    assert stack.forward_passes == 2
