"""Options of a model that go by layer, beside the drop rates: they follow their layers when a stack is pruned.

`alignment_layer` (transformer_align, pointer-generator networks) is the number of a decoder layer. The kernel sizes of
lightweight and dynamic convolutions are lists with a number for each layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ... import layer_spec
from ..compat import option_evaluation
from ..options.config import ModelConfig, get
from .provenance import Pruned

ALIGNMENT = "alignment_layer"


def changed_options(cfg: ModelConfig, pruned: Mapping[str, Pruned]) -> dict[str, Any]:
    """Return what goes by layer, renumbered and shortened: the options that change.

    Raises:
        ValueError: one line: the alignment layer is not kept.
    """
    changes: dict[str, Any] = {}
    alignment = alignment_layer(cfg, pruned["decoder"].depth) if "decoder" in pruned else None
    if alignment is not None:
        changes[ALIGNMENT] = _place(alignment, pruned["decoder"])
    for stack, p in pruned.items():
        name = f"{stack}_kernel_size_list"
        sizes = _values(get(cfg, name))
        if isinstance(sizes, (list, tuple)) and len(sizes) == p.depth > 1:  # one alone stands for all layers
            changes[name] = [sizes[i] for i in p.kept]
    return changes


def alignment_layer(cfg: ModelConfig, depth: int) -> Any:
    """Return the number of the decoder layer whose attention is taken as alignment; None where the last one's is."""
    layer = get(cfg, ALIGNMENT)
    if not isinstance(layer, int) or not -depth <= layer < depth:
        return None
    return layer % depth


def _place(alignment: int, pruned: Pruned) -> int:
    if alignment not in pruned.kept:
        raise ValueError(
            f"`{ALIGNMENT}` must be one of the decoder layers that are kept, {layer_spec.describe(pruned.kept)}, "
            f"but is {alignment} instead."
        )
    return pruned.kept.index(alignment)


def _values(sizes: Any) -> Any:
    return option_evaluation.evaluate(sizes) if isinstance(sizes, str) else sizes
