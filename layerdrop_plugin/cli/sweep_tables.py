"""The tables that `layerdrop-sweep` prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable

from ..message import counted
from ..sweep_report import SweepReport
from . import results
from .results import Row

HEADERS = {
    "tokens_per_second": "tokens/s",
    "peak_memory_mib": "MiB",
    "loss_full": "full loss",
    "loss_without": "left out",
    "subnetworks_with": "mean with",
    "subnetworks_without": "mean without",
    "cosine_distance": "cosine distance",
}
"""Headers of the table's columns, where they differ from the names in the data."""

SHOW: dict[str, Callable[[Any], str]] = {
    "parameters": "{:,}".format,
    **dict.fromkeys(("perplexity", "accuracy", "bleu"), "{:.2f}".format),
    **dict.fromkeys(("tokens_per_second", "peak_memory_mib"), "{:,.0f}".format),
    **dict.fromkeys(
        ("loss", "loss_full", "loss_without", "subnetworks_with", "subnetworks_without", "cosine_distance"),
        "{:.4f}".format,
    ),
}


def text(report: SweepReport) -> str:
    """Return tables of the results, without the kept layers and the ratio of losses."""
    measured = report.measured
    batches = counted(measured.batches, "batch", "batches")
    of = "generation" if measured.bleu_signature else "evaluation"
    lines = [
        _table([row.as_json() for row in measured.rows], ("encoder", "decoder", "loss_ratio")),
        f"{report.split}: {batches}, {counted(measured.tokens, 'token')}; tokens/s and MiB of {of} "
        f"on {measured.device}, median of {report.repeats}; x: relative to full depth",
    ]
    if measured.bleu_signature:
        lines.append(f"BLEU: sacrebleu {measured.bleu_signature}")
    if report.importance is not None:
        lines += ["", _table([row.as_json() for row in report.importance], ())]
    return "\n".join(lines)


def _table(rows: Sequence[Row], without: Sequence[str]) -> str:
    """Return a table; each ratio follows its value under an `x`. The name of a single checkpoint is left out."""
    if len({row["checkpoint"] for row in rows}) == 1:
        without = ("checkpoint", *without)
    headers = {name: HEADERS.get(name, name) for name in results.columns(rows) if name not in without}
    show = {header: SHOW[name] for name, header in headers.items() if name in SHOW}
    for name in headers:
        if name.endswith("_ratio"):
            headers[name] = f"x {headers[name[: -len('_ratio')]]}"
            show[headers[name]] = "{:.2f}".format
    return results.table([{header: row[name] for name, header in headers.items()} for row in rows], show)
