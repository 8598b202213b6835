"""The results of a search as text."""

from __future__ import annotations

import sys

from ..message import counted
from ..search_report import SearchReport
from . import results
from .command import Parser


def show(parser: Parser, report: SearchReport) -> None:
    """Print the results, and the warnings on standard error."""
    number = {"loss": "{:.4f}".format, "perplexity": "{:.2f}".format, "accuracy": "{:.2f}".format}
    show = {**number, "bleu": "{:.2f}".format, "loss_1st_half": "{:.4f}".format, "loss_2nd_half": "{:.4f}".format}
    layers = (f"{report.keep[name]} of {counted(depth, f'{name} layer')}" for name, depth in report.stacks.items())
    data = f"{counted(report.batches, 'batch', 'batches')}, {counted(report.predictions, 'prediction')}"
    print(f"keep {' and '.join(layers)}: {report.strategy} search, {data}")
    print(results.table([row.as_json() for row in report.ranking], show))
    cost = report.cost
    print(f"{counted(cost.layer_evaluations, 'layer evaluation')}, {cost.seconds:.1f} s of scoring", end="")
    if cost.exhaustive is not None:
        print(f"; exhaustive takes {cost.exhaustive:,} a batch, one set after another {cost.one_by_one:,}", end="")
    print()
    if report.second is not None:
        print(f"{report.second.split}, not searched on:")
        print(results.table([row.as_json() for row in report.second.rows], show))
    for warning in report.warnings:
        print(f"{parser.prog}: warning: {warning}", file=sys.stderr)
    print(f'--model-overrides "{report.model_overrides}"')
