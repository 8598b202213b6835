"""Read a checkpoint to work on its content: a whole one, whose configuration agrees with its weights."""

from __future__ import annotations

import contextlib
import re
from argparse import Namespace
from collections.abc import Iterable, Iterator

from ..reading import reader
from . import provenance, pruning
from .pruning import State
from .write_average import SHARD

HOW_TO_JOIN = "fairscale's FullyShardedDataParallel.consolidate_shard_weights makes one model of them"


def read_whole(path: str) -> State:
    """Return a checkpoint's content, mapped to the file where torch can.

    Raises:
        ValueError: one line that names the file: it is no checkpoint of fairseq's, or one of several shards.
    """
    reader.check_file(path, "CKPT")
    refuse_shard(path, "CKPT")  # not worth reading
    state = reader.read(path, "CKPT")
    refuse_shard(path, "CKPT", state["model"])
    return state


def refuse_shard(path: str, option: str, weights: Iterable[str] = ()) -> None:
    """Refuse one of the files in which `--ddp-backend fully_sharded` saves a model, by its name or its weights' names.

    Raises:
        ValueError: one line; `option` is where the path was given.
    """
    if re.search(SHARD + r"\.pt$", path) or any("flat_param" in name for name in weights):
        raise ValueError(f"`{option}` must be a whole checkpoint, but {path} is one of several shards; {HOW_TO_JOIN}.")


@contextlib.contextmanager
def reconciled(state: State) -> Iterator[None]:
    """Reconcile a checkpoint, in place, and let its model's options be a Namespace in this context.

    In the file they are a dict where they come from YAML, and for stock's language models.

    Raises:
        ValueError: one line: what it says of its pruning does not fit its weights.
    """
    cfg = state.get("cfg") or {}
    options = cfg.get("model")
    if isinstance(options, dict):
        cfg["model"] = Namespace(**options)
    pruning.reconcile(state)
    _check_origins(state)
    yield
    if isinstance(options, dict):
        cfg["model"] = vars(cfg["model"])


def _check_origins(state: State) -> None:
    depths = pruning.depths_or_none(state["model"])
    for stack, origin in provenance.read(state).items():
        if len(origin.first.kept) != depths.get(stack):
            raise ValueError(
                f"`{provenance.KEY}` of a checkpoint must fit its weights, but says that it holds "
                f"{stack} layers {origin.first}, and there are {depths.get(stack, 0)}."
            )
