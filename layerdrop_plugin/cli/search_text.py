"""The results of a search as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Callable

from ..message import counted
from ..search_report import Row, SearchReport
from . import results
from .command import Parser

HEADERS = {"loss_1st_half": "1st half", "loss_2nd_half": "2nd half", "bleu": "BLEU"}
"""Headers of the table's columns, where they differ from the names in the data."""

EXPLAINED = "(one layer, one batch)"

HALVES = (
    "halves: the loss on the 1st, 3rd, 5th, ... batch and on the others; the difference of two sets is noise if it "
    "changes by as much from half to half"
)
"""What these columns are."""

SHOW: dict[str, Callable[[Any], str]] = {
    **dict.fromkeys(("loss", "1st half", "2nd half"), "{:.4f}".format),
    **dict.fromkeys(("perplexity", "accuracy", "BLEU"), "{:.2f}".format),
}


def estimate(strategy: str, estimates: Mapping[str, int], batches: str) -> str:
    """Say, before a search, what it and the other strategies are estimated to cost.

    >>> estimate("greedy", {"exhaustive": 9000, "greedy": 4000, "racing": 5432}, "40 batches")
    'greedy search on 40 batches: about 4,000 layer evaluations (one layer, one batch); exhaustive 9,000, racing 5,430'
    """
    numbers = {name: f"{_rounded(number):,}" for name, number in estimates.items()}
    others = ", ".join(f"{name} {number}" for name, number in numbers.items() if name != strategy)
    return f"{strategy} search on {batches}: about {numbers[strategy]} layer evaluations {EXPLAINED}; {others}"


def _rounded(number: int) -> int:
    """Return the number with three digits that count."""
    return round(number, 3 - len(str(number)))


def show(parser: Parser, report: SearchReport, wide: bool) -> None:
    """Print the results, and the warnings on standard error."""
    print(head(report))
    print(_table(report.ranking, wide))
    print(cost(report))
    equal = same_layers(report.ranking)
    if equal:
        print(equal)
    if wide:
        print(HALVES)
    if report.second is not None:
        print(f"{report.second.split}, not searched on: {size(report.second.batches, report.second.predictions)}")
        print(_table(report.second.rows, wide))
    for warning in report.warnings:
        parser.warn(warning)
    print(f'--model-overrides "{report.model_overrides}"')


def head(report: SearchReport) -> str:
    """Say what was searched for, how, and on how much data."""
    layers = (f"{report.keep[name]} of {counted(depth, f'{name} layer')}" for name, depth in report.stacks.items())
    data = size(report.batches, report.predictions)
    return f"keep {' and '.join(layers)}: {report.strategy} search, {data}"


def size(batches: int, predictions: int) -> str:
    """Say how much data something was scored on.

    >>> size(1, 1234)
    '1 batch, 1,234 predictions'
    """
    return f"{counted(batches, 'batch', 'batches')}, {counted(predictions, 'prediction')}"


def cost(report: SearchReport) -> str:
    """Say what the search took, and what it saved."""
    took, number = report.cost, f"{report.cost.candidates:,} sets"
    evaluations = f"{took.layer_evaluations:,} layer evaluations {EXPLAINED} in {took.seconds:.1f} s"
    if report.strategy == "exhaustive":
        apart = took.one_by_one * report.batches
        return f"{number}: {evaluations}; {apart:,} if sets did not share what they begin with"
    return f"{report.strategy}, some of {number}: {evaluations}; all of them: {took.exhaustive * report.batches:,}"


def same_layers(ranking: Sequence[Row]) -> str:
    """Say which rows are of the same layers; nothing if there are none.

    >>> scores = (1.0, 2.0, None, None, None)
    >>> same_layers([Row(name, {"decoder": "0,2"}, *scores) for name in ("4", "every_other:2")])
    'the same layers: 4 = every_other:2'
    """
    ranks: dict[tuple[str, ...], list[str]] = {}
    for row in ranking:
        ranks.setdefault(tuple(row.specs.values()), []).append(row.rank)
    several = [" = ".join(names) for names in ranks.values() if len(names) > 1]
    return f"the same layers: {', '.join(several)}" if several else ""


def rows(of: Sequence[Row]) -> list[results.Row]:
    """Return all columns of the table, by their headers."""
    return [{HEADERS.get(name, name): value for name, value in row.as_json().items()} for row in of]


def _table(of: Sequence[Row], wide: bool) -> str:
    shown = rows(of)
    if wide:
        return results.table(shown, SHOW)
    narrow = [{name: value for name, value in row.items() if not name.endswith(" half")} for row in shown]
    return results.fitting(narrow, SHOW, ["perplexity"])[0]
