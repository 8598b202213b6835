"""Report on a search within a budget: the best of each split, timed beside the full model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ... import layer_spec, search
from ...budget_report import BEST, EVERY_OTHER, FULL, BudgetReport, Row, uneven_speeds, with_pareto
from ...candidates import Candidate
from ...message import counted
from ...sweep import name_of
from . import generation, part_costs
from .budget_search import Asked, Found, Result
from .evaluation import Sample
from .running_cost import Timed, parameters
from .search import Scoring
from .search_report import at_chance, kept_layers
from .split_costs import size_of
from .sweep import device_name

CLOSE = 0.05
"""A measured speed-up that is by more than this share below the budget is warned about, and so are two
of sets that cost the same, if they differ by more."""


def report(
    asked: Asked,
    result: Result,
    scoring: Scoring,
    costs: Mapping[str, float],
    path: str | None = None,
    bleu: bool = False,
    second_split: str | None = None,
    second: Sequence[Sample] = (),
) -> BudgetReport:
    """Time the full model, the best of each split and Every Other in alternation, and return all results.

    Args:
        costs: `layer_evaluations` and `seconds` of the search.
        path: the checkpoint's, where the size of files is to be reported.
        second_split: the name of `second`, data that were not searched on, for the chosen layers and Every Other.
    """
    timed_batches = scoring.batches[: part_costs.TIMED]
    full = Found(asked.whole.depths, asked.whole._replace(keep=asked.whole.depths), result.full)
    named = [(FULL, full), *((BEST, one) for one in result.found)]
    named += [] if result.every_other is None else [(EVERY_OTHER, result.every_other)]
    candidates = [scoring.whole(one.best.candidate) for _, one in named]
    distinct = list(dict.fromkeys(candidates))
    times = dict(zip(distinct, part_costs.in_use(asked.evaluation, distinct, timed_batches)))
    sentences = part_costs.sentences_in(timed_batches)
    rows = with_pareto(
        [
            _row(asked, choice, one, scoring, times[candidate], times[candidates[0]], sentences, path, bleu)
            for (choice, one), candidate in zip(named, candidates)
        ],
        asked.whole.metric,
    )
    chosen = rows[1 + next(i for i, one in enumerate(result.found) if one is result.chosen)]
    whole = kept_layers(asked.whole, scoring, result.chosen.best.candidate)
    return BudgetReport(
        budget=asked.budget,
        stacks=dict(zip(asked.whole.stacks, asked.whole.depths)),
        strategy=asked.strategy,
        metric=asked.whole.metric,
        batches=len(scoring.batches),
        predictions=int(result.full.totals[:, 1].sum()),
        timed_batches=len(timed_batches),
        device=device_name(asked.evaluation.device),
        costs=asked.costs.seconds,
        cost_stacks=list(asked.evaluation.stacks),
        rows=rows,
        chosen=chosen,
        kept={stack: layer_spec.describe(layers) for stack, layers in whole.items()},
        model_overrides=asked.whole.model_overrides(result.chosen.best.candidate),
        layer_evaluations=int(costs.get("layer_evaluations", 0)),
        seconds=costs.get("seconds", 0.0),
        warnings=_warnings(asked, result, scoring, rows, chosen),
        same_length=_same_length(asked, result, scoring, timed_batches),
        second=None if second_split is None else _second(asked, result, second_split, second),
    )


def _same_length(asked: Asked, result: Result, scoring: Scoring, batches: Sequence[Sample]) -> float | None:
    """Return how many times as fast the chosen layers go the full model's way; None if nothing is translated."""
    if not part_costs.translates(asked.evaluation):
        return None
    pair = [scoring.whole(one.candidate) for one in (result.full, result.chosen.best)]
    full, chosen = part_costs.seconds(asked.evaluation, pair, batches, translating=True)
    return full / chosen


def _row(
    asked: Asked,
    choice: str,
    found: Found,
    scoring: Scoring,
    timed: Timed,
    full: Timed,
    sentences: int,
    path: str | None,
    bleu: bool,
) -> Row:
    evaluation, best = asked.evaluation, found.best
    whole = scoring.whole(best.candidate)
    layers = dict(zip(evaluation.stacks, whole))
    cost = asked.costs
    return Row(
        split=name_of(found.split),
        choice=choice,
        specs=asked.whole.specs(best.candidate),
        parameters=parameters(evaluation, whole),
        bytes=None if path is None else size_of(path, asked.whole, layers),
        loss=best.loss if math.isfinite(best.loss) else None,
        perplexity=best.perplexity if math.isfinite(best.perplexity) else None,
        accuracy=100 * best.accuracy if evaluation.classifies else None,
        bleu=_bleu(asked, best.candidate, scoring.batches) if bleu else None,
        promised_speedup=cost.of(asked.whole.depths).seconds / cost.of(found.split).seconds,
        speedup=sum(full.seconds) / sum(timed.seconds),
        seconds=sum(timed.seconds) / sentences,
        tokens=sum(timed.tokens),
    )


def _bleu(asked: Asked, candidate: Candidate, batches: Sequence[Sample]) -> float:
    with asked.evaluation.running(dict(zip(asked.whole.stacks, candidate))):
        return generation.bleu(asked.evaluation, batches).score


def _warnings(asked: Asked, result: Result, scoring: Scoring, rows: Sequence[Row], chosen: Row) -> list[str]:
    """Return a line for each thing that speaks against the recommendation."""
    shown = [*result.found, *([] if result.every_other is None else [result.every_other])]
    nothing = at_chance(scoring, [result.full, *(one.best for one in shown)])
    noise = [] if nothing else _noise(asked, result)
    return [*nothing, *_missed(asked, rows[0], chosen), *noise, *uneven_speeds(rows, CLOSE)]


def _missed(asked: Asked, full: Row, chosen: Row) -> list[str]:
    longer = chosen.tokens / full.tokens - 1
    budget = asked.budget
    missed = {"speedup": chosen.speedup / budget.amount, "latency": budget.amount / chosen.seconds}.get(budget.kind, 1)
    if missed >= 1 - CLOSE:
        return []
    measured = f"{chosen.speedup:.2f}" if budget.kind == "speedup" else f"{1000 * chosen.seconds:.3g} ms"
    more = f", as its translations have {100 * longer:.0f}% more tokens" if longer > CLOSE else ""
    return [f"{asked.option} {budget.text} is missed when measured, with {measured}{more}; ask for more."]


def _noise(asked: Asked, result: Result) -> list[str]:
    others = [one for one in result.found if one is not result.chosen]
    differences = [search.difference(result.chosen.best, one.best, asked.whole.metric) for one in others]
    noisy = sum(d.is_noise for d in differences if d.better >= 0)
    if not noisy or asked.budget.kind == "max_loss_increase":
        return []
    differ = "differs" if noisy == 1 else "differ"
    return [
        f"{noisy} of {counted(len(others), 'other split')} {differ} from the recommended one by noise, as the "
        "halves of the data tell; the faster may do."
    ]


def _second(asked: Asked, result: Result, split: str, batches: Sequence[Sample]) -> dict[str, object]:
    scoring = Scoring(asked.evaluation, asked.whole, batches)
    full = Found(asked.whole.depths, asked.whole, result.full)
    wanted = {BEST: result.chosen, EVERY_OTHER: result.every_other, FULL: full}
    predictions, rows = 0, []
    for choice, one in wanted.items():
        if one is not None:
            scored = scoring.totals(one.best.candidate)
            predictions = int(scored.totals[:, 1].sum())
            specs = asked.whole.specs(one.best.candidate)
            row = {"split": name_of(one.split), "choice": choice, **specs, "loss": scored.loss}
            rows.append({**row, "accuracy": 100 * scored.accuracy} if asked.evaluation.classifies else row)
    return {"split": split, "batches": len(batches), "predictions": predictions, "rows": rows}
