"""The plots of a sweep: check before long work that they can be drawn, and write them at its end."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from os.path import realpath

from .. import atomic
from ..importance import LayerImportance
from ..message import counted
from ..sweep_report import SweepReport
from . import importance_plot, pages, plots, results


def check(args: Namespace) -> None:
    """Refuse, before long work, files that can't be written and plots that can't be drawn."""
    results.check(args, args.path, *args.compare, *args.search)
    pages.check(args)
    seen = {
        realpath(path): path
        for path in (args.path, *args.compare, *args.search, args.json, args.csv, args.report)
        if path is not None
    }
    for option in ("plot", "importance"):
        path = getattr(args, option)
        if path is None:
            continue
        atomic.check_file(path, args.force, f"--{option}")
        plots.check(path, f"--{option}")
        if realpath(path) in seen:
            raise ValueError(f"`--{option}` must be another file than {seen[realpath(path)]}, but is {path}.")
        seen[realpath(path)] = path
    if args.importance is None and args.samples is not None:
        raise ValueError("`--samples` must go with --importance, which is missing.")
    args.samples = args.samples or 20


def draw(args: Namespace, report: SweepReport) -> None:
    """Write the plots that --plot and --importance ask for."""
    if args.plot is not None:
        with atomic.write_file(args.plot, args.force, "--plot") as file:
            file.write(depths(args, report, args.plot))
    if report.importance is not None:
        with atomic.write_file(args.importance, args.force, "--importance") as file:
            file.write(importance(args, report.importance, report, args.importance))


def depths(args: Namespace, report: SweepReport, path: str) -> bytes:
    """Return the plot of quality over depth and over speed, in the format that the ending of the path names."""
    measured = report.measured
    of = "generation" if measured.bleu_signature else "evaluation"
    return plots.sweep(measured.rows, _title(args, report), f"{of} on {measured.device}", path)


def importance(args: Namespace, layers: Sequence[LayerImportance], report: SweepReport, path: str) -> bytes:
    """Return the plot of each layer's importance, in the format that the ending of the path names."""
    return importance_plot.draw(layers, _title(args, report), path)


def _title(args: Namespace, report: SweepReport) -> str:
    title = f"{report.split}, {counted(report.measured.tokens, 'token')}"
    return f"{args.labels[0]} on {title}" if len(report.checkpoints) == 1 else title
