"""Read a checkpoint safely with every torch; torch 2.1 and newer can map it to its file.

Mapped tensors that are not used are never read from disk. They must be dropped before anybody writes to the file: a
write changes the numbers, and a shorter file ends the process with SIGBUS. So a file that was written just now is not
mapped, and a mapped file is used in the context `unchanged`.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import re
import time
import types
from collections.abc import Iterator
from typing import Any, Callable

import torch

from ..errors.one_line import Malformed
from . import archive, known_objects, wellformed
from .restricted_pickle import restricted_pickle

TORCH_TAKES_NAMES = hasattr(torch.serialization, "get_unsafe_globals_in_checkpoint")  # torch 2.6

DAMAGED = "`{}` must be the file of a checkpoint, but {} is damaged or no checkpoint at all."
UNREADABLE = "`{}` must be a file that can be read, but {} can't be."
NOT_FAIRSEQ = "a checkpoint must be one of fairseq, but {} {}."

WRITTEN_JUST_NOW = 2.0
"""Seconds after a write in which a file may still be written to."""


def read(path: str, option: str = "path", mapped: bool = True) -> dict[str, Any]:
    """Return the content of a fairseq checkpoint, its tensors on the CPU.

    Args:
        option: where the path was given, for errors.
        mapped: leave the tensors mapped to the file where torch can; the caller drops them soon.

    Raises:
        ValueError: one line: the file is missing, empty, truncated, no checkpoint of fairseq, or
            holds an object that is not allowed; then nothing of it was run.
    """
    state, content = _read(path, option, mapped)
    try:
        return wellformed.checked(state, content)
    except Malformed as error:
        raise ValueError(NOT_FAIRSEQ.format(path, error)) from None


def read_any(path: str, map_location: Any = None) -> Any:
    """Return what `torch.load` would, of any file that torch.save wrote, if it holds known objects only.

    Raises:
        ValueError: one line, as `read`; then nothing of the file was run.
    """
    return _read(path, "path", False, map_location)[0]


def _read(path: str, option: str, mapped: bool, map_location: Any = "cpu") -> tuple[Any, archive.Content]:
    check_file(path, option)
    with unchanged(path):
        return _read_once(path, option, mapped, map_location)


@contextlib.contextmanager
def unchanged(*paths: str) -> Iterator[None]:
    """Raise an error at the end of this context if a file was written to meanwhile.

    Raises:
        ValueError: one line, also in place of an error of reading.
    """
    before = {path: _stamp(path) for path in paths if os.path.isfile(path)}
    failure = None
    try:
        yield
    except ValueError as error:
        failure = error
    for path, stamp in before.items():
        if _stamp(path) != stamp:
            message = f"a checkpoint must stay as it is while it is read, but {path} was written meanwhile."
            raise ValueError(message) from failure
    if failure is not None:
        raise failure


def _stamp(path: str) -> tuple[int, ...] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _read_once(path: str, option: str, mapped: bool, map_location: Any) -> tuple[Any, archive.Content]:
    known = {**_told_to_torch(), **known_objects.allowed()}
    with _in_one_line(path, option):
        content = archive.content_of(path)
    unknown = [name for name in content.objects if name not in known and not known_objects.is_of_tensors(name)]
    if unknown:
        raise ValueError(known_objects.refusal(path, unknown))
    is_old = time.time() - os.path.getmtime(path) > WRITTEN_JUST_NOW
    with _in_one_line(path, option):
        return _load(path, known, content, mapped and content.stored and is_old, map_location), content


@contextlib.contextmanager
def _in_one_line(path: str, option: str) -> Iterator[None]:
    try:
        yield
    except Malformed as error:
        raise ValueError(NOT_FAIRSEQ.format(path, error)) from None
    except PermissionError:
        raise ValueError(UNREADABLE.format(option, path)) from None
    except RuntimeError as error:  # torch says why: no end of the archive, no memory
        raise ValueError(f"{DAMAGED.format(option, path)} ({str(error).strip().splitlines()[0]})") from None
    except Exception as error:  # bytes that are no pickle: as opcodes, they may end in any error
        reason = re.search(r"WeightsUnpickler error:\s*(.+)", str(error))  # torch's, after what is of no use here
        raise ValueError(DAMAGED.format(option, path) + (f" ({reason[1].strip()})" if reason else "")) from None


def check_file(path: str, option: str = "path") -> None:
    """Refuse a path without a file, or with an empty one; `option` is where the path was given.

    Raises:
        ValueError: one line.
    """
    if not os.path.isfile(path):
        problem = "is no regular file" if os.path.exists(path) else "does not exist"
        problem = "is a folder" if os.path.isdir(path) else problem
        raise ValueError(f"`{option}` must be the file of a checkpoint, but {path} {problem}.")
    if os.path.getsize(path) == 0:
        raise ValueError(f"`{option}` must be the file of a checkpoint, but {path} is empty.")
    if not os.access(path, os.R_OK):
        raise ValueError(UNREADABLE.format(option, path))
    check_name(path, option)


def check_name(path: str, option: str = "path") -> None:
    """Refuse a name under which torch can map no file; `option` is where the path was given.

    Raises:
        ValueError: one line.
    """
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        raise ValueError(f"`{option}` must be a path in UTF-8, but is {path!r} instead.") from None


def _load(path: str, known: dict[str, Any], content: archive.Content, mapped: bool, map_location: Any) -> Any:
    with open(path, "rb") as f:
        zipped = f.read(4) == b"PK\x03\x04"  # torch's format since 1.6; the one before can't be mapped
    kwargs: dict[str, Any] = {"map_location": map_location}
    if mapped and zipped and "mmap" in inspect.signature(torch.load).parameters:
        kwargs["mmap"] = True
    return _load_by(restricted_pickle(known, content))(path, weights_only=True, **kwargs)


def _load_by(unpickler: Any) -> Callable[..., Any]:
    """Return a `torch.load` with this unpickler that refuses programs of TorchScript, which would run."""
    load = inspect.unwrap(torch.load)
    names = {**load.__globals__, "_weights_only_unpickler": unpickler, "_is_torchscript_zip": lambda archive: False}
    guarded = types.FunctionType(load.__code__, names, "load", load.__defaults__)
    guarded.__kwdefaults__ = load.__kwdefaults__
    return guarded


def _told_to_torch() -> dict[str, Any]:
    """Return the objects that a program has allowed through torch, by name."""
    if not TORCH_TAKES_NAMES:
        return {}
    told = torch.serialization.get_safe_globals()
    pairs = [
        thing if isinstance(thing, tuple) else (thing, f"{thing.__module__}.{thing.__qualname__}") for thing in told
    ]
    return {name: thing for thing, name in pairs}
