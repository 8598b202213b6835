"""Options of a model that go by layer, beside the drop rates: they follow their layers when a stack is pruned.

The table of families names them. `alignment_layer` (transformer_align, pointer-generator networks) is the number of a
decoder layer. The kernel sizes of lightweight and dynamic convolutions are lists with a number for each layer. The
Levenshtein transformer's `early_exit` says after how many decoder layers it predicts deletions, insertions and words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ... import layer_spec
from ...families import DECODER
from ..compat import option_evaluation
from ..options.config import ModelConfig, get
from ..options.family import row_of
from .provenance import Pruned

ALIGNMENT = str(DECODER.number)

OWN_LAYERS = (
    ("no_share_discriminator",),
    ("no_share_maskpredictor", "share_discriminator_maskpredictor"),
    (),
)
"""Of each number in `early_exit`, the options with which it counts other layers than the decoder's."""


def changed_options(cfg: ModelConfig, pruned: Mapping[str, Pruned]) -> dict[str, Any]:
    """Return what goes by layer, renumbered and shortened: the options that change.

    Raises:
        ValueError: one line: the alignment layer is not kept, or no layer before an early exit.
    """
    changes: dict[str, Any] = {}
    for stack, p in pruned.items():
        row = row_of(cfg, stack)
        alignment = alignment_layer(cfg, p.depth) if row.number is not None else None
        if alignment is not None:
            changes[ALIGNMENT] = _place(alignment, p)
        for name in row.lists:
            sizes = _values(get(cfg, name))
            if isinstance(sizes, (list, tuple)) and len(sizes) == p.depth > 1:  # one alone stands for all layers
                changes[name] = [sizes[i] for i in p.kept]
        if row.exits is not None and get(cfg, row.exits) is not None:
            changes[row.exits] = _exits(cfg, row.exits, p)
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
            f"`{ALIGNMENT}` must be one of the decoder layers that are kept, [{layer_spec.describe(pruned.kept)}], "
            f"but is {alignment} instead."
        )
    return pruned.kept.index(alignment)


def _exits(cfg: ModelConfig, name: str, pruned: Pruned) -> str:
    """Return after how many of the layers that are kept the model takes results out."""
    text = str(get(cfg, name))
    counts = text.split(",")
    for place, own in enumerate(OWN_LAYERS if re.fullmatch(r"[0-9]+,[0-9]+,[0-9]+", text) else ()):
        if any(get(cfg, option) for option in own):
            continue
        left = sum(i < int(counts[place]) for i in pruned.kept)
        if left == 0:
            raise ValueError(
                f"`{name}` must be above the first decoder layer that is kept, {pruned.kept[0]}, "
                f"but is {text!r} instead."
            )
        counts[place] = str(left)
    return ",".join(counts)


def _values(sizes: Any) -> Any:
    return option_evaluation.evaluate(sizes) if isinstance(sizes, str) else sizes
