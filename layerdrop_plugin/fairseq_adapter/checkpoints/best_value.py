"""Forget what validation gave, in a checkpoint that loses layers: it is not true of the smaller model.

fairseq would hold the small model against the best value of the full one. It would save none as its
`checkpoint_best.pt`, and `reduce_lr_on_plateau` would see no progress and lower the learning rate.
"""

from __future__ import annotations

import math
from typing import Any

from ..config import get


def forget(state: dict[str, Any]) -> None:
    """Take the validation's values out of a checkpoint, in place, in each form that fairseq ever gave them."""
    extra_state = state.get("extra_state")
    if isinstance(extra_state, dict):
        state["extra_state"] = {k: v for k, v in extra_state.items() if k not in ("best", "val_loss")}
    elif "val_loss" in state:
        state["val_loss"] = None  # a file of that age must have it
    worst = -math.inf if _is_maximized(state) else math.inf
    for entry in (state, *(state.get("optimizer_history") or ())):
        for place, name in ((entry, "best_loss"), (entry.get("lr_scheduler_state"), "best")):
            if isinstance(place, dict) and place.get(name) is not None:
                place[name] = worst  # as of a scheduler that has seen nothing; it must be there


def _is_maximized(state: dict[str, Any]) -> bool:
    options = state.get("args") or (state.get("cfg") or {}).get("checkpoint")
    return bool(get(options, "maximize_best_checkpoint_metric"))
