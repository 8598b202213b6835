"""A checkpoint's description as lines for a person and as a row of a table."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .. import message

if TYPE_CHECKING:
    from ..fairseq_adapter.checkpoints.description import Description, StackDescription


def text(description: Description) -> str:
    """Return lines that tell a person about a checkpoint."""
    size = description.bytes
    share = f"{size.optimizer / size.file:.0%}"
    lines = {
        "architecture": description.architecture or "not said",
        "task": description.task or "not said",
        **{stack: _stack(s) for stack, s in description.stacks.items()},
        **{f"{stack} rates": _learned(s.learned_rates) for stack, s in description.stacks.items()},
        "trained at": ", ".join(f"{name} ({share:.3g})" for name, share in description.trained_depths.items()),
        "heads": ", ".join(description.classification_heads),
        "parameters": f"{description.parameters:,} in all ({description.dtype})",
        "training": _training(description),
        "options": shlex.join(description.options or ()),
        "file": f"{_size(size.file)}: weights {_size(size.weights)}, "
        + (f"optimizer's state {_size(size.optimizer)} ({share})" if size.optimizer else "no optimizer's state"),
    }
    shown = [f"  {name:14}{message.printable(value)}" for name, value in lines.items() if value]
    return "\n".join([message.printable(description.checkpoint), *(message.cut(line, message.LINE) for line in shown)])


def row(description: Description) -> dict[str, Any]:
    """Return a checkpoint's row of a table."""
    d, sizes = description, description.bytes
    cells = {"checkpoint": d.checkpoint, "architecture": d.architecture, "task": d.task}
    for stack, s in d.stacks.items():
        cells.update({f"{stack}_{name}": value for name, value in _cells(s).items()})
    return {
        **cells,
        "trained_depths": ",".join(d.trained_depths) or None,
        "classification_heads": ",".join(d.classification_heads) or None,
        "parameters": d.parameters,
        "dtype": d.dtype,
        "updates": d.updates,
        "best": d.best,
        "best_metric": d.best_metric,
        "file_bytes": sizes.file,
        "weights_bytes": sizes.weights,
        "optimizer_bytes": sizes.optimizer,
    }


def kept(s: StackDescription) -> str | None:
    """Return which layers of the first model a stack holds, say `0,2,4 of 6`; None for one that was never pruned."""
    return None if s.pruned is None else str(s.pruned)


def _cells(s: StackDescription) -> dict[str, Any]:
    return {
        "depth": s.depth,
        "layerdrop": s.layerdrop,
        "learned_rates": None if s.learned_rates is None else ",".join(f"{rate:.3g}" for rate in s.learned_rates),
        "headdrop": s.headdrop,
        "ffndrop": s.ffndrop,
        "sublayerdrop": s.sublayerdrop,
        "embed_dim": s.embed_dim,
        "ffn_embed_dim": s.ffn_embed_dim,
        "attention_heads": s.attention_heads,
        "layer_parameters": max(s.layer_parameters),
        "layers": kept(s),
    }


def _stack(s: StackDescription) -> str:
    parts = [f"{s.depth} layer{'s' * (s.depth > 1)}"]
    parts += [f"pruned to {kept(s)}"] if s.pruned else []
    parts += [f"layer-drop {_rate(s.layerdrop)}"] if s.layerdrop is not None else []
    others = {"head": s.headdrop, "ffn": s.ffndrop, "sublayer": s.sublayerdrop}
    parts += [f"{name}-drop {_rate(rate)}" for name, rate in others.items() if rate]
    parts += [f"embed {s.embed_dim}, ffn {s.ffn_embed_dim}"] if s.embed_dim is not None else []
    parts += [f"{s.attention_heads} heads"] if s.attention_heads is not None else []
    low, high = min(s.layer_parameters), max(s.layer_parameters)
    parts += [f"{low:,} parameters a layer" if low == high else f"{low:,} to {high:,} parameters a layer"]
    return ", ".join(parts)


def _learned(rates: Sequence[float] | None) -> str:
    """Say the learned drop rate of each layer; one a line would be long."""
    return "" if rates is None else f"learned, by layer: {' '.join(f'{rate:.3g}' for rate in rates)}"


def _rate(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _training(description: Description) -> str:
    updates, best = description.updates, description.best
    parts = [] if updates is None else [f"{updates:,} updates"]
    parts += [] if best is None else [f"best validation {description.best_metric} {best:g}"]
    return ", ".join(parts)


def _size(count: int) -> str:
    """Write a number of bytes for a person.

    >>> _size(999), _size(1500), _size(2_350_000_000)
    ('999 bytes', '1.5 kB', '2.35 GB')
    """
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= unit:
            return f"{count / unit:.3g} {name}"
    return f"{count} bytes"
