"""The plots of a sweep: check before long work that they can be drawn, and write them at its end."""

from __future__ import annotations

from argparse import Namespace
from os.path import realpath

from .. import atomic
from ..message import counted
from ..sweep_report import SweepReport
from . import importance_plot, plots, results


def check(args: Namespace) -> None:
    """Refuse, before long work, files that can't be written and plots that can't be drawn."""
    results.check(args, args.path, *args.compare, *args.search)
    seen = {
        realpath(path): path
        for path in (args.path, *args.compare, *args.search, args.json, args.csv)
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
    measured = report.measured
    title = f"{report.split}, {counted(measured.tokens, 'token')}"
    if len(report.checkpoints) == 1:
        title = f"{args.labels[0]} on {title}"
    if args.plot is not None:
        of = "generation" if measured.bleu_signature else "evaluation"
        with atomic.write_file(args.plot, args.force, "--plot") as file:
            file.write(plots.sweep(measured.rows, title, f"{of} on {measured.device}", args.plot))
    if report.importance is not None:
        with atomic.write_file(args.importance, args.force, "--importance") as file:
            file.write(importance_plot.draw(report.importance, title, args.importance))
