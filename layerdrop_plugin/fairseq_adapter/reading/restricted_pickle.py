"""Unpickle what torch.save wrote, and make only objects that a checkpoint has.

torch's own unpickler, from 2.6 on, runs no code of a file either. But it calls what it knows with whatever the file
says: a file of some kilobytes may make Python hash a value, or encode a text, for hours, or take all memory. numpy
believes what a file says of its types, and torch before 2.6 how many numbers there are: both then read beyond them.
"""

from __future__ import annotations

import pickle
import re
import sys
import types
from argparse import Namespace
from collections import OrderedDict
from typing import Any, Callable

import numpy
import torch

from ..errors.one_line import Malformed
from . import known_objects
from .archive import Content, NoArchive, renamed
from .known_objects import multiarray

PLAIN = frozenset((str, int, float, bool, type(None), bytes))

MOST_KEYS = 10_000
"""How many keys of dicts may be neither text nor a number. They can be chosen so that each lookup visits all."""

LARGEST_KEY = 2**64
"""Larger numbers can be chosen in the same way."""

ATTRIBUTES_OF_DICTS = frozenset(("_metadata",))
"""What torch's modules note in an OrderedDict of weights."""

ARRAYS = ("numpy.core.multiarray", "numpy._core.multiarray")


def restricted_pickle(known: dict[str, Any], content: Content) -> types.SimpleNamespace:
    """Return a pickle module that makes tensors and what is `known`, for a file with this content."""
    guarded = {"_codecs.encode": _encoded, "builtins.bytes": _no_bytes, "numpy.dtype": _type_of_numbers}
    for package in ARRAYS:
        guarded.update({f"{package}._reconstruct": _empty_array, f"{package}.scalar": _scalar})
    kinds = {thing for thing in known.values() if isinstance(thing, type)}
    rules = _Allowed({**known, **guarded}, kinds | {OrderedDict, torch.nn.Parameter}, content)

    class Unpickler(_Unpickler):
        allowed = rules

    def load(file: Any, **kwargs: Any) -> Any:
        """Read one of the small pickles beside the main one, before torch 1.6."""
        value = Unpickler(file, **kwargs).load()
        if isinstance(value, list) and ({*map(type, value)} - {str} or {*value} != rules.memory):
            raise NoArchive
        return value

    return types.SimpleNamespace(Unpickler=Unpickler, load=load, __name__="restricted_pickle")


class _Allowed:
    """What one file may contain, and what was read so far."""

    def __init__(self, objects: dict[str, Any], kinds: set[type], content: Content) -> None:
        self.objects, self.kinds, self.content = objects, kinds, content
        self.memory: set[str] = set()  # names of tensors' memory
        self.keys = 0

    def check_memory(self, name: Any) -> None:
        """Check how a file names the memory of a tensor."""
        if type(name) is not tuple or len(name) not in (5, 6) or name[0] != "storage":
            raise Malformed("refers to more than the memory of tensors")  # a module has torch write a file
        _, kind, key, place, count = name[:5]
        dtype = torch.uint8 if kind is torch.UntypedStorage else getattr(kind, "dtype", None)
        if not isinstance(dtype, torch.dtype) or (type(key), type(place), type(count)) != (str, str, int) or count < 0:
            raise Malformed("refers to the memory of a tensor as torch does not")
        most = self.content.tensor_bytes if self.content.sizes is None else self.content.sizes.get(key, 0)
        if count * torch._utils._element_size(dtype) > most:
            raise NoArchive  # or it was cut off
        if len(name) == 6 and name[5] is not None and {*map(type, name[5])} - {str, int}:
            raise Malformed("refers to the memory of a tensor as torch does not")
        self.memory.add(key)

    def check_key(self, key: Any) -> None:
        """Check that the lookup of a key in a dict is fast."""
        if type(key) in PLAIN:
            well = type(key) is not int or abs(key) < LARGEST_KEY
        else:
            self.keys += 1
            well = self.keys <= MOST_KEYS and not (isinstance(key, tuple) and {*map(type, key)} - PLAIN)
        if not well:
            raise Malformed("has names in a dict that are not plain")

    def check_arguments(self, function: Any, arguments: Any) -> None:
        """Check the arguments with which an object is made."""
        if type(arguments) is not tuple:
            raise Malformed("calls an object with what is no tuple")
        if isinstance(function, type) and issubclass(function, dict):
            for argument in arguments:
                self._check_items(argument)
        elif function is torch.Size and not all(type(argument) in (list, tuple) for argument in arguments):
            raise Malformed("has a shape that is no tuple")  # of a tensor, torch would read each number
        elif _is_not_called(function):
            raise Malformed(f"calls {function.__name__}, which no checkpoint does")

    def _check_items(self, argument: Any) -> None:
        if argument is None or isinstance(argument, (dict, type)):  # what a defaultdict makes of missing ones is a type
            return
        if type(argument) not in (list, tuple):
            raise Malformed("has a dict that is not made of pairs")
        for pair in argument:
            if type(pair) not in (list, tuple) or len(pair) != 2:
                raise Malformed("has a dict that is not made of pairs")
            self.check_key(pair[0])

    def checked_attributes(self, value: Any, attributes: Any) -> Any:
        """Return the checked attributes of a value."""
        if isinstance(value, numpy.dtype):
            return _bytes_in_order(value, attributes)
        if type(value) not in self.kinds:  # neither a class nor a function
            raise Malformed(f"changes a {type(value).__name__}, which no checkpoint does")
        if isinstance(value, numpy.ndarray):
            _check_array(attributes)
        elif isinstance(value, (Namespace, OrderedDict)) or known_objects.is_dictionary(value):
            _check_attributes(value, attributes)
        return attributes


def _is_not_called(function: Any) -> bool:
    """Return whether a type is only referred to in a checkpoint, or made in another way."""
    if not isinstance(function, type):
        return False
    return function in (int, list, numpy.ndarray) or issubclass(function, numpy.dtype) or "Storage" in function.__name__


def _check_attributes(value: Any, attributes: Any) -> None:
    """Check that no attribute hides a method."""
    names: list[Any] = list(attributes) if type(attributes) is dict else [None]
    well = {*map(type, names)} <= {str} and not any(hasattr(type(value), name) for name in names)
    if not well or (isinstance(value, OrderedDict) and not {*names} <= ATTRIBUTES_OF_DICTS):
        raise Malformed(f"has attributes of {type(value).__name__} that it can't have")


def _encoded(text: Any, encoding: Any) -> bytes:
    """Replace `_codecs.encode`, with which pickle's protocol 2 writes bytes as text."""
    if type(text) is not str or encoding not in ("latin1", "latin-1"):
        raise Malformed("encodes what is not text in latin1")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """Replace `bytes`, which protocol 2 calls only for empty bytes."""
    return b""


def _type_of_numbers(code: Any, *_: Any) -> Any:
    """Replace `numpy.dtype`, without structures, which multiply, and without objects."""
    if type(code) is not str or not re.fullmatch(r"[<>=|]?([?bBhHiIlLqQefdgFDG]|[biufcSUa]\d+)", code):
        raise Malformed("has a type of numbers that no checkpoint has")
    return numpy.dtype(code, copy=True)


def _bytes_in_order(dtype: Any, attributes: Any) -> Any:
    """Return the attributes of a type of numbers, with the byte order of the file."""
    if type(attributes) is not tuple or len(attributes) < 2 or attributes[1] not in ("<", ">", "=", "|"):
        raise Malformed("has a type of numbers that no checkpoint has")
    own = dtype.__reduce__()[2]
    return (own[0], attributes[1], *own[2:])


def _scalar(dtype: Any, numbers: Any) -> Any:
    """Replace numpy's `scalar`, which compares the number of bytes with that of the type."""
    _check_numbers(dtype, numbers)
    return multiarray.scalar(dtype, numbers)


def _empty_array(kind: Any, *_: Any) -> Any:
    """Replace numpy's `_reconstruct`, whose array gets its size with its numbers."""
    if kind is not numpy.ndarray:
        raise Malformed("has an array that numpy did not write")
    return multiarray._reconstruct(numpy.ndarray, (0,), b"b")


def _check_array(attributes: Any) -> None:
    """Check how a file describes an array; numpy compares how many numbers there are and shall be."""
    if type(attributes) is not tuple or len(attributes) != 5 or type(attributes[1]) is not tuple:
        raise Malformed("has an array that numpy did not write")
    _check_numbers(attributes[2], attributes[4])


def _check_numbers(dtype: Any, numbers: Any) -> None:
    if not isinstance(dtype, numpy.dtype) or type(numbers) is not bytes:
        raise Malformed("has numbers that numpy did not write")
    if dtype.kind == "U":
        characters = numpy.frombuffer(numbers, dtype.byteorder.replace("|", "=") + "u4")
        if characters.size and characters.max() > sys.maxunicode:
            raise Malformed("has text of numpy that is not valid")


IN_PYTHON: Any = pickle._Unpickler
"""The unpickler in C would allocate memory for any number in the file."""


class _Unpickler(IN_PYTHON):
    allowed: _Allowed
    dispatch: dict[int, Callable[[Any], None]] = dict(IN_PYTHON.dispatch)
    stack: list[Any]

    def find_class(self, module: str, name: str) -> Any:
        full = renamed(module, name)
        if full in self.allowed.objects:
            return self.allowed.objects[full]
        if known_objects.is_of_tensors(full):
            return super().find_class(module, name)
        raise NoArchive  # the file changed after it was checked

    def load_reduce(self) -> None:
        self.allowed.check_arguments(*self.stack[-2:])
        super().load_reduce()

    def load_newobj(self) -> None:
        self.allowed.check_arguments(*self.stack[-2:])
        super().load_newobj()

    def load_build(self) -> None:
        self.stack[-1] = self.allowed.checked_attributes(*self.stack[-2:])
        super().load_build()

    def load_binpersid(self) -> None:
        self.allowed.check_memory(self.stack[-1])
        super().load_binpersid()

    def load_append(self) -> None:
        self._check_target(self.stack[-2], list)
        super().load_append()

    def load_appends(self) -> None:
        self._check_target(self.metastack[-1][-1], list)
        super().load_appends()

    def load_setitem(self) -> None:
        self._check_target(self.stack[-3], dict)
        self.allowed.check_key(self.stack[-2])
        super().load_setitem()

    def load_setitems(self) -> None:
        self._check_target(self.metastack[-1][-1], dict)
        for key in self.stack[::2]:
            self.allowed.check_key(key)
        super().load_setitems()

    @staticmethod
    def _check_target(value: Any, kind: type) -> None:
        if not isinstance(value, kind):
            raise Malformed(f"puts items into a {type(value).__name__}, which no checkpoint does")

    dispatch[pickle.REDUCE[0]] = load_reduce
    dispatch[pickle.NEWOBJ[0]] = load_newobj
    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.BINPERSID[0]] = load_binpersid
    dispatch[pickle.APPEND[0]] = load_append
    dispatch[pickle.APPENDS[0]] = load_appends
    dispatch[pickle.SETITEM[0]] = load_setitem
    dispatch[pickle.SETITEMS[0]] = load_setitems
