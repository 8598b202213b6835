"""Average the weights of several models, which are read one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch

Weights = Mapping[str, torch.Tensor]


@torch.no_grad()
def average(models: Iterable[tuple[str, Weights]]) -> dict[str, torch.Tensor]:
    """Return the mean of each weight over all models, which keeps the weight's type.

    Sums of float16 or bfloat16 weights are kept in float32; the mean of integers is rounded down. Names
    that share memory in all models share it in the result. If `models` is a generator, only one model and
    the sum are in memory at a time.

    Args:
        models: each with its name, for errors.

    Raises:
        ValueError: one line: there is no model, two differ in the names or shapes of their weights, or
            these are no dense tensors of real numbers.

    >>> average([("a", {"w": torch.tensor([1.0, 2.0])}), ("b", {"w": torch.tensor([3.0, 6.0])})])
    {'w': tensor([2., 4.])}
    """
    total: _Sum | None = None
    for source, weights in models:
        if total is None:
            total = _Sum(source, weights)
        else:
            total.add(source, weights)
        del weights  # else it would still be in memory while the next one is read
    if total is None:
        raise ValueError("there must be at least one model to average, but there is none.")
    return total.mean()


class _Sum:
    """The sum of the models so far."""

    def __init__(self, source: str, weights: Weights) -> None:
        _check_tensors(source, weights)
        self.first = source
        self.count = 1
        self.shapes = {name: tuple(value.shape) for name, value in weights.items()}
        self.dtypes = {name: value.dtype for name, value in weights.items()}
        self.owners = _owners(weights)
        self.sums = {name: _wide(weights[name]).clone() for name in set(self.owners.values())}

    def add(self, source: str, weights: Weights) -> None:
        _check_tensors(source, weights)
        self._check_same(source, weights)
        self.count += 1
        owners = _owners(weights)
        for name, owner in self.owners.items():
            if owners[name] != owners[owner]:  # these two shared memory in the models before, and here they don't
                self.owners[name] = name
                self.sums[name] = self.sums[owner]
        for name, value in self.sums.items():
            self.sums[name] = value + _wide(weights[name])
        for name, dtype in self.dtypes.items():
            self.dtypes[name] = torch.promote_types(dtype, weights[name].dtype)

    def mean(self) -> dict[str, torch.Tensor]:
        for name, value in self.sums.items():
            mean = value / self.count if value.is_floating_point() else value // self.count
            self.sums[name] = mean.to(self.dtypes[name])
        return {name: self.sums[owner] for name, owner in self.owners.items()}

    def _check_same(self, source: str, weights: Weights) -> None:
        for name in (*self.shapes, *weights):
            if name not in weights or name not in self.shapes:
                has, lacks = (source, self.first) if name in weights else (self.first, source)
                raise ValueError(
                    f"models to average must have the same weights, but `{name}` is in {has} and not in {lacks}."
                )
        for name, shape in self.shapes.items():
            other = tuple(weights[name].shape)
            if other != shape:
                raise ValueError(
                    "models to average must have weights of the same shape, "
                    f"but `{name}` is {shape} in {self.first} and {other} in {source}."
                )


def _check_tensors(source: str, weights: Weights) -> None:
    if not isinstance(weights, Mapping):
        raise ValueError(
            f"a model to average must have weights by their names, but {source} has a {type(weights).__name__}."
        )
    for name, value in weights.items():
        if not isinstance(value, torch.Tensor):
            raise ValueError(
                f"weights to average must be tensors, but `{name}` of {source} is a {type(value).__name__}."
            )
        if value.layout is not torch.strided or value.is_complex():
            raise ValueError(
                "weights to average must be dense tensors of real numbers, "
                f"but `{name}` of {source} is {value.layout}, {value.dtype}."
            )


def _owners(weights: Weights) -> dict[str, str]:
    """Return, for each name, the first name of the same memory."""
    owners: dict[tuple[object, ...], str] = {}
    return {name: owners.setdefault((v.data_ptr(), v.dtype, v.shape, v.stride()), name) for name, v in weights.items()}


def _wide(value: torch.Tensor) -> torch.Tensor:
    """Return `value` in a type that sums fit in."""
    if value.is_floating_point():
        return value.to(torch.promote_types(value.dtype, torch.float32))
    return value.to(torch.int64)
