"""Learned drop rates: the constraint, the gradient, what a checkpoint holds, and that useless layers are found."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from shared.learning_stacks import Residual, learning_stack
from torch import nn

from layerdrop_plugin import learned_rates
from layerdrop_plugin.dropping import Dropping, LayerDropStack, dropped_groups
from layerdrop_plugin.rates import Schedule


def float64(*values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("mean", [0.01, 0.1, 0.2, 0.5, 0.9, 0.99])
@pytest.mark.parametrize(
    "scores",
    [
        [0.0],
        [0.0] * 6,
        [4.0, -4.0],
        [4.0] + [-4.0] * 11,
        [-4.0] + [4.0] * 11,
        [-4.0, -1.0, 0.0, 0.5, 3.999, 4.0],
        [4.0 - i / 6 for i in range(48)],
    ],
)
def test_the_mean_of_the_rates_is_exact_and_each_is_a_rate(scores, mean):
    found = learned_rates.rates(float64(*scores), mean).tolist()
    assert math.fsum(found) / len(found) == pytest.approx(mean, abs=1e-15)
    assert all(0.0 < rate < 1.0 for rate in found)
    in_order = sorted(range(len(scores)), key=lambda i: scores[i])
    # Of equal scores, a processor's vector unit and its scalar one may differ in the last bit.
    assert all(found[i] <= found[j] + 1e-15 for i, j in zip(in_order, in_order[1:]))
    assert all(found[i] < found[j] for i, j in zip(in_order, in_order[1:]) if scores[i] < scores[j])


def test_rates_by_hand():
    """Of two layers around 0.5, the odds are exp(half the difference); equal scores give the mean."""
    assert learned_rates.rates(float64(1.0, 1.0, 1.0), 0.3).tolist() == pytest.approx([0.3] * 3, abs=1e-15)
    low, high = learned_rates.rates(float64(0.0, 2 * math.log(3)), 0.5).tolist()
    assert (low, high) == (pytest.approx(0.25, abs=1e-15), pytest.approx(0.75, abs=1e-15))
    assert learned_rates.rates(float64(4.0, -4.0), 0.0).tolist() == [0.0, 0.0]
    shifted = learned_rates.rates(float64(-1.0, 2 * math.log(3) - 1.0), 0.5).tolist()
    assert shifted == pytest.approx([low, high], abs=1e-15)  # only differences count


@pytest.mark.parametrize("mean", [0.05, 0.5, 0.95])
def test_the_gradient_of_the_rates(mean):
    scores = float64(-3.0, 0.0, 0.5, 2.0).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: learned_rates.rates(s, mean), (scores,), eps=1e-6, atol=1e-8)
    total = learned_rates.rates(scores, mean).sum()
    (gradient,) = torch.autograd.grad(total, scores)
    assert gradient.tolist() == pytest.approx([0.0] * 4, abs=1e-15)  # their mean never moves


def forward(stack, x):
    for layer in stack:
        x = layer(x)
    return x


def set_state(stack, change, loss):
    for i in range(len(stack)):
        stack[i].learned_rate.change.fill_(change[i])
        stack[i].learned_rate.loss.fill_(loss)


def test_the_score_function_loss_by_hand():
    """r0 = sigmoid((s0 - s1) / 2) of two layers around 0.5, and r1 = 1 - r0.

    So the log-probability of the mask 'only layer 0' is 2 log r0, and its slope by s0 is 1 - r0 = 0.5. A score moves
    3 times as fast as the bias, 3 a as the weight. A loss of 3 is worse than usual, 1, by 2. Times 0.01.
    """
    stack = learning_stack(2)
    set_state(stack, [-1.0, -2.0], loss=1.0)
    stack.learning.note_mask((True, False), 0.5)
    score_function_loss = stack.score_function_loss(torch.tensor(3.0))
    assert score_function_loss.item() == 0.0
    score_function_loss.backward()
    found = [(stack[i].learned_rate.bias.grad.item(), stack[i].learned_rate.weight.grad.item()) for i in range(2)]
    assert found == [pytest.approx((0.03, -0.03), abs=1e-7), pytest.approx((-0.03, 0.06), abs=1e-7)]


def test_a_loss_may_be_below_0():
    """A criterion may have a log-density, say. What counts is by how much a loss, 1, is worse than usual, -1."""
    stack = learning_stack(2)
    set_state(stack, [-1.0, -2.0], loss=-1.0)
    stack.learning.note_mask((True, False), 0.5)
    stack.score_function_loss(torch.tensor(1.0)).backward()
    assert stack[0].learned_rate.bias.grad.item() == pytest.approx(0.03, abs=1e-7)
    stack.set_num_updates(1)
    assert stack[0].learned_rate.loss.item() == pytest.approx(0.95 * -1.0 + 0.05 * 1.0)


@pytest.mark.parametrize(("loss", "sign"), [(3.0, 1), (0.5, -1)])
def test_a_step_lowers_the_rate_of_a_layer_that_was_missed(loss, sign):
    stack = learning_stack(4, 0.25)
    set_state(stack, [-2.0] * 4, loss=1.0)
    stack.learning.note_mask((False, False, True, False), 0.25)
    stack.score_function_loss(torch.tensor(loss)).backward()
    for i in range(4):
        own = stack[i].learned_rate
        assert own.weight.grad.item() != 0.0
        assert own.bias.grad.item() * sign * (1 if i == 2 else -1) > 0.0
    before = stack.rates_now()
    torch.optim.SGD(stack.parameters(), lr=0.1).step()
    after = stack.rates_now()
    assert [(b - a) * sign > 0 for b, a in zip(before, after)] == [False, False, True, False]
    assert sum(after) / 4 == pytest.approx(0.25, abs=1e-15)


def test_masks_of_several_passes_add_up_and_count_once():
    one, two = learning_stack(2), learning_stack(2)
    for stack, masks in ((one, [(True, False)]), (two, [(True, False), (True, False)])):
        set_state(stack, [-1.0, -1.0], loss=1.0)
        for mask in masks:
            stack.learning.note_mask(mask, 0.5)
        stack.score_function_loss(torch.tensor(2.0)).backward()
        assert stack.learning.masks == []
    assert two[0].learned_rate.bias.grad.item() == pytest.approx(2 * one[0].learned_rate.bias.grad.item())


def test_nothing_is_learned_before_there_is_a_usual_loss_or_where_nothing_can_be_dropped():
    for usual, mean in ((0.0, 0.5), (1.0, 0.0)):
        stack = learning_stack(2)
        set_state(stack, [-1.0, -1.0], loss=usual)
        stack.learning.note_mask((True, False), mean)
        score_function_loss = stack.score_function_loss(torch.tensor(3.0)) + 0.0 * stack[0].learned_rate.bias.sum()
        score_function_loss.backward()
        assert (score_function_loss.item(), stack[0].learned_rate.bias.grad.item()) == (0.0, 0.0)


def test_a_forward_pass_notes_its_mask_and_what_layers_change():
    stack = learning_stack(4)
    x = torch.randn(3, 8)
    y = forward(stack, x)
    mask = dropped_groups((0.5,) * 4, seed=0, update=0, forward_pass=0, name="decoder")
    assert mask == (False, False, False, False)
    assert stack.learning.masks == [(mask, 0.5)]
    before = x
    for i in range(4):
        after = stack[i](before)
        (noted,) = stack.learning.changes[i]
        assert noted.item() == pytest.approx(math.log((after - before).norm() / before.norm()), abs=1e-6)
        assert not noted.requires_grad
        before = after
    assert torch.equal(y, before)
    forward(stack.eval(), x)
    assert len(stack.learning.masks) == 1


def test_the_running_means_of_two_updates():
    stack = learning_stack(2)
    learning, layers = stack.learning, list(stack._modules.values())
    x = torch.tensor([3.0, 4.0])
    learning.note_change(0, x, 2 * x)  # log 1
    learning.note_change(1, x, x + torch.tensor([0.3, 0.4]))  # log 0.1
    learning.note_change(1, x, x + torch.tensor([0.003, 0.004]))  # log 0.001
    learning.note_mask((False, False), 0.5)
    stack.score_function_loss(torch.tensor(4.0))
    stack.score_function_loss(torch.tensor(2.0))
    learning.finish_update(layers, 0.5)
    own = [layer.learned_rate for layer in layers]
    tenth = math.log(0.1)
    assert [r.loss.item() for r in own] == [3.0, 3.0]  # the first counts in full
    assert [r.change.item() for r in own] == pytest.approx([0.0, 0.01 * 2 * tenth], abs=1e-5)
    learning.note_change(0, x, x + torch.tensor([0.3, 0.4]))  # layer 1 does not run
    stack.score_function_loss(torch.tensor(5.0))
    learning.finish_update(layers, 0.5)
    assert [r.loss.item() for r in own] == pytest.approx([0.95 * 3.0 + 0.05 * 5.0] * 2)
    assert [r.change.item() for r in own] == pytest.approx([0.01 * tenth, 0.01 * 2 * tenth], abs=1e-5)
    assert (learning.changes, learning.losses, learning.masks) == ([[], []], [], [])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_running_means_of_a_model_in_half_precision_are_in_full(dtype):
    """A step of 0.01 of the way is less than bf16 tells apart."""
    stack = learning_stack(2).to(dtype)
    assert stack[0].learned_rate.weight.dtype == dtype
    set_state(stack, [-4.0, -4.0], loss=4.0)
    x = torch.tensor([3.0, 4.0])
    stack.learning.note_change(0, x, 2 * x)  # log 1
    stack.learning.note_mask((False, True), 0.5)
    stack.score_function_loss(torch.tensor(4.1)).backward()
    stack.set_num_updates(1)
    own = [stack[i].learned_rate for i in range(2)]
    assert [r.change.item() for r in own] == [pytest.approx(-3.96, abs=1e-6), -4.0]
    assert [r.loss.item() for r in own] == pytest.approx([4.005] * 2, abs=1e-6)
    assert own[0].weight.grad.dtype == dtype


@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_a_loss_that_is_no_number_is_forgotten(bad):
    """fp16 overflows now and then: fairseq skips that update, with another loss scale, and all goes on."""
    stack = learning_stack(2)
    set_state(stack, [-1.0, -1.0], loss=1.0)
    stack.learning.note_mask((True, False), 0.5)
    stack.score_function_loss(torch.tensor(bad))
    stack.set_num_updates(1)
    assert math.isfinite(stack[0].learned_rate.loss.item())
    stack.learning.note_mask((True, False), 0.5)
    score_function_loss = stack.score_function_loss(torch.tensor(3.0))
    assert score_function_loss.item() == 0.0
    score_function_loss.backward()
    assert stack[0].learned_rate.bias.grad.item() == pytest.approx(0.03)


def test_a_layer_that_changes_nothing_or_gets_nothing_has_a_finite_activation():
    stack = learning_stack(2)
    x = torch.ones(4)
    stack.learning.note_change(0, x, x)
    stack.learning.note_change(1, torch.zeros(4), x)
    floor = math.log(1e-20)
    assert stack.learning.changes[0][0].item() == pytest.approx(floor, abs=1e-4)
    assert stack.learning.changes[1][0].item() == pytest.approx(math.log(2.0) - floor, abs=1e-4)


def test_an_update_without_a_forward_pass_writes_down_the_rates_and_no_more():
    stack = learning_stack(3)
    set_state(stack, [-1.0, -2.0, -3.0], loss=1.0)
    with torch.no_grad():
        stack[0].learned_rate.bias.fill_(0.1)
    before = copy.deepcopy(stack.state_dict())
    stack.set_num_updates(5)
    after = stack.state_dict()
    assert {name for name in after if not torch.equal(before[name], after[name])} == {
        f"{i}.learned_rate.rate" for i in range(3)
    }
    assert stack.learned_rates == pytest.approx(stack.rates_now(), abs=1e-7)
    assert stack.learned_rates[0] > 0.5 > stack.learned_rates[1] == stack.learned_rates[2]


def test_an_update_without_a_loss_leaves_the_usual_loss_as_it_is():
    """Where nothing gives losses, as without fairseq's trainer, what was noted does not pile up."""
    stack = learning_stack(2)
    set_state(stack, [-1.0, -1.0], loss=1.0)
    forward(stack, torch.randn(3, 8))
    stack.set_num_updates(1)
    assert [stack[i].learned_rate.loss.item() for i in range(2)] == [1.0, 1.0]
    assert stack[0].learned_rate.change.item() != -1.0
    assert (stack.learning.changes, stack.learning.losses, stack.learning.masks) == ([[], []], [], [])


def test_rates_are_written_down_without_the_schedule():
    stack = learning_stack(2, 0.4, schedule=Schedule(warmup=10))
    stack.set_num_updates(5)
    assert stack.learned_rates == pytest.approx((0.4, 0.4))
    assert (stack.rates_now(), stack.mean_rate_now()) == (pytest.approx((0.2, 0.2)), pytest.approx(0.2))
    assert LayerDropStack([Residual()], Dropping(0.4)).learned_rates is None


class Useless(nn.Module):
    """Changes its input in a way that nothing after it can see."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 8)

    def forward(self, x):
        return x + torch.cat((torch.zeros_like(x[:, :8]), torch.tanh(self.fc(x[:, :8]))), 1)


class Useful(Useless):
    def forward(self, x):
        return x + torch.cat((torch.tanh(self.fc(x[:, :8])), torch.zeros_like(x[:, :8])), 1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_layers_that_do_nothing_for_the_loss_end_with_the_highest_rates(seed):
    torch.manual_seed(seed)
    useless = set(torch.randperm(8)[:2].tolist())
    layers = [Useless() if i in useless else Useful() for i in range(8)]
    stack = LayerDropStack(layers, Dropping(0.25, seed=seed, learned=True), "decoder")
    teacher = copy.deepcopy(stack).eval().requires_grad_(False)
    optimizer = torch.optim.Adam(stack.parameters(), lr=0.003)
    for update in range(200):
        stack.set_num_updates(update)
        x = torch.cat((torch.randn(32, 8), torch.zeros(32, 8)), 1)
        loss = (forward(stack, x) - forward(teacher, x))[:, :8].pow(2).mean()
        optimizer.zero_grad()
        (loss + stack.score_function_loss(loss)).backward()
        optimizer.step()
    stack.set_num_updates(200)
    found = stack.learned_rates
    assert set(sorted(range(8), key=lambda i: found[i])[-2:]) == useless
    assert sum(found) / 8 == pytest.approx(0.25, abs=1e-6)
