"""Read a checkpoint to work on its content: a whole one, whose configuration agrees with its weights."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..reading import reader
from . import provenance, pruning
from .checkpoint import Checkpoint
from .write_average import SHARD

HOW_TO_JOIN = "fairscale's FullyShardedDataParallel.consolidate_shard_weights makes one model of them"


def read_whole(path: str) -> Checkpoint:
    """Return what a file holds, reconciled, its tensors mapped to the file where torch can.

    Raises:
        ValueError: one line: it is no checkpoint of fairseq's, or one of several shards; or what it says of its
            pruning does not fit its weights.
    """
    reader.check_file(path, "CKPT")
    refuse_shard(path, "CKPT")  # not worth reading
    checkpoint = Checkpoint.of(reader.read(path, "CKPT"))
    refuse_shard(path, "CKPT", checkpoint.weights)
    checkpoint = pruning.reconcile(checkpoint)
    _check_origins(checkpoint)
    return checkpoint


def refuse_shard(path: str, option: str, weights: Iterable[str] = ()) -> None:
    """Refuse one of the files in which `--ddp-backend fully_sharded` saves a model, by its name or its weights' names.

    Raises:
        ValueError: one line; `option` is where the path was given.
    """
    if re.search(SHARD + r"\.pt$", path) or any("flat_param" in name for name in weights):
        raise ValueError(f"`{option}` must be a whole checkpoint, but {path} is one of several shards; {HOW_TO_JOIN}.")


def _check_origins(checkpoint: Checkpoint) -> None:
    depths = checkpoint.depths
    for stack, origin in checkpoint.origins.items():
        if len(origin.first.kept) != depths.get(stack):
            raise ValueError(
                f"`{provenance.KEY}` of a checkpoint must fit its weights, but says that it holds "
                f"{stack} layers {origin.first}, and there are {depths.get(stack, 0)}."
            )
