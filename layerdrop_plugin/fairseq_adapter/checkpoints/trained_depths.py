"""The depths that a checkpoint was trained at (`--layerdrop-depths`): what is left of them after pruning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ... import depths, depths_left
from ...depths import Depth
from ..options.config import ModelConfig, get
from ..options.declared import DEPTHS
from ..options.family import depths_of
from .checkpoint import Checkpoint
from .provenance import Pruned

OPTION = "layerdrop_depths"


def of(cfg: ModelConfig) -> tuple[Depth, ...]:
    """Return the trained depths that a model's configuration names, full depth first; nothing if it names none.

    Raises:
        ValueError: one line: it is no list of depths of this model.
    """
    spec = get(cfg, OPTION)
    return () if spec is None else depths.parse(DEPTHS.read(spec, OPTION), depths_of(cfg), OPTION)


def changed_options(cfg: ModelConfig, pruned: Mapping[str, Pruned]) -> dict[str, Any]:
    """Return the option as it is after pruning, before any further training; nothing where there is none.

    Raises:
        ValueError: as `of`.
    """
    trained = of(cfg)
    kept = {stack: p.kept for stack, p in pruned.items()}
    return {OPTION: depths_left.pruned(trained, kept, trains_on=False)} if trained else {}


def note(checkpoint: Checkpoint, pruned: Mapping[str, Pruned]) -> str | None:
    """Return a line on pruning to a depth that was not trained; None where it was, or where no depths are named."""
    kept = {stack: p.kept for stack, p in pruned.items()}
    for trained in filter(None, map(of, checkpoint.configurations[:1] if kept else ())):
        if not depths_left.is_trained(trained, kept):
            names = ", ".join(depth.name for depth in trained if depth.share > 0.0)
            return f"the layers that are kept are none of the depths that were trained, {names}"
    return None
