"""Every checkpoint fails with `Weights only load failed`, or, before that, may run code as it loads.

torch 2.6 and newer load with `weights_only=True`, which does not know the `argparse.Namespace` in fairseq's
checkpoints. Older ones, and fairseq with them, unpickle whatever a file names, and run programs of TorchScript. Here
`fairseq.checkpoint_utils` reads through `read`, which is safe on every torch. All other modules of fairseq that call
`torch.load` read through `read_any`. Both give torch an unpickler of ours in place of its own.

A caller may keep the tensors that fairseq's functions return while somebody writes to the file. So tensors are mapped
to the file only in the context `reading` with `mapped`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, Callable

import torch

from .. import hooks
from ..errors.one_line import one_line
from ..reading import known_objects, saved_options
from ..reading.reader import TORCH_TAKES_NAMES, read, read_any

logger = logging.getLogger(__name__)

_reading: ContextVar[tuple[str, bool]] = ContextVar("reading", default=("path", False))


@contextlib.contextmanager
def reading(option: str, mapped: bool) -> Iterator[None]:
    """Set how fairseq reads in this context: `option` names the file in errors, `mapped` leaves it mapped."""
    token = _reading.set((option, mapped))
    try:
        yield
    finally:
        _reading.reset(token)


def needed() -> str | None:
    """Return the reason, where fairseq still reads checkpoints by torch's own `load`."""
    from fairseq import checkpoint_utils

    if isinstance(checkpoint_utils.torch, hooks.Instead):
        return None
    return f"torch {torch.__version__} would refuse fairseq's checkpoints or run code that they hold"


def apply() -> None:
    """Let fairseq's modules read files by functions of ours; torch learns the known objects for a user's own calls."""
    from fairseq import checkpoint_utils

    hooks.replace(checkpoint_utils, "torch", load=_load)
    hooks.wrap(torch, "load", _load_for_fairseq)
    if TORCH_TAKES_NAMES:  # for the user's own calls of torch.load
        with one_line():
            objects = known_objects.true_objects()
            torch.serialization.add_safe_globals([(thing, name) for name, thing in objects.items()])


def _load_for_fairseq(original: Callable[..., Any], f: Any, *args: Any, **kwargs: Any) -> Any:
    """Replace `torch.load`: read safely what a module of fairseq reads from a file. Workers' messages are no files."""
    caller = sys._getframe(2).f_globals.get("__name__", "")  # the frame between is that of the hook
    path = f if isinstance(f, (str, os.PathLike)) else getattr(f, "name", None)
    if not caller.startswith(("fairseq.", "fairseq_cli.")) or not isinstance(path, (str, os.PathLike)):
        return original(f, *args, **kwargs)
    logger.info("also reading %s, which %s asks for", path, caller)
    with one_line():
        return read_any(os.fspath(path), args[0] if args else kwargs.get("map_location"))


def _load(f: Any, map_location: Any = None, **kwargs: Any) -> Any:
    """Stand for `torch.load` in `fairseq.checkpoint_utils`."""
    with one_line():
        path = f if isinstance(f, str) else f.name
        return saved_options.disarm(read(path, *_reading.get()), path)
