"""The plot of a search within a budget: quality over measured speed."""

from __future__ import annotations

from typing import Callable

from ..budget_report import BEST, EVERY_OTHER, FULL, BudgetReport, Row
from . import plots

STYLES = {
    FULL: ("s", "C7", "all layers"),
    BEST: ("o", "C0", "best of a split"),
    EVERY_OTHER: ("^", "C1", "every other"),
}


def draw(report: BudgetReport, split: str) -> bytes:
    """Return a PNG; a line joins the Pareto front, and a ring marks the recommended split.

    Args:
        split: the name of the data that were scored.
    """
    pyplot = plots._pyplot()
    label, value = _quality(report)
    figure, axes = pyplot.subplots(figsize=(7, 5), layout="constrained")
    for choice, (marker, color, name) in STYLES.items():
        rows = [row for row in report.rows if row.choice == choice]
        if rows:
            at = [1 / row.seconds for row in rows], [value(row) for row in rows]
            axes.plot(*at, marker=marker, color=color, linestyle="none", label=name)
    front = sorted((row for row in report.rows if row.pareto), key=lambda row: row.seconds)
    axes.plot([1 / row.seconds for row in front], [value(row) for row in front], color="C0", alpha=0.5, zorder=0)
    for row in report.rows:
        axes.annotate(row.split, (1 / row.seconds, value(row)), (5, 4), textcoords="offset points", fontsize=8)
    chosen = report.chosen
    ring = {"marker": "o", "markersize": 14, "markerfacecolor": "none", "linestyle": "none", "color": "C3"}
    axes.plot([1 / chosen.seconds], [value(chosen)], **ring, label=f"recommended: {chosen.split}")
    axes.set(xlabel=f"sentences per second, on {report.device}", ylabel=label)
    axes.set_title(f"--{report.budget.kind.replace('_', '-')} {report.budget.text} on {split}")
    axes.grid(alpha=0.3)
    axes.legend()
    return plots._png(figure)


def _quality(report: BudgetReport) -> tuple[str, Callable[[Row], float]]:
    if report.chosen.bleu is not None:
        return "BLEU (higher is better)", lambda row: _or_nan(row.bleu)
    if report.metric == "accuracy":
        return "accuracy, % (higher is better)", lambda row: _or_nan(row.accuracy)
    return "loss, bits (lower is better)", lambda row: _or_nan(row.loss)


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
