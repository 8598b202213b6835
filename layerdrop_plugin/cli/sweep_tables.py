"""The tables that `layerdrop-sweep` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Callable, NamedTuple

from ..importance import LayerImportance
from ..message import counted
from ..sweep_report import SweepReport, equal_sets
from . import results
from .command import STACKS
from .results import Row

HEADERS = {
    "bleu": "BLEU",
    "tokens_per_second": "tokens/s",
    "peak_memory_mib": "MiB",
    "loss_full": "full",
    "loss_without": "without",
    "loss_without_error": "+- without",
    "subnetworks_with": "halves with",
    "subnetworks_with_error": "+- halves with",
    "subnetworks_without": "halves without",
    "subnetworks_without_error": "+- halves without",
    "cosine_distance": "change",
}
"""Headers of the table's columns, where they differ from the names in the data."""

IMPORTANCE = (
    "full, without: loss in bits of the full model, and of it without this layer alone",
    "halves: mean loss of random sub-networks of half of the layers, with this layer and without it",
    "change: cosine distance of the layer's input and output",
    "+-: standard errors, of the difference to full over batches, and of halves over sub-networks",
)
"""What the columns of the table of importance are."""

ERRORS = ("loss_without_error", "subnetworks_with_error", "subnetworks_without_error")

RATIO = "_ratio"
"""Ends the name of a column that is relative to full depth."""

Show = Mapping[str, Callable[[Any], str]]

SHOW: Show = {
    "parameters": "{:,}".format,
    **dict.fromkeys(("perplexity", "accuracy", "bleu"), "{:.2f}".format),
    **dict.fromkeys(("tokens_per_second", "peak_memory_mib"), "{:,.0f}".format),
    **dict.fromkeys(
        ("loss", "loss_full", "loss_without", "subnetworks_with", "subnetworks_without", "cosine_distance", *ERRORS),
        "{:.4f}".format,
    ),
}


SPARE = (
    *("loss_ratio", "parameters_ratio", "perplexity_ratio", "accuracy_ratio", "bleu_ratio", "peak_memory_mib_ratio"),
    *("loss", "peak_memory_mib", "parameters", "tokens_per_second_ratio"),
)
"""What a table that is too wide goes without, the first of them first."""


class Shown(NamedTuple):
    """A table: its rows, by header, and how the values of some columns are shown."""

    rows: Sequence[Row]
    show: Show


def text(report: SweepReport, wide: bool) -> str:
    """Return tables of the results; without `wide`, of as many columns as fit."""
    layers = () if wide else tuple(name for name in STACKS if name in report.measured.rows[0].kept)
    lines = [*_table(rows(report, layers), wide, layers), *notes(report)]
    if report.importance is not None:
        lines += [
            "",
            *_table(importance(report.importance, () if wide else ERRORS), wide),
            *IMPORTANCE[: 4 if wide else 3],
        ]
    return "\n".join(lines)


def rows(report: SweepReport, without: Sequence[str] = ()) -> Shown:
    """Return the table of depths, but for some columns."""
    return _shown([row.as_json() for row in report.measured.rows], without)


def importance(layers: Sequence[LayerImportance], without: Sequence[str] = ()) -> Shown:
    """Return the table of each layer's importance, but for some columns."""
    return _shown([layer.as_json() for layer in layers], without)


def notes(report: SweepReport) -> list[str]:
    """Return what is to be known of the table of depths."""
    measured = report.measured
    batches = counted(measured.batches, "batch", "batches")
    of = "generation" if measured.bleu_signature else "evaluation"
    lines = [
        *_equal(report),
        f"{report.split}: {batches}, {counted(measured.tokens, 'token')}; tokens/s and MiB of {of} "
        f"on {measured.device}, median of {counted(report.repeats, 'timing')}; x: relative to full depth",
    ]
    if measured.bleu_signature:
        lines.append(f"BLEU: sacrebleu {measured.bleu_signature}")
    return lines


def _equal(report: SweepReport) -> list[str]:
    """Say which strategies keep the same layers, and of which checkpoints if not of all."""
    of: dict[tuple[str, str], list[str]] = {}
    for label, depth, strategies in equal_sets(report.measured.rows):
        of.setdefault((depth, " = ".join(strategies)), []).append(label)
    return [
        f"{strategies} at {depth}{'' if len(labels) == len(report.checkpoints) else ' of ' + ', '.join(labels)}: "
        "the same layers, measured once"
        for (depth, strategies), labels in of.items()
    ]


def _shown(rows: Sequence[Row], without: Sequence[str]) -> Shown:
    """Name the columns; each ratio follows its value under an `x`. The name of a single checkpoint is left out."""
    if len({row["checkpoint"] for row in rows}) == 1:
        without = ("checkpoint", *without)
    headers = {name: _header(name) for name in results.columns(rows) if name not in without}
    show = {header: SHOW[name] for name, header in headers.items() if name in SHOW}
    show.update({header: "{:.2f}".format for name, header in headers.items() if name.endswith(RATIO)})
    return Shown([{header: row[name] for name, header in headers.items()} for row in rows], show)


def _header(name: str) -> str:
    """Return the header of a column.

    >>> _header("tokens_per_second"), _header("tokens_per_second_ratio")
    ('tokens/s', 'x tokens/s')
    """
    return f"x {_header(name[: -len(RATIO)])}" if name.endswith(RATIO) else HEADERS.get(name, name)


def _table(shown: Shown, wide: bool, missing: Sequence[str] = ()) -> list[str]:
    """Return a table as text, and what it goes without.

    Args:
        missing: columns that it lacks already.
    """
    if wide:
        return [results.table(*shown)]
    table, left_out = results.fitting(*shown, list(map(_header, SPARE)))
    without = ", ".join([*missing, *left_out])
    return [table, f"not shown without --wide: {without}"] if without else [table]
