"""The plot of a search within a budget: quality over measured speed."""

from __future__ import annotations

from typing import Callable

from ..budget_report import BEST, EVERY_OTHER, FULL, BudgetReport, Row
from . import plot_style

STYLES = {
    FULL: ("s", plot_style.COLORS[0], "all layers"),
    BEST: ("o", plot_style.COLORS[4], "best of a split"),
    EVERY_OTHER: ("^", plot_style.COLORS[1], "every other"),
}


def draw(report: BudgetReport, split: str, path: str) -> bytes:
    """Return the plot; a line joins the Pareto front, and a ring marks the recommended split.

    Args:
        split: the name of the data that were scored.
        path: the file that it is for, whose ending names the format.
    """
    pyplot = plot_style.pyplot()
    label, value = _quality(report)
    figure, axes = pyplot.subplots(figsize=(7, 5), layout="constrained")
    for choice, (marker, color, name) in STYLES.items():
        of_choice = [row for row in report.rows if row.choice == choice]
        if of_choice:
            at = [1 / row.seconds for row in of_choice], [value(row) for row in of_choice]
            axes.plot(*at, marker=marker, color=color, linestyle="none", label=name)
    front = sorted((row for row in report.rows if row.pareto), key=lambda row: row.seconds)
    at = [1 / row.seconds for row in front], [value(row) for row in front]
    axes.plot(*at, color=STYLES[BEST][1], alpha=0.5, zorder=0)
    chosen = report.chosen
    ring = {"marker": "o", "markersize": 14, "markerfacecolor": "none", "linestyle": "none", "color": "black"}
    axes.plot([1 / chosen.seconds], [value(chosen)], **ring, label=f"recommended: {chosen.split}")
    axes.set(xlabel=f"sentences/s, on {report.device}", ylabel=label)
    axes.set_title(f"--{report.budget.kind.replace('_', '-')} {report.budget.text} on {split}")
    axes.grid(alpha=0.3)
    axes.legend()
    plot_style.name_points(axes, [(1 / r.seconds, value(r), r.split, STYLES[r.choice][1]) for r in report.rows])
    return plot_style.image(figure, path)


def _quality(report: BudgetReport) -> tuple[str, Callable[[Row], float]]:
    if report.chosen.bleu is not None:
        return "BLEU (higher is better)", lambda row: _or_nan(row.bleu)
    if report.metric == "accuracy":
        return "accuracy, % (higher is better)", lambda row: _or_nan(row.accuracy)
    return "loss, bits (lower is better)", lambda row: _or_nan(row.loss)


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
