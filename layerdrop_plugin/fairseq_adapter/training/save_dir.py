"""Look at what is in `--save-dir` before a training goes on from it, or writes over it."""

from __future__ import annotations

import contextlib
import os
import re
import zipfile
from collections.abc import Mapping
from typing import NamedTuple

from ..checkpoints import provenance
from ..checkpoints.checkpoint import Checkpoint
from ..checkpoints.provenance import Pruned
from ..checkpoints.whole import refuse_shard
from ..reading import reader

DEFAULT_RESTORE_FILE = "checkpoint_last.pt"  # fairseq's, which may be missing


def last_checkpoint(save_dir: str | None) -> str:
    """Return the path of the checkpoint from which fairseq goes on."""
    return os.path.join(save_dir or "", DEFAULT_RESTORE_FILE)


def own_checkpoint(save_dir: str | None, restore_file: str | None) -> str | None:
    """Return the checkpoint of a run that is started again, None where it is its first start.

    Where the last one is half, as of a training that was killed without this package, it is the `--restore-file` if
    that is in the same folder.

    Raises:
        ValueError: one line: the last one is half; it names the newest whole one.
    """
    last = last_checkpoint(save_dir)
    if not os.path.isfile(last):
        return None
    if not _is_half(last):
        return last
    beside = restore_file and restore_file != DEFAULT_RESTORE_FILE and os.path.isfile(restore_file)
    if restore_file and beside and os.path.realpath(os.path.dirname(restore_file)) == os.path.realpath(save_dir or ""):
        return restore_file
    whole = _newest_whole(save_dir or ".")
    way_out = f"--restore-file {whole} goes on from the newest whole one" if whole else "remove it to begin anew"
    raise ValueError(f"`--save-dir` must hold a whole {DEFAULT_RESTORE_FILE}, but {last} is half of one; {way_out}.")


def check_layers(own: str, content: Checkpoint, restore_file: str, plan: Mapping[str, Pruned]) -> None:
    """Refuse to write over checkpoints of a model with other layers.

    Args:
        own: the last checkpoint in the folder; `content` is what it holds.
        restore_file: with what the run begins, which `plan` prunes.

    Raises:
        ValueError: one line.
    """
    there = _held(content, {})
    begin = Checkpoint.of(reader.read(restore_file, "--restore-file"))
    for stack, ours in _held(begin, plan).items():
        if stack in there and ours.differ_from(there[stack]):
            raise ValueError(
                "`--save-dir` must be a folder without checkpoints of other layers, but "
                f"{own} holds {stack} layers {there[stack]}, and this run {ours}."
            )


class _Layers(NamedTuple):
    """A stack's depth, and which layers of the first model these are; None where there is no note of that."""

    depth: int
    origin: Pruned | None

    def differ_from(self, other: _Layers) -> bool:
        if self.origin and other.origin:
            return self.origin != other.origin
        return bool(self.origin or other.origin) and self.depth != other.depth

    def __str__(self) -> str:
        return str(self.origin or f"[0-{self.depth - 1}] of {self.depth}")


def _held(checkpoint: Checkpoint, plan: Mapping[str, Pruned]) -> Mapping[str, _Layers]:
    """Return the layers of each stack of a checkpoint, pruned as planned unless it is so already."""
    origins = checkpoint.origins
    todo = {stack: p for stack, p in plan.items() if stack not in origins or origins[stack].last != p}
    depths = {**checkpoint.depths, **{stack: len(p.kept) for stack, p in todo.items()}}
    firsts = {stack: origin.first for stack, origin in provenance.compose(origins, todo).items()}
    return {stack: _Layers(depth, firsts.get(stack)) for stack, depth in depths.items()}


def _is_half(path: str) -> bool:
    """Tell whether a file begins as torch begins it, or is empty or zeros as after a power cut, and has no such end."""
    with open(path, "rb") as file:
        start = file.read(4)
    return start in (b"PK\x03\x04", b"\0\0\0\0", b"") and not zipfile.is_zipfile(path)


def _newest_whole(folder: str) -> str | None:
    paths = [os.path.join(folder, name) for name in os.listdir(folder) if re.fullmatch(r"checkpoint.*\.pt", name)]
    for path in sorted(paths, key=os.path.getmtime, reverse=True):
        with contextlib.suppress(ValueError):
            refuse_shard(path, "--save-dir")
            reader.read(path)
            return path
    return None
