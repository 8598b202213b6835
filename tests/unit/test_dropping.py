"""The stack that drops layers, against the surviving layers applied by hand."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional

from layerdrop_plugin import rates
from layerdrop_plugin.dropping import Groups, LayerDropStack, dropped_groups
from layerdrop_plugin.learned_rates import LearnedRate, Learning
from layerdrop_plugin.rates import Schedule

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


class DecoderLayer(Layer):
    """A decoder's layer: also returns its attention and a third value."""

    def forward(self, x, scale=1.0):
        return super().forward(x, scale), f"attention of {x.shape}", "state"


def make_stack(rate=0.5, layer=Layer, **options):
    torch.manual_seed(0)
    return LayerDropStack([layer() for _ in range(DEPTH)], rate=rate, name="encoder", **options)


def forward(layers, x):
    for layer in layers:
        x = layer(x)
    return x


def survivors(stack, forward_pass=0, update=0):
    mask = dropped_groups(stack.rates, seed=stack.seed, update=update, forward_pass=forward_pass, name=stack.name)
    return [stack[i] for i in range(len(stack)) if not mask[i]]


def ran(stack):
    """Which layers were called since this was last asked."""
    found = [i for i in range(len(stack)) if stack[i].calls]
    for i in found:
        stack[i].calls = 0
    return found


@pytest.mark.parametrize(
    ("seed", "update", "forward_pass", "stack", "mask"),
    [
        (0, 0, 0, "encoder", "110001011000"),
        (0, 0, 0, "decoder", "000011110100"),
        (0, 0, 1, "encoder", "010010111000"),
        (0, 1, 0, "encoder", "101000011101"),
        (1, 0, 0, "encoder", "100010011110"),
        (1, 12345, 3, "decoder", "101000000110"),
    ],
)
def test_masks_never_change_from_version_to_version(seed, update, forward_pass, stack, mask):
    """A run that is continued with a newer version must go on as it would have."""
    dropped = dropped_groups((0.5,) * DEPTH, seed=seed, update=update, forward_pass=forward_pass, name=stack)
    assert dropped == tuple(digit == "1" for digit in mask)


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
    """Worked out by hashlib alone: group i is dropped when u < 0.5, where

    key = blake2b(three little-endian int64: seed, update, forward pass, then the name; 32 bytes)
    u = blake2b(int64 i, key=key, 8 bytes), as a little-endian int // 2**11 / 2**53
    """
    dropped = dropped_groups((0.5,) * DEPTH, seed=seed, update=update, forward_pass=forward_pass, name=name)
    assert dropped == tuple(digit == "1" for digit in mask)


def test_a_mask_does_not_depend_on_depth_and_grows_with_the_rate():
    def dropped(depth, rate):
        return dropped_groups((rate,) * depth, seed=0, update=0, forward_pass=0, name="encoder")

    assert dropped(5, 0.5) == (True, True, False, False, False)
    low, high = dropped(100, 0.2), dropped(100, 0.6)
    assert [i for i in range(100) if low[i] and not high[i]] == []
    assert 0 < sum(low) < sum(high) < 100


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.2, 0.5, 0.9])
def test_layers_are_dropped_at_the_rate_each_on_its_own(rate):
    draws = torch.tensor(
        [dropped_groups((rate,) * 4, seed=1, update=u, forward_pass=0, name="decoder") for u in range(2000)],
        dtype=torch.float64,
    )
    four_deviations = 4 * (rate * (1 - rate) / 2000) ** 0.5
    assert ((draws.mean(0) - rate).abs() <= four_deviations).all()
    together = (draws[:, 0] * draws[:, 1]).mean() - rate * rate
    assert abs(together) <= 4 * (rate**2 * (1 - rate**2) / 2000) ** 0.5


def test_each_layer_is_dropped_at_its_own_rate():
    by_layer = rates.parse("linear:0:0.9", 5)
    assert by_layer == pytest.approx((0.0, 0.225, 0.45, 0.675, 0.9), abs=1e-15)
    draws = torch.tensor(
        [dropped_groups(by_layer, seed=2, update=u, forward_pass=0, name="encoder") for u in range(3000)],
        dtype=torch.float64,
    )
    for share, rate in zip(draws.mean(0).tolist(), by_layer):
        assert abs(share - rate) <= 4 * (rate * (1 - rate) / 3000) ** 0.5


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

    stack = LayerDropStack([AddOne() for _ in range(DEPTH)], rate=0.5, name="encoder")
    assert forward(stack, torch.zeros(1)).item() == 7.0  # seven zeros in 110001011000
    stack.eval()
    assert forward(stack, torch.zeros(1)).item() == 12.0


def test_evaluation_and_rate_0_run_every_layer_and_draw_nothing():
    for stack in (make_stack().eval(), make_stack(rate=0.0)):
        x = torch.randn(2, 4)
        assert torch.equal(forward(stack, x), forward([stack[i] for i in range(DEPTH)], x))
        assert stack.forward_passes == 0


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


@pytest.mark.parametrize("rate", [1.0, -0.1])
def test_a_stack_refuses_what_is_no_rate(rate):
    with pytest.raises(ValueError) as error:
        LayerDropStack([Layer()], rate=rate)
    assert str(error.value) == f"`rate` must be at least 0 and below 1, but is {rate} instead."


def test_a_stack_refuses_what_is_no_rate_of_one_layer():
    with pytest.raises(ValueError) as error:
        LayerDropStack([Layer(), Layer()], rate=[0.1, 1.0])
    assert str(error.value) == "`rate` must be at least 0 and below 1, but is 1.0 instead."


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
        assert len(stack) == DEPTH and stack.running_layers == (0,)
    ran(stack)
    forward(stack, x)
    assert ran(stack) == list(range(DEPTH))


def test_what_runs_instead_is_undone_after_an_error_and_never_trained():
    stack = make_stack(rate=0.0)
    x = torch.randn(3, 4)
    with pytest.raises(KeyError), stack.instead([lambda x: x]):
        assert not torch.equal(forward(stack, x), x)
        raise KeyError
    assert not torch.equal(forward(stack.eval(), x), x)


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

    stack = LayerDropStack([Broken() for _ in range(3)], rate=0.999, name="encoder")
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
    encoder, stack = nn.Linear(2, 2), LayerDropStack([Reader() for _ in range(3)], rate=0.999, name="decoder")
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
    stack = LayerDropStack([nn.Linear(2, 2) for _ in range(3)], rate=0.999)
    x = torch.randn(3, 2, requires_grad=True)
    assert all(layer(x) is x for layer in stack)


def test_one_worker_can_go_backward_when_all_that_trains_is_dropped():
    stack = LayerDropStack([nn.Linear(2, 2) for _ in range(3)], rate=0.999)
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
    assert (twin.rate, twin.name, twin.seed, twin.update, len(twin)) == (0.5, "encoder", 3, 5, DEPTH)
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
    stack = make_stack((0.0, 0.4) + (0.8,) * 10)
    stack.schedule = Schedule(warmup=4, cooldown=4, max_update=16)
    found = {}
    for update in (0, 1, 4, 11, 14, 15):
        stack.set_num_updates(update)
        found[update] = (*stack.rates_now()[:3], stack.mean_rate_now())
    assert stack.rates == (0.0, 0.4) + (0.8,) * 10
    mean = 8.4 / 12
    expected = {0: 0.0, 1: 0.25, 4: 1.0, 11: 1.0, 14: 0.25, 15: 0.0}
    assert found == {u: pytest.approx((0.0, 0.4 * f, 0.8 * f, mean * f), abs=1e-15) for u, f in expected.items()}


def test_rates_of_0_at_the_start_of_a_schedule_drop_nothing():
    stack = make_stack(0.999)
    stack.groups, stack.run_without = (Groups("ffn", (0.999,) * DEPTH),), None
    stack.schedule = Schedule(warmup=10)
    x = torch.randn(3, 4)
    assert torch.equal(forward(stack, x), forward([stack[i] for i in range(DEPTH)], x))
    assert stack.take_share() == 0.0
    stack.set_num_updates(10)
    assert torch.equal(forward(stack, x), x)


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
    stack = LayerDropStack([Halves(1) for _ in range(depth)], rate=rate, name="encoder")
    sizes = {"heads": 2, "ffn": 1}
    stack.groups = tuple(Groups(name, (p,) * depth, sizes[name]) for name, p in groups.items())
    calls = []

    def run_without(layer, dropped, x, *args, **kwargs):
        calls.append(dropped)
        return layer.without(dropped, x, *args, **kwargs)

    stack.run_without = run_without
    return stack, calls


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
    stack, calls = halves()
    stack.groups = (Groups("heads", (0.0, 0.999, 0.0, 0.0, 0.0, 0.0), 2),)
    forward(stack, torch.zeros(1))
    assert calls == [{"heads": (True, True)}]
    stack.schedule = Schedule(cooldown=1, max_update=1)
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
    stack = make_stack()
    for i in range(DEPTH):
        stack[i].learned_rate = LearnedRate(0.5)
    stack.learning = Learning(DEPTH)
    stack.groups, stack.run_without = (Groups("ffn", (0.5,) * DEPTH),), run_less
    stack.schedule = Schedule(warmup=2)
    stack.set_num_updates(2)
    x = torch.randn(2, 4)
    forward(stack, x)
    twin = twin_of(stack)
    assert (twin.groups, twin.run_without, twin.schedule) == (stack.groups, run_less, Schedule(warmup=2))
    assert twin.learning.masks == stack.learning.masks != []
    assert torch.equal(forward(twin, x), forward(stack, x))
    forward(twin, x)
    assert (len(twin.learning.masks), len(stack.learning.masks)) == (3, 2)
    assert (twin.forward_passes, stack.forward_passes) == (3, 2)
    stack.surrogate(torch.tensor(1.0))
    stack.set_num_updates(3)
    assert stack[0].learned_rate.loss.item() == 1.0 and twin[0].learned_rate.loss.item() == 0.0
