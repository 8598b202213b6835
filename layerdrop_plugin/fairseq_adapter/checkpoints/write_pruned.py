"""Prune a checkpoint into a smaller one: what the new file holds, in which form, what can't be pruned."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Callable

import torch
from torch import Tensor

from ... import atomic
from ... import state_dict as names
from ...layer_spec import LayerSpec
from ..options.family import is_known
from ..reading import reader
from ..reading.registered_fairseq import import_fairseq
from . import optimizer_state, pruning, trained_depths
from . import parameters as checkpoint_parameters
from .buffers import is_buffer
from .checkpoint import EMA, Checkpoint
from .optimizer_state import OptimizerState, Parameter
from .provenance import Pruned
from .stock import as_stock
from .whole import read_whole

logger = logging.getLogger(__name__)

OPTIONS = {"encoder": "--encoder", "decoder": "--decoder"}
"""What names the layers to keep where a file is pruned."""

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def prune_checkpoint(
    path: str,
    output: str,
    specs: Mapping[str, LayerSpec],
    stock: bool = False,
    dtype: str | None = None,
    keep_optimizer: bool = False,
    force: bool = False,
    warn: Callable[[str], None] = logger.warning,
) -> dict[str, Pruned]:
    """Write what `pruned` makes of a checkpoint, whole or not at all; return what was pruned.

    Before the file gets its name, fairseq loads it, without data.

    Args:
        force: whether `output` may replace a file.
        warn: is called with a line where that can't be tried.

    Raises:
        ValueError: as `pruned`, or `output` can't be written, or fairseq could not load it.
    """
    import_fairseq()
    from .loadable import check

    atomic.check_file(output, force)
    reader.check_name(output, "--output")
    if os.path.realpath(output) == os.path.realpath(path):
        raise ValueError(f"`--output` must be another file than the checkpoint, but is {output}.")
    with atomic.write_file(output, force) as file:
        with reader.unchanged(path):
            checkpoint, kept = pruned(path, specs, stock, dtype, keep_optimizer, warn)
            torch.save(checkpoint.as_state(), file)
        file.flush()
        untried = check(file.name, path)
        if untried is not None and not is_known(checkpoint.architecture):
            untried = f"`--user-dir` does not name the folder that defines {checkpoint.architecture}"
        if untried is not None:
            warn(f"whether fairseq can load {output} was not tried, as it can't load {path} here: {untried}")
    return kept


def pruned(
    path: str,
    specs: Mapping[str, LayerSpec],
    stock: bool = False,
    dtype: str | None = None,
    keep_optimizer: bool = False,
    warn: Callable[[str], None] = logger.warning,
) -> tuple[Checkpoint, dict[str, Pruned]]:
    """Return a checkpoint with fewer layers, and which of them are kept of each stack in `specs`.

    Weights, configuration and provenance agree. What is dropped was never read from disk (with torch 2.1 and
    newer), and the tensors that are left are still mapped to the file.

    Args:
        specs: by stack; empty keeps all layers.
        stock: give it the name of fairseq's own architecture.
        dtype: of the weights, one of `DTYPES`; None leaves them as they are.
        keep_optimizer: carry the optimizer's state over to what is kept, and the weights' moving averages (EMA).

    Raises:
        ValueError: one line: no whole checkpoint, layers that it lacks, or a choice that it does not allow.
    """
    import_fairseq()  # whose registry tells which model an architecture is of
    full = read_whole(path)
    small, kept = pruning.prune(full, specs, OPTIONS) if specs else (full, {})
    for note in (*pruning.single_layer_notes(specs, kept, OPTIONS), *filter(None, [trained_depths.note(full, kept)])):
        warn(note)
    if stock:
        small = as_stock(small)
    if keep_optimizer:
        _check_stock_counts_alike(small.weights, stock)
        small = replace(small, optimizer=_carried_over(small, full, kept, path))
    else:
        small = without_training(small)
    small = small.without_entries("fsdp_metadata")  # of the full weights' shapes
    return replace(small, weights=_converted(small.weights, dtype)), kept


def without_training(checkpoint: Checkpoint) -> Checkpoint:
    """Return it without the optimizer's state, in each form that fairseq ever gave it, and without moving averages."""
    # As --no-save-optimizer-state does; fairseq starts fresh then.
    left = replace(checkpoint, optimizer=None).without_entries("last_optimizer_state")
    entries = _emptied(left.rest)
    if left.history:
        entries["optimizer_history"] = [_emptied(entry) for entry in left.history]
    if isinstance(entries.get("extra_state"), dict):
        entries["extra_state"] = {k: v for k, v in left.extra_state.items() if k not in EMA}
    return replace(left, rest=entries, weights=checkpoint_parameters.without_copies(left.weights))


def _emptied(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry whose `optimizer`, as of before 2018, is None: fairseq wants to move what it holds."""
    return {**entry, "optimizer": None} if "optimizer" in entry else dict(entry)


def _check_stock_counts_alike(weights: Mapping[str, Tensor], stock: bool) -> None:
    ours = any(layer is not None and layer[0] == "encoder" for layer in map(names.layer_of, weights))
    if stock and ours and not any(map(checkpoint_parameters.is_copy, weights)):
        raise ValueError(
            "`--keep-optimizer` must be left out with `--stock` for a model with an encoder, "
            "whose weights fairseq 0.12.2 counts twice in its optimizer."
        )


def _carried_over(small: Checkpoint, full: Checkpoint, kept: Mapping[str, Pruned], path: str) -> OptimizerState:
    try:
        if small.optimizer is None:
            raise ValueError("there is none")
        parameters = checkpoint_parameters.parameters(small.weights)
        for name, value in (small.rest.get("criterion") or {}).items():
            if not is_buffer(name):
                parameters.append(Parameter(f"criterion.{name}", tuple(value.shape)))
        return optimizer_state.carry_over(small.optimizer, full.weights, kept, parameters)
    except ValueError as error:
        raise ValueError(
            f"`--keep-optimizer` must be left out for {path}: its optimizer's state can't be carried over, as {error}."
        ) from None


def _converted(weights: Mapping[str, Tensor], dtype: str | None) -> dict[str, Tensor]:
    """Return parameters as `dtype`, each tied one once, also where a GPU's training had saved it several times."""
    done: dict[str, Tensor] = {}
    for name, owner in checkpoint_parameters.owners(weights).items():
        value = weights[name]
        if owner in done and _same(value, weights[owner]):
            done[name] = done[owner]
        else:
            done[name] = _whole(value if is_buffer(name) else _as(dtype, name, value))
    return done


def _same(one: Tensor, other: Tensor) -> bool:
    same_memory = checkpoint_parameters.place(one) == checkpoint_parameters.place(other)
    return same_memory or (one.dtype == other.dtype and torch.equal(one, other))


def _as(dtype: str | None, name: str, value: Tensor) -> Tensor:
    if dtype is None or not value.is_floating_point():
        return value
    new = value.to(DTYPES[dtype])
    if bool(new.isinf().any()) and not bool(value.isinf().any()):
        raise ValueError(f"`--dtype` must have room for the weights, but in {dtype} some of `{name}` are infinite.")
    return new


def _whole(value: Tensor) -> Tensor:
    """Return the tensor, a copy where it is part of more memory: all of that would be saved."""
    storage = value.untyped_storage() if hasattr(value, "untyped_storage") else value.storage()  # torch 2.0
    return value.clone() if storage.nbytes() > value.numel() * value.element_size() else value
