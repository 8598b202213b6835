"""Made-up results of a search."""

from __future__ import annotations

from types import SimpleNamespace

import numpy

from layerdrop_plugin.fairseq_adapter.evaluation import search as layer_search
from layerdrop_plugin.fairseq_adapter.evaluation import search_report
from layerdrop_plugin.search import Ranked


def ranked(candidate, first, second=None):
    """A candidate with a loss on each half, of 10 predictions each; one half, where there is no second."""
    halves = [[10 * first, 10, 0], [0, 0, 0] if second is None else [10 * second, 10, 0]]
    return Ranked(candidate, numpy.array(halves, dtype=float))


def report(found, references=(), depths=(3,), keep=(1,), metric="loss", **options):
    """A report on found and reference candidates of one stack, scored by a table; full depth has a loss of 0.5."""
    plan = layer_search.Plan(("decoder",), depths, keep, "racing", metric, ())
    table = {r.candidate: r for r in (ranked(plan.full, 0.5, 0.5), *references)}
    scoring = SimpleNamespace(
        totals=table.__getitem__,
        whole=lambda candidate: candidate,
        batches=[None, None],
        evaluation=SimpleNamespace(classifies=False, stacks={"decoder": None}, model=None),
    )
    counted = {"layer_evaluations": 7.0, "seconds": 1.5}
    return search_report.report(plan, scoring, found, counted, **options)
