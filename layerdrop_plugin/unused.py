"""Mark parameters as used that a forward pass does not use, because several workers wait for each gradient."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, distributed


def mark_used(x: Tensor, unused: Iterable[Any]) -> Tensor:
    """Return `x` such that, where several workers train, `unused` counts as used.

    DistributedDataParallel waits for a gradient of every parameter that the forward pass might
    have used and stops with 'Expected to have finished reduction' when one never comes. As
    inputs of a function that gives them none, the parameters in `unused` and those behind other
    tensors in it count as ready in the backward pass, at no compute. One worker waits for nobody,
    and is spared the search for them, unless `x` itself needs them to have a backward pass at all.
    """
    alone = not (distributed.is_available() and distributed.is_initialized())
    if not torch.is_grad_enabled() or (alone and x.requires_grad):
        return x
    return _MarkUsed.apply(x, *(t for t in unused if isinstance(t, Tensor) and t.requires_grad))


class _MarkUsed(torch.autograd.Function):
    """The identity of its first input; the others get no gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *unused: Tensor) -> Tensor:
        ctx.unused = len(unused)
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return (grad, *[None] * ctx.unused)
