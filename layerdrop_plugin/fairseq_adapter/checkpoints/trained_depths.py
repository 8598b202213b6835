"""The depths that a checkpoint was trained at (`--layerdrop-depths`): what is left of them after pruning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ... import depths
from ...depths import Depth
from ..config import ModelConfig, depths_of, get
from .checkpoint import Checkpoint
from .provenance import Pruned

OPTION = "layerdrop_depths"


def of(cfg: ModelConfig) -> tuple[Depth, ...]:
    """Return the trained depths that a model's configuration names, full depth first; nothing if it names none.

    Raises:
        ValueError: one line: it is no list of depths of this model.
    """
    spec = get(cfg, OPTION)
    return depths.parse(str(spec), depths_of(cfg), OPTION) if spec else ()


def changed_options(cfg: ModelConfig, pruned: Mapping[str, Pruned]) -> dict[str, Any]:
    """Return the option as it is after pruning; nothing where there is none.

    Raises:
        ValueError: as `of`.
    """
    trained = of(cfg)
    return {OPTION: depths.pruned(trained, {stack: p.kept for stack, p in pruned.items()})} if trained else {}


def note(checkpoint: Checkpoint, pruned: Mapping[str, Pruned]) -> str | None:
    """Return a line on pruning to a depth that was not trained; None where it was, or where no depths are named."""
    kept = {stack: p.kept for stack, p in pruned.items()}
    for trained in filter(None, map(of, checkpoint.configurations[:1])):
        now = {**trained[0].kept, **kept}
        if all(depth.kept != now for depth in trained):
            names = ", ".join(depth.name for depth in trained)
            return f"the layers that are kept are none of the depths that were trained, {names}"
    return None
