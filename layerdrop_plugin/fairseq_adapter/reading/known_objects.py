"""The objects that a checkpoint may hold beside plain Python, by their names in its file.

All are plain data: making one of them of whatever a stranger put into the file runs nothing. What fairseq and omegaconf
define is read as stand-ins, so that reading needs neither.
"""

from __future__ import annotations

import argparse
import collections
import importlib
import logging
import os
import re
import sys
from collections.abc import Iterable
from typing import Any

import numpy
import torch

from ..errors.one_line import Malformed
from . import omegaconf_objects
from .registered_fairseq import import_fairseq

try:
    multiarray = importlib.import_module("numpy._core.multiarray")
except ImportError:  # numpy 1
    multiarray = importlib.import_module("numpy.core.multiarray")

ALLOW = "LAYERDROP_ALLOW_GLOBALS"
"""The environment variable that allows more objects: `module.name`, separated by commas."""

RUN_CODE = frozenset(
    (
        *(
            "asyncio",
            "builtins",
            "code",
            "codeop",
            "commands",
            "concurrent",
            "ctypes",
            "distutils",
            "functools",
            "http",
        ),
        *("importlib", "inspect", "io", "marshal", "multiprocessing", "nt", "operator", "os", "pdb", "pickle", "pip"),
        *("pkgutil", "platform", "posix", "profile", "pty", "runpy", "setuptools", "shelve", "shutil", "signal"),
        *("socket", "subprocess", "sys", "tempfile", "threading", "timeit", "urllib", "webbrowser"),
    )
)
"""Modules and packages whose objects may run code, or write files, when they are called with what a file says."""

HARMLESS = frozenset(
    f"builtins.{name}"
    for name in ("bytearray", "complex", "frozenset", "list", "object", "range", "set", "slice", "str", "tuple")
)

DICTIONARY = "fairseq.data.dictionary"

TENSOR_PARTS = frozenset(
    (
        *("collections.OrderedDict", "torch.Size", "torch.device", "torch.nn.parameter.Parameter"),
        *("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor_v3"),
        "torch._utils._rebuild_parameter",
    )
)
"""What torch.save names for tensors beside their types; torch knows what to make of it.

No checkpoint of fairseq has sparse or quantized tensors. torch makes them of other tensors, in which a file of some
bytes may say that there are more numbers than anybody could read.
"""


class Dictionary:
    """A stand-in for fairseq's class of this name while fairseq is not imported; it is saved as the true class."""

    def __reduce__(self) -> tuple[Any, ...]:
        before = logging.root.manager.disable
        logging.disable(logging.INFO)  # fairseq says which packages it could also use
        try:
            import_fairseq()
        finally:
            logging.disable(before)
        return importlib.import_module(DICTIONARY).Dictionary, (), vars(self)


def dictionary_class() -> type:
    """Return fairseq's own class if fairseq is imported, else the stand-in."""
    kind: type = getattr(sys.modules.get(DICTIONARY), "Dictionary", Dictionary)
    return kind


def is_dictionary(value: Any) -> bool:
    """Return whether a value is fairseq's `Dictionary`, or stands for one."""
    return isinstance(value, (Dictionary, dictionary_class()))


def check_dictionary(value: Any) -> None:
    """Refuse a dictionary with attributes of other types than fairseq's.

    Raises:
        Malformed: the dictionary is not fairseq's.
    """
    attributes = dict(vars(value))
    symbols, count, indices = (attributes.pop(name, None) for name in ("symbols", "count", "indices"))
    well = isinstance(symbols, list) and isinstance(count, list) and isinstance(indices, dict)
    well = well and len(symbols) == len(count) and {*map(type, symbols), *map(type, indices)} <= {str}
    well = well and {*map(type, count), *map(type, indices.values())} <= {int}
    if not well or not {type(value) for value in attributes.values()} <= {str, int, type(None)}:
        raise Malformed("has a Dictionary that fairseq did not make")


def is_of_tensors(name: str) -> bool:
    """Return whether torch.save gives this name to a part of a tensor.

    >>> is_of_tensors("torch.FloatStorage"), is_of_tensors("torch.bfloat16"), is_of_tensors("torch.load")
    (True, True, False)
    >>> is_of_tensors("antigravity.float32")  # its import opens a browser
    False
    """
    module, _, last = name.rpartition(".")
    kind = getattr(torch, last, None) if module == "torch" else None
    return (
        name in TENSOR_PARTS
        or isinstance(kind, torch.dtype)
        or re.fullmatch(r"torch\.(cuda\.|storage\.)?[A-Za-z0-9]+Storage", name) is not None
    )


def true_objects() -> dict[str, Any]:
    """Return the objects that are read as what they are, by name: harmless ones, and those that the user allows."""
    objects: dict[str, Any] = {name: _import(name) for name in _from_environment()}
    objects["argparse.Namespace"] = argparse.Namespace  # configurations
    objects["_codecs.encode"] = importlib.import_module("_codecs").encode  # numpy scalars: a best value, a metric
    objects["collections.defaultdict"] = collections.defaultdict
    kinds: tuple[Any, ...] = (numpy.dtype, numpy.ndarray, *(type(numpy.dtype(c)) for c in "?bBhHiIlLqQefdgFDSU"))
    for kind in kinds:
        objects[f"{kind.__module__}.{kind.__name__}"] = kind
    for package in ("numpy.core.multiarray", "numpy._core.multiarray"):
        objects[f"{package}.scalar"] = multiarray.scalar
        objects[f"{package}._reconstruct"] = multiarray._reconstruct
    if dictionary_class() is not Dictionary:
        objects[f"{DICTIONARY}.Dictionary"] = dictionary_class()  # in the tasks of audio
    return objects


def allowed() -> dict[str, Any]:
    """Return what each object that a checkpoint may hold is read as, by name; parts of tensors are left out."""
    stand_in = {f"{DICTIONARY}.Dictionary": Dictionary, "builtins.bytes": bytes}
    return {**stand_in, **true_objects(), **omegaconf_objects.NODES, **omegaconf_objects.KINDS}


def refusal(path: str, unknown: Iterable[str]) -> str:
    """Return a message with the objects of a file that are not allowed, and the variable that would allow them.

    For objects that run code, such as `os.system`, it does not name the variable: nobody needs to allow them.
    """
    names = sorted(unknown)
    harmful = [name for name in names if name.partition(".")[0] in RUN_CODE and name not in HARMLESS]
    if harmful:
        return (
            f"a checkpoint must hold only known objects, but {path} holds {', '.join(harmful)}, "
            "which may run code as it is loaded: it was made to do harm, or is no checkpoint."
        )
    return (
        f"a checkpoint must hold only known objects, but {path} holds {', '.join(names)}; "
        f"if you trust the file, set {ALLOW}={','.join(dict.fromkeys((*_from_environment(), *names)))}"
    )


def _from_environment() -> list[str]:
    return [name.strip() for name in os.environ.get(ALLOW, "").split(",") if name.strip()]


def _import(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module or "builtins"), attribute)
    except (ImportError, AttributeError, ValueError):
        raise ValueError(f"`{ALLOW}` must name objects as module.name, but has {name!r}.") from None
