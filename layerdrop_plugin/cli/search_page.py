"""The page of a search (`--report`)."""

from __future__ import annotations

import shlex
from argparse import Namespace
from collections.abc import Sequence

from ..html_report import Commands, Part
from ..search_report import SearchReport
from . import pages, search_text


def sections(args: Namespace, report: SearchReport) -> dict[str, Sequence[Part]]:
    """Return what the page says after what was asked, by heading."""
    kept = "; ".join(f"{stack} layers {spec}" for stack, spec in report.best.items())
    found: dict[str, Sequence[Part]] = {
        "Recommended": [
            *map(pages.warning, report.warnings),
            f"{kept}.",
            Commands(f'--model-overrides "{report.model_overrides}"'),
        ],
        f"On {args.gen_subset}": [
            f"{search_text.head(report)}.",
            pages.table(search_text.rows(report.ranking), search_text.SHOW, chosen=0),
            f"{search_text.cost(report)}.",
            search_text.HALVES,
        ],
    }
    if report.second is not None:
        rows = search_text.rows(report.second.rows)
        found[f"On {report.second.split}, not searched on"] = [
            f"{search_text.size(report.second.batches, report.second.predictions)}.",
            pages.table(rows, search_text.SHOW, chosen=0),
        ]
    prune = pages.prune(args.path, report.best, pages.scores(args))
    describe = shlex.join(["layerdrop-describe", args.path, "small.pt"])
    return {**found, "Go on": [Commands(f"{prune}\n{describe}")]}
