"""Distillation: a small model, the student, learns from what a large one, its teacher, predicts.

The loss is (1 - W) times the task's own plus W * T^2 * KL(teacher || student), both distributions being softened by the
temperature T (Hinton et al., 2015, arXiv 1503.02531). T^2 keeps the size of the gradients.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import kl_div, log_softmax


def check(weight: float, temperature: float, options: tuple[str, str]) -> None:
    """Check W and T.

    Args:
        options: their names, for errors.

    Raises:
        ValueError: one line.
    """
    if not 0.0 <= weight <= 1.0:
        raise ValueError(f"`{options[0]}` must be from 0 to 1, but is {weight:g} instead.")
    if not 0.0 < temperature < math.inf:
        raise ValueError(f"`{options[1]}` must be a number above 0, but is {temperature:g} instead.")


def divergence(student: Tensor, teacher: Tensor, temperature: float, counted: Tensor | None = None) -> Tensor:
    """Return T^2 * KL(teacher || student) in nats: a sum over all predictions, in float32.

    Args:
        student: logits or log-probabilities, with the classes in the last dimension.
        teacher: the same for the same inputs; no gradient flows there.
        counted: False for each prediction that has no part in the sum, such as padding; None for none.

    *Shape:* student and teacher (..., C), counted (...).
    """
    expected = log_softmax(teacher.detach().float() / temperature, dim=-1)
    predicted = log_softmax(student.float() / temperature, dim=-1)
    each = kl_div(predicted, expected, reduction="none", log_target=True).sum(-1)
    if counted is not None:
        each = each.masked_fill(~counted, 0.0)
    return temperature**2 * each.sum()


def mixed(own: Tensor, distilled: Tensor, weight: float) -> Tensor:
    """Return the loss to train by: (1 - W) times the task's own plus W times that of distillation."""
    return (1.0 - weight) * own + weight * distilled


def full_log_probabilities(head: Tensor, clusters: list[Tensor]) -> Tensor:
    """Return the log-probability of each word under an adaptive softmax.

    Args:
        head: logits of the frequent words, then one of each cluster of rarer words.
        clusters: logits of the words of each cluster.

    *Shape:* head (..., F + number of clusters), clusters (..., C_i), result (..., F + sum of C_i).
    """
    first = log_softmax(head.float(), dim=-1)
    frequent = first.shape[-1] - len(clusters)
    rare = [
        log_softmax(logits.float(), dim=-1) + first[..., frequent + i : frequent + i + 1]
        for i, logits in enumerate(clusters)
    ]
    return torch.cat([first[..., :frequent], *rare], dim=-1)
