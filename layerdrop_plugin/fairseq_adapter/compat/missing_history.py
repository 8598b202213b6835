"""A checkpoint without a history of its training fails: `KeyError: 'best_loss'`, `KeyError: 'extra_state'`.

fairseq 0.12.2 takes a checkpoint without `optimizer_history` for one of 2017, and looks for the entries of that year.
But a file may hold only weights and configuration: its training state was removed, or another program wrote it. These
are enough to evaluate, and to begin a training.
"""

from __future__ import annotations

from typing import Any

from ..errors.one_line import Malformed
from ..hooks import wrap

State = dict[str, Any]


def needed() -> str | None:
    """Return the reason, where fairseq fails to upgrade a checkpoint that has weights only."""
    from fairseq import checkpoint_utils

    try:
        checkpoint_utils._upgrade_state_dict({"model": {}})
    except KeyError:
        return "fairseq can't read a checkpoint that has no training history"
    return None


def apply() -> None:
    """Complete each checkpoint before fairseq upgrades it."""
    from fairseq import checkpoint_utils

    wrap(checkpoint_utils, "_upgrade_state_dict", _upgrade_state_dict)


def _upgrade_state_dict(original: Any, state: State) -> State:
    complete(state)
    try:
        upgraded: State = original(state)
    except Exception as error:  # fairseq parses options of before 2020 as those of today, in many ways
        raise Malformed(odd_options(error)) from error
    return upgraded


def odd_options(error: Exception) -> str:
    """Return why fairseq refuses options, as the end of a sentence about the file."""
    return f"has options that fairseq can't take: {(str(error).splitlines() or [type(error).__name__])[0].rstrip('.')}"


def complete(state: State) -> None:
    """Add to a checkpoint, in place, the history that fairseq needs: that of a training before its first update.

    An optimizer's state without a history is removed: fairseq can't tell whose it is.
    """
    if not state.get("optimizer_history") and "best_loss" not in state:  # which those of 2017 have
        state["optimizer_history"] = [{"num_updates": 0}]
        state["last_optimizer_state"] = None
    for entry in state.get("optimizer_history") or ():
        entry.setdefault("criterion_name", None)
        if "best_loss" not in entry:
            entry.setdefault("lr_scheduler_state", {"best": None})
    if state.get("extra_state") is None and "epoch" not in state:
        state["extra_state"] = {}
    extra_state = state.get("extra_state")
    if extra_state is not None and "epoch" not in (extra_state.get("train_iterator") or {}):
        epoch, offset = (extra_state.get(name) for name in ("epoch", "batch_offset"))
        extra_state["train_iterator"] = {"epoch": epoch or 1, "iterations_in_epoch": offset or 0}
