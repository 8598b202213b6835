"""The results of a search within a budget as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..budget_report import BudgetReport
from ..cost_model import CostModel
from ..message import counted
from ..sweep import name_of
from . import results, search_text
from .command import Parser

if TYPE_CHECKING:
    from ..fairseq_adapter.evaluation.budget_search import Asked

HEADERS = {"promised_speedup": "promised", "sentences_per_second": "sentences/s", "bleu": "BLEU"}
"""Headers of the table's columns, where they differ from the names in the data."""

NUMBERS = {
    **dict.fromkeys(("parameters", "bytes"), "{:,}".format),
    "loss": "{:.4f}".format,
    **dict.fromkeys(("perplexity", "accuracy", "BLEU", "promised", "speedup"), "{:.2f}".format),
    "sentences/s": "{:,.1f}".format,
}

SPARE = ("perplexity", "parameters", "sentences/s", "promised")
"""Columns that may be left out of a table in 80 characters, the first of them first."""


def met_in_full(asked: Asked) -> None:
    """Print that all layers are within the budget."""
    from ..fairseq_adapter.evaluation.budget_search import saying

    full = asked.costs.of(asked.whole.depths)
    layers = name_of(asked.whole.depths)
    print(f"{asked.option} {asked.budget.text} is met with all layers, {layers}: {saying(asked.budget, full, full)}")


def dry_run(asked: Asked, scoring: CostModel) -> None:
    """Print which splits would be searched, and what that would take."""
    from ..fairseq_adapter.evaluation import budget_search

    print(costs(asked.costs.seconds, list(asked.costs.depths)))
    most = budget_search.estimate(asked, scoring)
    about = f"about {counted(most.layer_evaluations, 'layer evaluation')}, about {_time(most.seconds)} of scoring"
    if asked.budget.kind == "max_loss_increase":
        least = budget_search.estimate(asked, scoring, within=False)
        print(
            f"{asked.option} {asked.budget.text}: {len(least.plans)} to about {len(most.plans)} splits, by the scores"
        )
        print(f"at most {about}")
        return
    print(f"{asked.option} {asked.budget.text}: {counted(len(most.plans), 'split')}")
    for plan in most.plans:
        sets = "" if plan.strategy == "greedy" else f", {counted(len(plan.candidates), 'set')}"
        print(f"  {budget_search.describe(asked, plan.keep)}; {plan.strategy} search{sets}")
    print(about)


def costs(model: CostModel, stacks: list[str]) -> str:
    """Return a line with the measured costs.

    >>> costs(CostModel(0.001, (0.002, 0.0005)), ["encoder", "decoder"])
    'a sentence takes 1 ms beside the layers, 2 ms in each encoder layer, 0.5 ms in each decoder layer'
    """
    layers = (f"{1000 * cost:.3g} ms in each {stack} layer" for stack, cost in zip(stacks, model.layers))
    return ", ".join([f"a sentence takes {1000 * model.fixed:.3g} ms beside the layers", *layers])


def show(parser: Parser, report: BudgetReport, wide: bool) -> None:
    """Print the results, and the warnings on standard error."""
    print(head(report))
    print(costs(report.costs, list(report.cost_stacks)))
    print(_table([row.as_json() for row in report.rows], wide))
    print(f"{counted(report.layer_evaluations, 'layer evaluation')}, {report.seconds:.1f} s of scoring")
    if report.second is not None:
        print(f"{report.second['split']}, not searched on: {of_second(report.second)}")
        print(_table(report.second["rows"], wide))
    for warning in report.warnings:
        parser.warn(warning)
    print(f"recommended: {recommended(report)}")
    print(f'--model-overrides "{report.model_overrides}"')


def of_second(second: Mapping[str, Any]) -> str:
    """Say how many data the second split has."""
    return search_text.size(second["batches"], second["predictions"])


def head(report: BudgetReport) -> str:
    """Say what was asked for, and on how much data it was searched."""
    data = f"{counted(report.batches, 'batch', 'batches')}, {report.timed_batches} of them timed, on {report.device}"
    searched = sum(row.choice == "best" for row in report.rows)
    return f"{_option(report)}: {counted(searched, 'split')} searched, {data}"


def recommended(report: BudgetReport) -> str:
    """Say which split was chosen, and its speed, measured and promised."""
    chosen, same = report.chosen, report.same_length
    length = "" if same is None else f" ({same:.2f} for translations as long as the full model's)"
    promised = f"promised {chosen.promised_speedup:.2f} ({100 * report.off:+.1f}%)"
    layers = "layer" if chosen.split == "1" else "layers"
    return f"{chosen.split} {layers}, {chosen.speedup:.2f} times as fast{length}, {promised}"


def rows(of: Sequence[Mapping[str, Any]]) -> list[results.Row]:
    """Return all columns of the table, by their headers; a star stands for the Pareto front."""
    shown = [{HEADERS.get(name, name): value for name, value in row.items()} for row in of]
    return [{**row, "pareto": "*" if row["pareto"] else ""} if "pareto" in row else row for row in shown]


def _option(report: BudgetReport) -> str:
    return f"--{report.budget.kind.replace('_', '-')} {report.budget.text}"


def _table(of: Sequence[Mapping[str, Any]], wide: bool) -> str:
    return results.table(rows(of), NUMBERS) if wide else results.fitting(rows(of), NUMBERS, SPARE)[0]


def _time(seconds: float) -> str:
    """Return a time as a person says it.

    >>> _time(0.32), _time(75), _time(7300)
    ('0.3 s', '75 s', '122 min')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
