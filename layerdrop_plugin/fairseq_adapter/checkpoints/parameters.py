"""The parameters of a checkpoint's model, read off its weights: no model is built."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ...families import place_of
from ..compat.encoder_weight_copies import COPIES
from .buffers import is_buffer
from .optimizer_state import Parameter

Weights = Mapping[str, Tensor]


def is_copy(name: str) -> bool:
    """Return whether this is one of the copies that stock fairseq 0.12.2 makes in an encoder layer.

    >>> is_copy("encoder.layers.0.fc1_weight"), is_copy("encoder.layers.0.fc1.weight")
    (True, False)
    """
    place = place_of(name)
    return place is not None and place.stack == "encoder" and place.name in COPIES


def without_copies(weights: Weights) -> dict[str, Tensor]:
    """Return the weights without stock's copies, which no loading needs: stock makes them anew, others know none."""
    return {name: value for name, value in weights.items() if not is_copy(name)}


def parameters(weights: Weights) -> list[Parameter]:
    """Return the model's parameters in its order, which is that of its state, each tied one once.

    Stock's copies count, as they do in the optimizer of the training that saved them.
    """
    return [
        Parameter(name, tuple(weights[name].shape))
        for name, owner in owners(weights).items()
        if name == owner and not is_buffer(name)
    ]


def owners(weights: Weights) -> dict[str, str]:
    """Return, for each name, the first name of the same parameter.

    Tied weights share memory in a checkpoint saved by training on a CPU. From a GPU each is saved apart; then
    tables (of two dimensions) outside the layers that hold the same numbers are taken for one.
    """
    first: dict[tuple[Any, ...], str] = {}
    return {name: first.setdefault(_identity(name, value), name) for name, value in weights.items()}


def place(value: Tensor) -> tuple[Any, ...]:
    """Return what two tensors have in common that are the same piece of memory."""
    return value.data_ptr(), value.dtype, tuple(value.shape), value.stride()


def _identity(name: str, value: Tensor) -> tuple[Any, ...]:
    if value.dim() == 2 and place_of(name) is None and value.numel() > 0:
        return tuple(value.shape), tuple(_sample(value))
    return place(value)


def _sample(table: Tensor, count: int = 100) -> list[float]:
    """Numbers from all over a table; to read all of a mapped file's would take long."""
    step = max(1, table.numel() // count)
    numbers: list[float] = table.detach().reshape(-1)[::step].to(torch.float64).tolist()
    return numbers
