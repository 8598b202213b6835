"""Forget what validation and log gave, in a checkpoint that loses layers: it is not true of the smaller model.

fairseq would hold the small model against the best value of the full one. It would save none as its
`checkpoint_best.pt`, and `reduce_lr_on_plateau` would see no progress and lower the learning rate. The meters of an
epoch that was not over would go into the first line of the log, and into that of the epoch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .checkpoint import Checkpoint

VALUES = ("best", "val_loss", "metrics")
"""In `extra_state`."""


def forgotten(checkpoint: Checkpoint) -> Checkpoint:
    """Return a checkpoint without the validation's values, in each form that fairseq ever gave them, and meters."""
    maximized = checkpoint.option("checkpoint", "maximize_best_checkpoint_metric")
    worst = -math.inf if maximized else math.inf
    entries = _reset(checkpoint.rest, worst)
    if isinstance(entries.get("extra_state"), dict):
        extra_state = checkpoint.extra_state
        entries["extra_state"] = {k: v for k, v in extra_state.items() if k not in VALUES}
    elif "val_loss" in entries:
        entries["val_loss"] = None  # a file of that age must have it
    if checkpoint.history:
        entries["optimizer_history"] = [_reset(entry, worst) for entry in checkpoint.history]
    return replace(checkpoint, rest=entries)


def _reset(entry: Mapping[str, Any], worst: float) -> dict[str, Any]:
    """Return an entry as of a scheduler that has seen nothing; the values must be there."""
    entry = dict(entry)
    if entry.get("best_loss") is not None:
        entry["best_loss"] = worst
    scheduler = entry.get("lr_scheduler_state")
    if isinstance(scheduler, dict) and scheduler.get("best") is not None:
        entry["lr_scheduler_state"] = {**scheduler, "best": worst}
    return entry
