"""The plot of a search within a budget: quality over measured speed."""

from __future__ import annotations

from typing import Any, Callable

from ..budget_report import BEST, EVERY_OTHER, FULL, BudgetReport, Row
from ..sweep_sets import SEARCH
from . import plot_style

PLACES = {FULL: plot_style.FREE, BEST: plot_style.OF_STRATEGY[SEARCH], EVERY_OTHER: plot_style.OF_STRATEGY[EVERY_OTHER]}
"""Of the colors and markers of each choice, as in the plots of layerdrop-sweep."""


def draw(report: BudgetReport, split: str, path: str) -> bytes:
    """Return an image; a line joins the Pareto front, and a ring marks the recommended split.

    Args:
        split: the name of the data that were scored.
        path: where it goes; the ending says in which format.
    """
    label, value = _quality(report)
    figure, axes = plot_style.pyplot().subplots(figsize=(7, 5.5), layout="constrained")
    front = sorted((row for row in report.rows if row.pareto), key=lambda row: row.seconds)
    at = [1 / row.seconds for row in front], [value(row) for row in front]
    axes.plot(*at, color="gray", zorder=0, label="best at its speed (Pareto front)")
    points = []
    for over, (choice, place) in enumerate(PLACES.items()):
        rows = [row for row in report.rows if row.choice == choice]
        style = {**plot_style.line(place, place, over), "linestyle": "none"}
        if rows:
            axes.plot([1 / row.seconds for row in rows], [value(row) for row in rows], **style, label=choice)
        points += [(1 / row.seconds, value(row), row.split, style["color"]) for row in rows]
    _ring(axes, report.chosen, value)
    axes.set(xlabel=f"sentences/s, on {report.device}", ylabel=label)
    axes.set_title(f"Quality and speed, --{report.budget.kind.replace('_', '-')} {report.budget.text}, on {split}")
    axes.margins(0.12)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncol=3)
    plot_style.name_points(axes, [point for point in points if point[1] == point[1]])
    return plot_style.image(figure, path)


def _ring(axes: Any, chosen: Row, value: Callable[[Row], float]) -> None:
    ring = {"marker": "o", "markersize": 16, "markerfacecolor": "none", "linestyle": "none", "color": "black"}
    axes.plot([1 / chosen.seconds], [value(chosen)], **ring, label=f"recommended: {chosen.split}")


def _quality(report: BudgetReport) -> tuple[str, Callable[[Row], float]]:
    if report.chosen.bleu is not None:
        return "BLEU (higher is better)", lambda row: _or_nan(row.bleu)
    if report.metric == "accuracy":
        return "accuracy (%, higher is better)", lambda row: _or_nan(row.accuracy)
    return "loss (bits, lower is better)", lambda row: _or_nan(row.loss)


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
