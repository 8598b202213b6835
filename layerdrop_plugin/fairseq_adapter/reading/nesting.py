"""Check how a file's values are nested, so that a walk over them ends, in little memory.

The numbers in tensors are not read.
"""

from __future__ import annotations

import itertools
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy
import torch
from torch import Tensor

from ..errors.one_line import Malformed
from .archive import Content
from .known_objects import check_dictionary, is_dictionary
from .omegaconf_objects import Kind, Node

DEEPEST, MOST = 100, 10_000_000
"""How deep values may be nested; how many there may be, each counted as often as a walk comes to it."""

MOST_TENSORS = 16
"""How many tensors may share the same numbers, on average."""

PLAIN = frozenset((str, int, float, bool, type(None), bytes))


def check(value: Any, content: Content) -> bool:
    """Refuse what nobody meant to save; return whether it contains omegaconf's containers.

    Args:
        content: what is in the file that it was read from.

    Raises:
        Malformed: a value holds itself, lies too deep, or multiplies by being held often; or tensors or arrays have
            more numbers than the file.
    """
    walk = _Walk()
    walk.over(value, 0)
    _check_tensors(walk.tensors, content.tensor_bytes)
    size = sum(array.nbytes for array in walk.arrays)
    if size > content.rest_bytes:
        raise Malformed(f"has arrays of {size:,} bytes, which is more than there are")
    return walk.nodes


def parts(value: Any) -> Iterable[Any] | None:
    """Return what a value of a file holds, None if it holds nothing or is an object that the user allowed."""
    if isinstance(value, dict):
        attributes = vars(value).values() if isinstance(value, OrderedDict) else ()  # `_metadata`, of weights
        return itertools.chain(value, value.values(), attributes)
    if isinstance(value, (list, tuple, set, frozenset)):
        return value
    if isinstance(value, Namespace) or is_dictionary(value):
        return itertools.chain(vars(value), vars(value).values())
    return (value.content,) if isinstance(value, Node) else None


class _Walk:
    """A walk that measures each value once, and collects tensors, arrays and nodes."""

    def __init__(self) -> None:
        self.begun: set[int] = set()
        self.measured: dict[int, tuple[int, int]] = {}
        self.tensors: list[Tensor] = []
        self.arrays: list[Any] = []
        self.nodes = False

    def over(self, value: Any, depth: int) -> tuple[int, int]:
        """Return how many values this one is, with all that it holds, and how deep they lie in it."""
        held = parts(value)
        if held is None:
            self._gather(value)
            return 1, 0
        if id(value) not in self.measured:
            if id(value) in self.begun:
                raise Malformed("has a value that holds itself")
            if depth > DEEPEST:
                raise Malformed(f"has values that lie in each other more than {DEEPEST} deep")
            self.begun.add(id(value))
            self.measured[id(value)] = self._measure(held, depth)
            self.nodes = self.nodes or isinstance(value, Node)
            if is_dictionary(value):
                check_dictionary(value)
        count, height = self.measured[id(value)]
        if count > MOST or depth + height > DEEPEST:
            raise Malformed(f"has values that hold each other more than {MOST:,} times or {DEEPEST} deep")
        return count, height

    def _measure(self, held: Iterable[Any], depth: int) -> tuple[int, int]:
        count, height = 1, 0
        for part in held:
            if type(part) in PLAIN:
                count += 1
            else:
                inner = self.over(part, depth + 1)
                count, height = count + inner[0], max(height, inner[1] + 1)
        return count, height

    def _gather(self, value: Any) -> None:
        if isinstance(value, Tensor):
            if value._backward_hooks:  # torch.save writes none
                raise Malformed("has a tensor with hooks")
            self.tensors.append(value)
        elif isinstance(value, numpy.ndarray):
            self.arrays.append(value)
        elif isinstance(value, Kind) or value is Kind or value is Node:
            raise Malformed("has parts of omegaconf's containers outside of them")


def _check_tensors(tensors: Sequence[Tensor], stored: int) -> None:
    """Compare the sizes of tensors with what is stored for them; tied weights are several tensors over one memory."""
    memory: dict[int, int] = {}
    claimed = 0
    for tensor in tensors:
        if tensor.layout is torch.strided and tensor.device.type == "cpu":
            storage = tensor.untyped_storage() if hasattr(tensor, "untyped_storage") else tensor.storage()  # torch 2.0
            memory[storage.data_ptr()] = max(storage.nbytes(), memory.get(storage.data_ptr(), 0))
            size = tensor.numel() * tensor.element_size()
            if size > max(storage.nbytes(), stored):  # by strides of 0
                raise Malformed(f"has a tensor of shape {list(tensor.shape)}, which is larger than the file")
            claimed += size
    if sum(memory.values()) > stored:
        raise Malformed(f"has tensors of {sum(memory.values()):,} bytes, which is more than there are")
    if claimed > MOST_TENSORS * stored:
        raise Malformed(f"has tensors of {claimed:,} bytes, which is more than {MOST_TENSORS} times what is stored")
