"""The loss of distillation, worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from layerdrop_plugin.distillation import check, divergence, full_log_probabilities, mixed

HALVES, QUARTERS = [math.log(1 / 2)] * 2, [math.log(1 / 4), math.log(3 / 4)]


@pytest.mark.parametrize(
    ("student", "teacher", "temperature", "expected"),
    [
        (HALVES, HALVES, 1.0, 0.0),
        (QUARTERS, HALVES, 1.0, math.log(4 / 3) / 2),  # 1/2 log(1/2 / 1/4) + 1/2 log(1/2 / 3/4)
        (HALVES, QUARTERS, 1.0, 0.75 * math.log(3) - math.log(2)),  # 1/4 log(1/4 / 1/2) + 3/4 log(3/4 / 1/2)
        ([7.0, 7.0], [3.0, 3.0], 1.0, 0.0),  # logits of the same distribution
        # The student's odds of 1 to 3 become 1 to the root of 3; the teacher's stay; and T^2 is 4.
        (QUARTERS, HALVES, 2.0, 2 * math.log((2 + math.sqrt(3)) / (2 * math.sqrt(3)))),
        # They become 1 to 9.
        (QUARTERS, HALVES, 0.5, math.log(5 / 3) / 4),
    ],
)
def test_divergence(student, teacher, temperature, expected):
    found = divergence(torch.tensor(student), torch.tensor(teacher), temperature)
    assert found.item() == pytest.approx(expected, abs=1e-6)


def test_what_does_not_count_has_no_part_in_the_sum_nor_in_the_gradient():
    student = torch.tensor([[QUARTERS, [9.0, -9.0]], [QUARTERS, QUARTERS]], requires_grad=True)
    teacher = torch.tensor([[HALVES, HALVES], [HALVES, QUARTERS]])
    counted = torch.tensor([[True, False], [True, True]])
    found = divergence(student, teacher, 1.0, counted)
    assert found.item() == pytest.approx(math.log(4 / 3))
    found.backward()
    moved = torch.tensor([[[-0.25, 0.25], [0.0, 0.0]], [[-0.25, 0.25], [0.0, 0.0]]])
    torch.testing.assert_close(student.grad, moved)


@pytest.mark.parametrize("temperature", [1.0, 100.0])
def test_the_gradient_keeps_its_size_at_high_temperatures(temperature):
    """It is T times the difference of the two softened distributions: of two classes, a quarter of that of logits."""
    student = torch.zeros(1, 2, requires_grad=True)
    divergence(student, torch.tensor([[0.02, 0.0]]), temperature).backward()
    torch.testing.assert_close(student.grad, torch.tensor([[-0.005, 0.005]]), rtol=1e-3, atol=0)


def test_no_gradient_flows_to_the_teacher():
    teacher = torch.tensor([HALVES], requires_grad=True)
    divergence(torch.tensor([QUARTERS], requires_grad=True), teacher, 1.0).backward()
    assert teacher.grad is None


def test_half_precision_is_summed_in_float32():
    rows = 1000
    student, teacher = torch.tensor([QUARTERS] * rows).half(), torch.tensor([HALVES] * rows).half()
    found = divergence(student, teacher, 1.0)
    assert found.dtype is torch.float32
    assert found.item() == pytest.approx(rows * math.log(4 / 3) / 2, rel=1e-3)


@pytest.mark.parametrize(("weight", "expected"), [(0.0, 8.0), (0.25, 7.0), (1.0, 4.0)])
def test_mixed(weight, expected):
    assert mixed(torch.tensor(8.0), torch.tensor(4.0), weight).item() == expected


def test_adaptive_softmax_as_one_distribution():
    """Two frequent words, then clusters of two rarer words and of one."""
    head = torch.tensor([[1 / 2, 1 / 4, 3 / 16, 1 / 16]]).log()
    clusters = [torch.tensor([[1 / 3, 2 / 3]]).log(), torch.tensor([[5.0]])]
    expected = torch.tensor([[1 / 2, 1 / 4, 1 / 16, 1 / 8, 1 / 16]])
    torch.testing.assert_close(full_log_probabilities(head, clusters).exp(), expected)


OPTIONS = ("--weight", "--temperature")


@pytest.mark.parametrize(
    ("weight", "temperature", "message"),
    [
        (-0.1, 1.0, "`--weight` must be from 0 to 1, but is -0.1 instead."),
        (1.5, 1.0, "`--weight` must be from 0 to 1, but is 1.5 instead."),
        (math.nan, 1.0, "`--weight` must be from 0 to 1, but is nan instead."),
        (0.5, 0.0, "`--temperature` must be a number above 0, but is 0 instead."),
        (0.5, -2.0, "`--temperature` must be a number above 0, but is -2 instead."),
        (0.5, math.inf, "`--temperature` must be a number above 0, but is inf instead."),
        (0.5, math.nan, "`--temperature` must be a number above 0, but is nan instead."),
    ],
)
def test_check_refuses(weight, temperature, message):
    with pytest.raises(ValueError) as error:
        check(weight, temperature, OPTIONS)
    assert str(error.value) == message


@pytest.mark.parametrize(("weight", "temperature"), [(0.0, 1.0), (1.0, 0.1), (0, 20)])
def test_check_takes(weight, temperature):
    check(weight, temperature, OPTIONS)
