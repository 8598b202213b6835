"""A checkpoint's description as lines for a person and as a row of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .. import layer_spec, message


def text(description: Mapping[str, Any]) -> str:
    """Return lines that tell a person about a checkpoint."""
    size = description["bytes"]
    share = f"{size['optimizer'] / size['file']:.0%}"
    lines = {
        "architecture": description["architecture"] or "not said",
        "task": description["task"] or "not said",
        **{stack: _stack(s) for stack, s in description["stacks"].items()},
        **{f"{stack} rates": _learned(s["learned_rates"]) for stack, s in description["stacks"].items()},
        "heads": ", ".join(description["classification_heads"]),
        "parameters": f"{description['parameters']:,} in all ({description['dtype']})",
        "training": _training(description),
        "file": f"{_size(size['file'])}: weights {_size(size['weights'])}, "
        + (f"optimizer's state {_size(size['optimizer'])} ({share})" if size["optimizer"] else "no optimizer's state"),
    }
    shown = [f"  {name:14}{message.printable(value)}" for name, value in lines.items() if value]
    return "\n".join(
        [message.printable(description["checkpoint"]), *(message.cut(line, message.LINE) for line in shown)]
    )


def row(description: Mapping[str, Any]) -> dict[str, Any]:
    """Return a checkpoint's row of a table."""
    cells = {name: description[name] for name in ("checkpoint", "architecture", "task")}
    for stack, s in description["stacks"].items():
        cells.update(
            {f"{stack}_{name}": value for name, value in s.items() if name not in ("layer_parameters", "pruned")}
        )
        cells[f"{stack}_learned_rates"] = _rates(s["learned_rates"])
        cells[f"{stack}_layer_parameters"] = max(s["layer_parameters"])
        cells[f"{stack}_layers"] = kept(s["pruned"])
    cells["classification_heads"] = ",".join(description["classification_heads"]) or None
    cells.update({name: description[name] for name in ("parameters", "dtype", "updates", "best", "best_metric")})
    return {**cells, **{f"{part}_bytes": size for part, size in description["bytes"].items()}}


def kept(pruned: Mapping[str, Any] | None) -> str | None:
    """Return which layers a pruned stack holds.

    >>> kept({"depth": 6, "kept": [0, 2, 4]})
    '0,2,4 of 6'
    """
    return None if pruned is None else f"{layer_spec.describe(pruned['kept'])} of {pruned['depth']}"


def _stack(s: Mapping[str, Any]) -> str:
    parts = [f"{s['depth']} layer{'s' * (s['depth'] > 1)}"]
    parts += [f"pruned to {kept(s['pruned'])}"] if s["pruned"] else []
    parts += [f"layer-drop {_rate(s['layerdrop'])}"] if s["layerdrop"] is not None else []
    parts += [f"{name}-drop {_rate(s[name + 'drop'])}" for name in ("head", "ffn", "sublayer") if s[name + "drop"]]
    parts += [f"embed {s['embed_dim']}, ffn {s['ffn_embed_dim']}"] if s["embed_dim"] is not None else []
    parts += [f"{s['attention_heads']} heads"] if s["attention_heads"] is not None else []
    low, high = min(s["layer_parameters"]), max(s["layer_parameters"])
    parts += [f"{low:,} parameters a layer" if low == high else f"{low:,} to {high:,} parameters a layer"]
    return ", ".join(parts)


def _learned(rates: Sequence[float] | None) -> str:
    """Say the learned drop rate of each layer; one a line would be long."""
    return "" if rates is None else f"learned, by layer: {' '.join(f'{rate:.3g}' for rate in rates)}"


def _rate(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _rates(learned: Sequence[float] | None) -> str | None:
    return None if learned is None else ",".join(f"{rate:.3g}" for rate in learned)


def _training(description: Mapping[str, Any]) -> str:
    updates, best = description["updates"], description["best"]
    parts = [] if updates is None else [f"{updates:,} updates"]
    parts += [] if best is None else [f"best validation {description['best_metric']} {best:g}"]
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
