"""The page of a sweep (`--report`)."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from .. import layer_spec
from ..html_report import Commands, Part, Plot
from ..sweep import FULL
from ..sweep_report import SweepReport
from . import pages, plots, sweep_plots, sweep_tables
from .pages import PNG


def sections(args: Namespace, report: SweepReport) -> dict[str, Sequence[Part]]:
    """Return what the page says after what was asked, by heading."""
    found: dict[str, Sequence[Part]] = {
        f"Depths, on {report.split}": [
            *map(pages.warning, report.warnings),
            pages.table(*sweep_tables.rows(report)),
            *sweep_tables.notes(report),
        ]
    }
    if plots.can_draw():
        text = "Two plots: quality over depth, and quality over speed."
        found["Quality over depth and over speed"] = [Plot(sweep_plots.depths(args, report, PNG), text)]
    if report.importance is not None:
        image = sweep_plots.importance(args, report.importance, report, PNG)
        table = pages.table(*sweep_tables.importance(report.importance))
        found["Importance of layers"] = [Plot(image, "Importance of each layer."), table, *sweep_tables.IMPORTANCE]
    return {**found, "Go on": ["A smaller checkpoint, of each of these depths:", Commands(_commands(report))]}


def _commands(report: SweepReport) -> str:
    lines = []
    for row in report.measured.rows:
        if row.strategy != FULL:
            kept = {stack: layer_spec.describe(layers) for stack, layers in row.kept.items()}
            lines.append(pages.prune(report.checkpoints[row.checkpoint], kept))
    return "\n".join(dict.fromkeys(lines))
