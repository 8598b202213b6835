"""Search within a budget: the splits that meet it, the best layers of each, and what that would cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable, NamedTuple

from ... import search, splits
from ...budget import SPEED, Budget, Cost
from ...cost_model import CostModel, Split
from ...message import counted
from ...search import Measure, Ranked
from ...sweep import name_of
from . import search as layer_search
from .evaluation import Evaluation
from .search import Plan
from .split_costs import SplitCosts


class Asked(NamedTuple):
    """What to search.

    Attributes:
        whole: a plan that keeps one layer of each searched stack; a split has a number for each of them.
        strategy: within a split; None chooses as `layer_search.plan` does.
        batches: how many there are.
    """

    evaluation: Evaluation
    budget: Budget
    option: str
    whole: Plan
    strategy: str | None
    batches: int
    costs: SplitCosts

    def plan(self, split: Split) -> Plan:
        """Return what to search at a split."""
        stack = "both" if len(self.whole.stacks) > 1 else self.whole.stacks[0]
        return layer_search.plan(self.evaluation, stack, split, self.strategy, self.whole.metric, self.batches)


class Found(NamedTuple):
    """The best layers of a split."""

    split: Split
    plan: Plan
    best: Ranked


class Result(NamedTuple):
    """What a search within a budget found.

    Attributes:
        found: the best of each split that was searched.
        chosen: the recommended one.
        every_other: Every Other with the same number of layers in each stack, as many as the budget allows; None where
            the model can't be built so.
    """

    full: Ranked
    found: Sequence[Found]
    chosen: Found
    every_other: Found | None


def is_met_in_full(asked: Asked) -> bool:
    """Return whether the model is within the budget as it is."""
    full = asked.costs.of(asked.whole.depths)
    return asked.budget.kind != "max_loss_increase" and asked.budget.is_met(full, full)


def fitting(asked: Asked) -> list[Split]:
    """Return the splits to search, of a budget of which costs decide.

    Raises:
        ValueError: one line: no split meets the budget.
    """
    full = asked.costs.of(asked.whole.depths)
    least = (1,) * len(asked.whole.depths)
    found = splits.largest(asked.whole.depths, least, lambda split: asked.budget.is_met(asked.costs.of(split), full))
    if not found:
        raise ValueError(
            f"`{asked.option}` must be met by some depth, but {asked.budget.text} is not: "
            f"with the fewest layers, {name_of(least)}, {saying(asked.budget, asked.costs.of(least), full)}."
        )
    return found


def saying(budget: Budget, cost: Cost, full: Cost) -> str:
    """Return a clause that says what a model costs of what a budget is about."""
    if budget.kind == "speedup":
        return f"the model is {full.seconds / cost.seconds:.2f} times as fast"
    return {
        "latency": f"a sentence takes {1000 * cost.seconds:.3g} ms",
        "params": f"there are {cost.parameters:,} parameters",
        "size": f"the file has {cost.bytes:,} bytes",
    }[budget.kind]


def run(asked: Asked, measure: Measure, started: Callable[[Plan], Any] = lambda plan: None) -> Result:
    """Search; all workers of torch.distributed call this alike.

    Args:
        started: is called with the plan of each split before it is searched.

    Raises:
        ValueError: one line: nothing meets the budget.
    """
    full = search.rank([asked.whole.full], measure([asked.whole.full], range(asked.batches)), asked.whole.metric)[0]
    if asked.budget.kind == "max_loss_increase":
        found, chosen = _smallest_within(asked, measure, full, started)
    else:
        found = [_search(asked, measure, split, started) for split in fitting(asked)]
        order = search.in_order((one.best for one in found), asked.whole.metric)
        chosen = next(one for one in found if one.best is order[0])
    return Result(full, found, chosen, _every_other(asked, measure, chosen))


def _search(asked: Asked, measure: Measure, split: Split, started: Callable[[Plan], Any]) -> Found:
    plan = asked.plan(split)
    started(plan)
    ranked = layer_search.run(plan, measure, asked.batches)
    named = sorted(set(plan.named.values()))  # a race or greed may have passed over a better one
    ranked += search.rank(named, measure(named, range(asked.batches)), plan.metric) if named else []
    return Found(split, plan, search.in_order(ranked, plan.metric)[0])


def _smallest_within(
    asked: Asked, measure: Measure, full: Ranked, started: Callable[[Plan], Any]
) -> tuple[list[Found], Found]:
    found: dict[Split, Found] = {}

    def within(split: Split) -> bool:
        found[split] = _search(asked, measure, split, started)
        return asked.budget.allows(found[split].best.loss, full.loss)

    chosen = _walk(asked, within)
    if chosen not in found:
        lowest = min(found.values(), key=lambda one: one.best.loss, default=None)
        raise ValueError(
            f"`{asked.option}` must be met by some depth below {name_of(asked.whole.depths)}, but "
            + (
                f"{asked.budget.text} is not: there is none."
                if lowest is None
                else f"{asked.budget.text} is not: the best of {name_of(lowest.split)} layers has a loss "
                f"{100 * (lowest.best.loss / full.loss - 1):.2f}% above that of all."
            )
        )
    return list(found.values()), found[chosen]


def _walk(asked: Asked, within: Callable[[Split], bool]) -> Split:
    least = (1,) * len(asked.whole.depths)
    return splits.fastest_within(asked.whole.depths, least, lambda split: asked.costs.of(split).seconds, within)


def _every_other(asked: Asked, measure: Measure, chosen: Found) -> Found | None:
    """Return Every Other with equal numbers in all stacks, the most that meet the budget."""
    depths = asked.whole.depths
    full = asked.costs.of(depths)
    equal = [tuple(min(keep, depth) for depth in depths) for keep in range(max(depths), 0, -1)]
    if asked.budget.kind == "max_loss_increase":  # the most layers that are no slower than the chosen ones
        seconds = asked.costs.of(chosen.split).seconds
        equal = [split for split in equal if asked.costs.of(split).seconds <= seconds]
    split = next((one for one in equal if asked.budget.is_met(asked.costs.of(one), full)), None)
    named = {} if split is None else asked.whole._replace(keep=split).named
    candidates = [c for name, c in named.items() if name.startswith("every_other:")]
    if split is None or not candidates:
        return None
    (best,) = search.rank(candidates, measure(candidates, range(asked.batches)), asked.whole.metric)
    return Found(split, asked.whole._replace(keep=split), best)


class Estimate(NamedTuple):
    """About what a search would take, and the plans of the splits that are searched."""

    plans: Sequence[Plan]
    layer_evaluations: int
    seconds: float


def estimate(asked: Asked, scoring: CostModel, within: bool = True) -> Estimate:
    """Return about what `run` takes.

    Args:
        scoring: seconds a batch when a set of layers is scored.
        within: whether the splits are within a largest loss increase. If none is, the search ends after few.
    """
    plans: list[Plan] = []

    def note(split: Split) -> bool:
        plans.append(asked.plan(split))
        return within

    if asked.budget.kind == "max_loss_increase":
        _walk(asked, note)
    else:
        for split in fitting(asked):
            note(split)
    evaluations = sum(plan.estimates[plan.strategy] for plan in plans)
    scores = sum(layer_search.work(plan, asked.batches) for plan in plans)
    layer = sum(scoring.layers) / len(scoring.layers)
    return Estimate(plans, evaluations, evaluations * layer + scores * scoring.fixed)


def describe(asked: Asked, split: Split) -> str:
    """Return a split with what the budget is about, as for a list of splits."""
    cost, full = asked.costs.of(split), asked.costs.of(asked.whole.depths)
    speed = f"{full.seconds / cost.seconds:.2f} times as fast"
    return f"{name_of(split)}: {speed}" + (
        "" if asked.budget.kind in SPEED else f", {counted(cost.parameters, 'parameter')}"
    )
