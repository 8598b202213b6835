"""The search of layerdrop-search within a budget: measure, search each split, time the best ones, print."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .. import atomic
from ..budget import COUNTED, Budget
from . import budget_page, budget_plot, budget_text, pages, results, search_state
from .budget_options import OPTIONS
from .command import Parser, progress

if TYPE_CHECKING:
    from ..budget_report import BudgetReport
    from ..cost_model import CostModel
    from ..fairseq_adapter.evaluation.budget_search import Asked
    from ..fairseq_adapter.evaluation.evaluation import Evaluation
    from ..measuring import Measuring


def search(
    parser: Parser,
    args: Namespace,
    budget: Budget,
    model: Evaluation,
    batches: Sequence[dict[str, Any]],
    second: Sequence[dict[str, Any]],
    first: bool,
) -> None:
    """Search within a budget, and print the results; all workers call this alike."""
    from ..fairseq_adapter.evaluation import budget_search
    from ..fairseq_adapter.evaluation import search as layer_search

    asked = _asked(args, budget, model, batches)
    if budget.kind in COUNTED:
        if _met_in_full(parser, args, asked, first):
            return
        budget_search.fitting(asked)  # a budget that no depth meets is refused before anything is timed
    asked, scoring_costs = _timed(asked, batches, first)
    if _met_in_full(parser, args, asked, first):
        return
    if args.dry_run:
        if first:
            budget_text.dry_run(asked, scoring_costs)
        return
    splits = [] if budget.kind == "max_loss_increase" else budget_search.fitting(asked)
    scoring = layer_search.Scoring(model, asked.whole, batches)
    settings = layer_search.settings(asked.whole, model, args.path, args.model_overrides, args.gen_subset, batches)
    asks = {"keep": f"{OPTIONS[budget.kind]} {budget.text}", "strategy": args.strategy}
    measure = search_state.measuring(args, {**settings, **asks}, scoring)
    with search_state.interruptible(parser, asked.whole, measure, first):
        total = sum(layer_search.work(asked.plan(split), len(batches)) for split in splits)
        with progress(total, "set", args.quiet or not first) as bar:
            measure.progress = bar.update if first else measure.progress
            result = budget_search.run(asked, measure)
        if first:
            origin = search_state.origin(args, settings, asked.whole)
            _finish(parser, args, asked, result, measure, scoring, second, origin)


def _asked(args: Namespace, budget: Budget, model: Evaluation, batches: Sequence[dict[str, Any]]) -> Asked:
    """Return what to search, with all costs but the seconds, which are 0 before they are measured."""
    from ..cost_model import CostModel
    from ..fairseq_adapter.evaluation import budget_search, part_costs, split_costs
    from ..fairseq_adapter.evaluation import search as layer_search

    whole = layer_search.plan(model, args.stack, [1], "greedy", args.metric, len(batches))
    if part_costs.translates(model):
        part_costs.check(model)
    not_timed = CostModel(0.0, (0.0,) * len(model.stacks))
    costs = split_costs.costs(model, whole, not_timed, args.path if budget.kind == "size" else None)
    return budget_search.Asked(model, budget, OPTIONS[budget.kind], whole, args.strategy, len(batches), costs)


def _timed(asked: Asked, batches: Sequence[dict[str, Any]], first: bool) -> tuple[Asked, CostModel]:
    """Return what to search, with the seconds, and what a batch takes when it is scored."""
    from ..fairseq_adapter.evaluation import part_costs

    costs = part_costs.measure(asked.evaluation, asked.whole.stacks, batches, first)
    return asked._replace(costs=asked.costs._replace(seconds=costs.in_use)), costs.scoring


def _met_in_full(parser: Parser, args: Namespace, asked: Asked, first: bool) -> bool:
    """Return whether all layers are within the budget, and say so."""
    from ..fairseq_adapter.evaluation import budget_search

    met = budget_search.is_met_in_full(asked)
    if met and first:
        budget_text.met_in_full(asked)
        budget = {"kind": asked.budget.kind, "value": asked.budget.text}
        results.write(args, {"budget": budget, "met_in_full": True}, [])
        for option in ("plot", "report"):
            if getattr(args, option) is not None:
                parser.warn(f"--{option}: {getattr(args, option)} is not written, as nothing was searched")
    return met


def _finish(
    parser: Parser,
    args: Namespace,
    asked: Asked,
    result: Any,
    measure: Measuring,
    scoring: Any,
    second: Sequence[dict[str, Any]],
    origin: Mapping[str, Any],
) -> None:
    from ..fairseq_adapter.evaluation import budget_report

    path = args.path if asked.budget.kind == "size" else None
    cost = measure.counted()
    report = budget_report.report(asked, result, scoring, cost, path, args.bleu, args.report_subset, second)
    data = {**origin, **report.as_json()}
    try:
        results.write(args, data, [row.as_json() for row in report.rows])
        _plot(args, report)
        if args.report is not None:
            pages.write(args, args.command, budget_page.sections(args, report), data)
    finally:
        budget_text.show(parser, report, args.wide)
    search_state.finish(args, measure)


def _plot(args: Namespace, report: BudgetReport) -> None:
    if args.plot is not None:
        with atomic.write_file(args.plot, args.force, "--plot") as file:
            file.write(budget_plot.draw(report, args.gen_subset, args.plot))
