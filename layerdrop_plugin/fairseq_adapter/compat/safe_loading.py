"""Every checkpoint fails with `Weights only load failed`, or, before that, may run code as it loads.

torch 2.6 and newer load with `weights_only=True`, which does not know the `argparse.Namespace`
in fairseq's checkpoints; older ones, and fairseq with them, unpickle whatever a file names. Here
`fairseq.checkpoint_utils` reads through `read`: safe on every torch, memory-mapped where torch
has that (2.1), so that what is not used is never read from disk.
"""

import argparse
import importlib
import os
import pickle
import re
import types
from typing import Any, Dict, Optional

import torch

ALLOW = "LAYERDROP_ALLOW_GLOBALS"
"""The environment variable that allows more objects: `module.name`, separated by commas."""


def needed() -> Optional[str]:
    from fairseq import checkpoint_utils

    if isinstance(checkpoint_utils.torch, _SafeTorch):
        return None
    return f"torch {torch.__version__} would refuse fairseq's checkpoints or run code that they hold"


def apply() -> None:
    from fairseq import checkpoint_utils

    if not isinstance(checkpoint_utils.torch, _SafeTorch):
        checkpoint_utils.torch = _SafeTorch("torch")
    if hasattr(torch.serialization, "add_safe_globals"):  # for fairseq's other calls of torch.load
        torch.serialization.add_safe_globals(list(allowed().values()))


class _SafeTorch(types.ModuleType):
    """torch as `fairseq.checkpoint_utils` sees it: the same, but that `load` is `read`."""

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    @staticmethod
    def load(f: Any, map_location: Any = None, **kwargs: Any) -> Any:
        return read(f if isinstance(f, str) else f.name)


def allowed() -> Dict[str, Any]:
    """Return what a checkpoint may hold beside tensors and plain Python, by its name in the file."""
    import numpy

    multiarray = getattr(numpy, "_core", None) or numpy.core
    found: Dict[str, Any] = {
        "argparse.Namespace": argparse.Namespace,  # configurations
        "numpy.dtype": numpy.dtype,  # a best value or a metric may be a numpy scalar
        "numpy.ndarray": numpy.ndarray,
        "_codecs.encode": importlib.import_module("_codecs").encode,
    }
    for package in ("numpy.core.multiarray", "numpy._core.multiarray"):
        found[f"{package}.scalar"] = multiarray.multiarray.scalar
        found[f"{package}._reconstruct"] = multiarray.multiarray._reconstruct
    for kind in ("Bool", "Int32", "Int64", "Float32", "Float64"):
        found[f"numpy.dtypes.{kind}DType"] = type(numpy.dtype(kind.lower()))
    for name in filter(None, (n.strip() for n in os.environ.get(ALLOW, "").split(","))):
        found[name] = _import(name)
    return found


def _import(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError):
        raise ValueError(f"`{ALLOW}` must name objects as module.name, but has {name!r}.") from None


def read(path: str) -> Dict[str, Any]:
    """Return the content of a fairseq checkpoint, its tensors on the CPU.

    Raises:
        ValueError: one line: the file is missing, empty, truncated, no checkpoint of fairseq, or
            holds an object that is not allowed; then nothing of it was run.
    """
    if not os.path.isfile(path):
        raise ValueError(f"a checkpoint must be a file, but {path} does not exist.")
    if os.path.getsize(path) == 0:
        raise ValueError(f"a checkpoint must hold a model, but {path} is empty.")
    try:
        state = _load(path)
    except pickle.UnpicklingError as error:
        raise ValueError(_refusal(path, str(error))) from None
    except (RuntimeError, EOFError, OSError, KeyError, AttributeError, ValueError) as error:
        if str(error).startswith(f"`{ALLOW}`"):
            raise
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(f"a checkpoint must be a whole file, but {path} is damaged or none: {reason}") from None
    if not isinstance(state, dict) or "model" not in state or not ("args" in state or "cfg" in state):
        raise ValueError(
            f"a checkpoint must be one of fairseq, but {path} lacks the entries `model` and `cfg` or `args`."
        )
    return state


def _load(path: str) -> Any:
    with open(path, "rb") as f:
        zipped = f.read(4) == b"PK\x03\x04"  # torch's format since 1.6; the older can't be mapped
    kwargs: Dict[str, Any] = {"map_location": "cpu"}
    if zipped and "mmap" in (torch.load.__kwdefaults or {} if False else _keywords(torch.load)):
        kwargs["mmap"] = True
    if hasattr(torch.serialization, "add_safe_globals"):  # torch 2.4
        torch.serialization.add_safe_globals(_as_safe_globals(allowed()))
        return torch.load(path, weights_only=True, **kwargs)
    return torch.load(path, pickle_module=_restricted_pickle(), **kwargs)
