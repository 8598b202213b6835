"""A full disk leaves half a checkpoint under the name of a complete one, a `.tmp` file, and tracebacks.

A process that is killed while it saves also leaves half a checkpoint, which the next start of the training can't read.

fairseq 0.12.2 and main, any torch. fairseq tries three times to write the same file, and logs a traceback. Its
temporary file, checkpoint_last.pt.tmp, stays. checkpoint_best.pt is copied over the one before, so that one may be
lost, too. With torch 1.13, a failed write aborts the process.
"""

from __future__ import annotations

import contextlib
import inspect
import os
from typing import Any, NoReturn

import torch

from ... import atomic
from ..errors.one_line import in_command, one_line
from ..hooks import wrap


def needed() -> str | None:
    """Return the reason, where fairseq logs a traceback while it tries again to save."""
    from fairseq import checkpoint_utils

    save = getattr(checkpoint_utils, "_torch_persistent_save", None)
    if save is not None and "format_exc" in inspect.unwrap(save).__code__.co_names:
        return "fairseq leaves half a checkpoint when the disk is full"
    return None


def apply() -> None:
    """Write a checkpoint once, atomically, as well as its copies, and remove what is incomplete."""
    from fairseq import checkpoint_utils
    from fairseq.file_io import PathManager

    wrap(checkpoint_utils, "_torch_persistent_save", _save)
    wrap(checkpoint_utils, "torch_persistent_save", _save_as)
    wrap(PathManager, "copy", _copy)


def _save(original: Any, obj: Any, f: Any) -> None:
    if isinstance(f, str):
        original(obj, f)
    else:
        _write(obj, f)


def _write(obj: Any, file: Any) -> None:
    delaying = atomic.DelayedErrors(file)
    torch.save(obj, delaying)
    delaying.flush()


def _save_as(original: Any, obj: Any, filename: str, async_write: bool = False) -> None:
    from fairseq.file_io import PathManager

    if async_write or not PathManager.supports_rename(filename):
        original(obj, filename, async_write)
        return
    try:
        with open(filename + ".tmp", "wb") as file:
            _write(obj, file)
            os.fsync(file.fileno())  # its copies need none: after a power cut, one of the files is complete
        os.replace(filename + ".tmp", filename)
    except OSError as error:
        _remove_half(filename, error)


def _copy(original: Any, src_path: str, dst_path: str, overwrite: bool = False) -> Any:
    from fairseq.file_io import PathManager

    if not PathManager.supports_rename(dst_path):
        return original(src_path, dst_path, overwrite)
    try:
        original(src_path, dst_path + ".tmp", True)
        os.replace(dst_path + ".tmp", dst_path)
    except OSError as error:
        _remove_half(dst_path, error)
    return dst_path


def _remove_half(path: str, error: OSError) -> NoReturn:
    with contextlib.suppress(OSError):
        os.unlink(path + ".tmp")
    if not in_command():
        raise error
    with one_line():
        why = error.strerror or error
        raise ValueError(f"`--save-dir` must have room for checkpoints, but {path} can't be written: {why}.")
    raise AssertionError  # not reached
