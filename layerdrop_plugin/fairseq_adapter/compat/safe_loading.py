"""Every checkpoint fails with `Weights only load failed`, or, before that, may run code as it loads.

torch 2.6 and newer load with `weights_only=True`, which does not know the `argparse.Namespace`
in fairseq's checkpoints; older ones, and fairseq with them, unpickle whatever a file names. Here
`fairseq.checkpoint_utils` reads through `read`, which is safe on every torch.

`read` maps the file where torch can (2.1), so that what is not used is never read from disk. Who maps a file must
drop what is mapped before anybody may write to it: a write changes the numbers, and a shorter file ends the process
with SIGBUS. So fairseq's functions give memory of its own to any caller, outside of the context `reading` (mapped).
"""

import argparse
import contextlib
import functools
import importlib
import inspect
import os
import pickle
import re
import types
from contextvars import ContextVar
from typing import Any, Callable, Dict, Iterator, Optional, Tuple

import torch

from .. import saved_options
from ..errors import one_line

TORCH_TAKES_NAMES = hasattr(torch.serialization, "get_unsafe_globals_in_checkpoint")  # torch 2.6

ALLOW = "LAYERDROP_ALLOW_GLOBALS"
"""The environment variable that allows more objects: `module.name`, separated by commas."""


DAMAGED = "`{}` must be the file of a checkpoint, but {} is damaged or no checkpoint at all."


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
    if TORCH_TAKES_NAMES:  # for fairseq's other calls of torch.load
        with one_line():
            torch.serialization.add_safe_globals([(thing, name) for name, thing in allowed().items()])


class _SafeTorch(types.ModuleType):
    """torch as `fairseq.checkpoint_utils` sees it: the same, but that `load` is `read`."""

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    @staticmethod
    def load(f: Any, map_location: Any = None, **kwargs: Any) -> Any:
        with one_line():
            path = f if isinstance(f, str) else f.name
            return saved_options.disarm(read(path, *_reading.get()), path)


def allowed() -> Dict[str, Any]:
    """Return what a checkpoint may hold beside tensors and plain Python, by its name in the file."""
    import numpy

    try:
        multiarray = importlib.import_module("numpy._core.multiarray")
    except ImportError:  # numpy 1
        multiarray = importlib.import_module("numpy.core.multiarray")
    found: Dict[str, Any] = {
        "argparse.Namespace": argparse.Namespace,  # configurations
        "numpy.dtype": numpy.dtype,  # a best value or a metric may be a numpy scalar
        "numpy.ndarray": numpy.ndarray,
        "_codecs.encode": importlib.import_module("_codecs").encode,
    }
    for package in ("numpy.core.multiarray", "numpy._core.multiarray"):
        found[f"{package}.scalar"] = multiarray.scalar
        found[f"{package}._reconstruct"] = multiarray._reconstruct
    for kind in (type(numpy.dtype(code)) for code in "?bBhHiIlLqQefdgFDSU"):
        found[f"{kind.__module__}.{kind.__name__}"] = kind
    for name in filter(None, (n.strip() for n in os.environ.get(ALLOW, "").split(","))):
        found[name] = _import(name)
    return found


def _import(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module or "builtins"), attribute)
    except (ImportError, AttributeError, ValueError):
        raise ValueError(f"`{ALLOW}` must name objects as module.name, but has {name!r}.") from None


def read(path: str, option: str = "path", mapped: bool = True) -> Dict[str, Any]:
    """Return the content of a fairseq checkpoint, its tensors on the CPU.

    Args:
        option: where the path was given, for errors.
        mapped: leave the tensors mapped to the file where torch can; the caller drops them soon.

    Raises:
        ValueError: one line: the file is missing, empty, truncated, no checkpoint of fairseq, or
            holds an object that is not allowed; then nothing of it was run.
    """
    check_file(path, option)
    known = allowed()
    try:
        state = _load(path, known, mapped)
    except pickle.UnpicklingError as error:
        raise ValueError(_refusal(path, option, str(error))) from None
    except PermissionError:
        raise ValueError(f"`{option}` must be a file that can be read, but {path} can't.") from None
    except RuntimeError as error:  # torch says why: no end of the archive, no memory
        raise ValueError(f"{DAMAGED.format(option, path)} ({str(error).strip().splitlines()[0]})") from None
    except Exception:  # bytes that are no pickle: as opcodes, they may end in any error
        raise ValueError(DAMAGED.format(option, path)) from None
    if not isinstance(state, dict) or "model" not in state or not ("args" in state or "cfg" in state):
        raise ValueError(
            f"a checkpoint must be one of fairseq, but {path} lacks the entries `model` and `cfg` or `args`."
        )
    return state


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


def _load(path: str, known: Dict[str, Any], mapped: bool) -> Any:
    with open(path, "rb") as f:
        zipped = f.read(4) == b"PK\x03\x04"  # torch's format since 1.6; the one before can't be mapped
    kwargs: Dict[str, Any] = {"map_location": "cpu"}
    if mapped and zipped and "mmap" in inspect.signature(torch.load).parameters:
        kwargs["mmap"] = True
    if TORCH_TAKES_NAMES:
        names = {(thing, name) for name, thing in known.items()}
        # Leaving the context takes its objects off torch's list, so those of `apply` must not be among them.
        with torch.serialization.safe_globals(list(names.difference(torch.serialization.get_safe_globals()))):
            return torch.load(path, weights_only=True, **kwargs)
    if "weights_only" in inspect.signature(torch.load).parameters:
        kwargs["weights_only"] = False  # 2.5 and older know no Namespace; the pickle module is the guard
    return _load_by(restricted_pickle(known))(path, **kwargs)


def _load_by(pickle_module: Any) -> Callable[..., Any]:
    """Return a `torch.load` that unpickles by this module: 1.13 ignores the argument for it, in favor of `pickle`."""
    load = torch.load
    if not torch.__version__.startswith("1.13."):
        return functools.partial(load, pickle_module=pickle_module)
    names = {**load.__globals__, "pickle": pickle_module}
    return types.FunctionType(load.__code__, names, "load", load.__defaults__)


def restricted_pickle(known: Dict[str, Any]) -> types.SimpleNamespace:
    """Return a pickle module that knows tensors and what is `allowed`, for torch before 2.6."""

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            full = f"{module}.{name}"
            if full in known:
                return known[full]
            if full in TENSOR_PARTS or (module == "torch" and isinstance(getattr(torch, name, None), torch.dtype)):
                return super().find_class(module, name)
            raise pickle.UnpicklingError(f"Unsupported global: GLOBAL {full} was not an allowed global")

    def load(file: Any, **kwargs: Any) -> Any:
        return Unpickler(file, **kwargs).load()

    return types.SimpleNamespace(Unpickler=Unpickler, load=load, __name__="restricted_pickle")


TENSOR_PARTS = {
    "collections.OrderedDict",
    "torch.Size",
    "torch.device",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
}


def _refusal(path: str, option: str, message: str) -> str:
    """Say which object was refused, or that the file is no pickle at all."""
    match = re.search(r"GLOBAL ([\w.]+)", message)
    if match is None:
        return DAMAGED.format(option, path)
    return (
        f"a checkpoint must hold only known objects, but {path} holds {match[1]}; "
        f"if you trust the file, set {ALLOW}={match[1]}"
    )
