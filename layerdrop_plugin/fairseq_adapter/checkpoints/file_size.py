"""The exact size of a pruned checkpoint's file, without writing it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO, cast

import torch

from ...layer_spec import LayerSpec
from ..reading import reader
from . import write_pruned


def file_size(path: str, specs: Mapping[str, LayerSpec]) -> int:
    """Return how many bytes `layerdrop-prune` would write, with the weights in the checkpoint's own type.

    Args:
        specs: by stack, the layers to keep; empty keeps all, and leaves out the optimizer's state.

    Raises:
        ValueError: as `write_pruned.pruned`.
    """
    sink = _Sink()
    with reader.unchanged(path):
        checkpoint, _ = write_pruned.pruned(path, specs, warn=lambda line: None)
        torch.save(checkpoint.as_state(), cast(BinaryIO, sink))
    return sink.size


class _Sink:
    """A file that counts what is written, and forgets it."""

    def __init__(self) -> None:
        self.size = 0

    def write(self, data: Any) -> int:
        count = memoryview(data).nbytes
        self.size += count
        return count

    def flush(self) -> None:
        pass
