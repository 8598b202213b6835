"""Every checkpoint fails with `Weights only load failed`, or, before that, may run code as it loads.

torch 2.6 and newer load with `weights_only=True`, which does not know the `argparse.Namespace`
in fairseq's checkpoints; older ones, and fairseq with them, unpickle whatever a file names, and run programs of
TorchScript. Here `fairseq.checkpoint_utils` reads through `read`, which is safe on every torch, and all other modules
of fairseq that call `torch.load` through `read_any`. Both give torch an unpickler of ours, in the place of its own.

`read` maps the file where torch can (2.1), so that what is not used is never read from disk. Who maps a file must
drop what is mapped before anybody may write to it: a write changes the numbers, and a shorter file ends the process
with SIGBUS. So fairseq's functions give memory of its own to any caller, outside of the context `reading` (mapped),
a file that was written just now is not mapped, and who uses a mapped one does it in the context `unchanged`.
"""

import contextlib
import inspect
import logging
import os
import re
import sys
import time
import types
from contextvars import ContextVar
from typing import Any, Callable, Dict, Iterator, Optional, Tuple

import torch

from .. import archive, hooks, known_objects, saved_options, wellformed
from ..errors import Malformed, one_line
from ..restricted_pickle import restricted_pickle

logger = logging.getLogger(__name__)

TORCH_TAKES_NAMES = hasattr(torch.serialization, "get_unsafe_globals_in_checkpoint")  # torch 2.6

DAMAGED = "`{}` must be the file of a checkpoint, but {} is damaged or no checkpoint at all."
UNREADABLE = "`{}` must be a file that can be read, but {} can't."
NOT_FAIRSEQ = "a checkpoint must be one of fairseq, but {} {}."


WRITTEN_JUST_NOW = 2.0
"""Seconds since a file was written to in which it may be written still."""

_reading: ContextVar[Tuple[str, bool]] = ContextVar("reading", default=("path", False))


@contextlib.contextmanager
def reading(option: str, mapped: bool) -> Iterator[None]:
    """Let fairseq read in this context: `option` names the file in errors, `mapped` leaves it mapped."""
    token = _reading.set((option, mapped))
    try:
        yield
    finally:
        _reading.reset(token)


def needed() -> Optional[str]:
    from fairseq import checkpoint_utils

    if isinstance(checkpoint_utils.torch, _SafeTorch):
        return None
    return f"torch {torch.__version__} would refuse fairseq's checkpoints or run code that they hold"


def apply() -> None:
    from fairseq import checkpoint_utils

    if not isinstance(checkpoint_utils.torch, _SafeTorch):
        checkpoint_utils.torch = _SafeTorch("torch")
    hooks.wrap(torch, "load", _load_for_fairseq)
    if TORCH_TAKES_NAMES:  # for the user's own calls of torch.load
        with one_line():
            objects = known_objects.true_objects()
            torch.serialization.add_safe_globals([(thing, name) for name, thing in objects.items()])


def _load_for_fairseq(stock: Callable[..., Any], f: Any, *args: Any, **kwargs: Any) -> Any:
    """Be `torch.load`: what a module of fairseq reads from a file is read safely. Workers' messages are no files."""
    caller = sys._getframe(2).f_globals.get("__name__", "")  # the frame between is that of the hook
    path = f if isinstance(f, (str, os.PathLike)) else getattr(f, "name", None)
    if not caller.startswith(("fairseq.", "fairseq_cli.")) or not isinstance(path, (str, os.PathLike)):
        return stock(f, *args, **kwargs)
    logger.info("also reading %s, which %s asks for", path, caller)
    with one_line():
        return read_any(os.fspath(path), args[0] if args else kwargs.get("map_location"))


class _SafeTorch(types.ModuleType):
    """torch as `fairseq.checkpoint_utils` sees it: the same, but that `load` is `read`."""

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    @staticmethod
    def load(f: Any, map_location: Any = None, **kwargs: Any) -> Any:
        with one_line():
            path = f if isinstance(f, str) else f.name
            return saved_options.disarm(read(path, *_reading.get()), path)


def read(path: str, option: str = "path", mapped: bool = True) -> Dict[str, Any]:
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


def _read(path: str, option: str, mapped: bool, map_location: Any = "cpu") -> Tuple[Any, archive.Content]:
    check_file(path, option)
    with unchanged(path):
        return _read_once(path, option, mapped, map_location)


@contextlib.contextmanager
def unchanged(*paths: str) -> Iterator[None]:
    """Refuse, at the end of this context, what was read in it of a file that was written to meanwhile.

    Raises:
        ValueError: one line, also in place of the one in which reading ended.
    """
    before = {path: _stamp(path) for path in paths if os.path.isfile(path)}
    failure = None
    try:
        yield
    except ValueError as error:
        failure = error
    for path, stamp in before.items():
        if _stamp(path) != stamp:
            words = f"a checkpoint must stay as it is while it is read, but {path} was written meanwhile."
            raise ValueError(words) from failure
    if failure is not None:
        raise failure


def _stamp(path: str) -> Optional[Tuple[int, ...]]:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _read_once(path: str, option: str, mapped: bool, map_location: Any) -> Tuple[Any, archive.Content]:
    known = {**_told_to_torch(), **known_objects.allowed()}
    with _in_one_line(path, option):
        content = archive.content_of(path)
    unknown = [name for name in content.objects if name not in known and not known_objects.is_of_tensors(name)]
    if unknown:
        raise ValueError(known_objects.refusal(path, unknown))
    settled = time.time() - os.path.getmtime(path) > WRITTEN_JUST_NOW
    with _in_one_line(path, option):
        return _load(path, known, content, mapped and content.stored and settled, map_location), content


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
    """Refuse what is no file or an empty one; `option` is where the path was given.

    Raises:
        ValueError: one line.
    """
    if not os.path.isfile(path):
        found = "is no regular file" if os.path.exists(path) else "does not exist"
        found = "is a folder" if os.path.isdir(path) else found
        raise ValueError(f"`{option}` must be the file of a checkpoint, but {path} {found}.")
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


def _load(path: str, known: Dict[str, Any], content: archive.Content, mapped: bool, map_location: Any) -> Any:
    with open(path, "rb") as f:
        zipped = f.read(4) == b"PK\x03\x04"  # torch's format since 1.6; the one before can't be mapped
    kwargs: Dict[str, Any] = {"map_location": map_location}
    if mapped and zipped and "mmap" in inspect.signature(torch.load).parameters:
        kwargs["mmap"] = True
    return _load_by(restricted_pickle(known, content))(path, weights_only=True, **kwargs)


def _load_by(unpickler: Any) -> Callable[..., Any]:
    """Return a `torch.load` that unpickles in this way, and takes no program of TorchScript, which would run."""
    load = inspect.unwrap(torch.load)
    names = {**load.__globals__, "_weights_only_unpickler": unpickler, "_is_torchscript_zip": lambda archive: False}
    guarded = types.FunctionType(load.__code__, names, "load", load.__defaults__)
    guarded.__kwdefaults__ = load.__kwdefaults__
    return guarded


def _told_to_torch() -> Dict[str, Any]:
    """Return the objects that a program allowed by torch's own means, by name."""
    if not TORCH_TAKES_NAMES:
        return {}
    told = torch.serialization.get_safe_globals()
    pairs = [
        thing if isinstance(thing, tuple) else (thing, f"{thing.__module__}.{thing.__qualname__}") for thing in told
    ]
    return {name: thing for thing, name in pairs}
