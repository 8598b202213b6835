"""The page of a search within a budget (`--report`)."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from ..budget_report import BudgetReport
from ..html_report import Commands, Part, Plot
from . import budget_plot, budget_text, pages, plots
from .pages import PNG


def sections(args: Namespace, report: BudgetReport) -> dict[str, Sequence[Part]]:
    """Return what the page says after what was asked, by heading."""
    chosen = list(report.rows).index(report.chosen)
    rows = [row.as_json() for row in report.rows]
    found: dict[str, Sequence[Part]] = {
        "Recommended": [
            *map(pages.warning, report.warnings),
            f"{budget_text.recommended(report)}.",
            Commands(f'--model-overrides "{report.model_overrides}"'),
        ],
        f"On {args.gen_subset}": [
            f"{budget_text.head(report)}.",
            pages.table(budget_text.rows(rows), budget_text.NUMBERS, chosen),
            "A star stands for the Pareto front: nothing else is as good and as fast.",
            f"{budget_text.costs(report.costs, list(report.cost_stacks))}.",
        ],
    }
    if plots.can_draw():
        image = budget_plot.draw(report, args.gen_subset, PNG)
        found["Quality over speed"] = [Plot(image, "Quality over measured speed; a ring marks what is recommended.")]
    if report.second is not None:
        table = pages.table(budget_text.rows(report.second["rows"]), budget_text.NUMBERS)
        found[f"On {report.second['split']}, not searched on"] = [
            f"{budget_text.of_second(report.second)}.",
            table,
        ]
    return {**found, "Go on": [Commands(pages.prune(args.path, report.kept, pages.scores(args)))]}
