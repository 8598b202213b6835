"""Report on a search: the best sets of layers beside Every Other, first K, last K and full depth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Callable

from ... import layer_spec, search, search_cost
from ...candidates import Candidate, count_candidates
from ...search import Ranked
from ...search_report import Cost, Row, SearchReport, SecondSplit
from . import generation
from .evaluation import Sample, majority
from .noisy_targets import runs_decoder_repeatedly
from .search import Plan, Scoring

ON_THE_SECOND_SPLIT = ("every_other", "learned")
"""The references that are scored on it, beside the winner and full depth."""


def report(
    plan: Plan,
    scoring: Scoring,
    ranked: Sequence[Ranked],
    counted: Mapping[str, float],
    bleu: bool = False,
    report_split: str | None = None,
    report_batches: Sequence[Sample] = (),
    done: Callable[[int], Any] = lambda count: None,
) -> SearchReport:
    """Return the results of a search.

    Args:
        ranked: the candidates that the search scored on all batches; Every Other, first K and last K join them, and
            full depth, which is not ranked, shows what pruning costs.
        counted: `layer_evaluations` and `seconds` of the search.
        bleu: whether the ten best, the references and full depth get BLEU scores, on the batches searched on.
        report_split: the name of `report_batches`, not searched on, for the winner, Every Other, the learned set if
            there is one, and full depth.
        done: is called with 1 after each set that got a BLEU score or was scored on the second split.
    """
    known = {r.candidate: r for r in ranked}
    references = {name: known.get(c) or scoring.totals(c) for name, c in plan.named.items()}
    known.update((r.candidate, r) for r in references.values())  # a race or greed may have passed over a better one
    ranked = search.in_order(known.values(), plan.metric)
    best = ranked[0]
    finalists = {str(i + 1): r for i, r in enumerate(ranked[: search.FINALISTS])}
    full = {"full": known.get(plan.full) or scoring.totals(plan.full)}
    shown = {**finalists, **references, **full}
    rows = [_row(name, r, plan, scoring) for name, r in shown.items()]
    if bleu:
        candidates = [r.candidate for r in shown.values()]
        score_of = {}
        for candidate in dict.fromkeys(candidates):
            score_of[candidate] = _bleu(plan, scoring, candidate)
            done(1)
        rows = [replace(row, bleu=score_of[candidate]) for row, candidate in zip(rows, candidates)]
    return SearchReport(
        stacks=dict(zip(plan.stacks, plan.depths)),
        keep=dict(zip(plan.stacks, plan.keep)),
        strategy=plan.strategy,
        metric=plan.metric,
        batches=len(scoring.batches),
        predictions=int(best.totals[:, 1].sum()),
        best=plan.specs(best.candidate),
        kept={
            stack: layer_spec.describe(layers) for stack, layers in kept_layers(plan, scoring, best.candidate).items()
        },
        model_overrides=plan.model_overrides(best.candidate),
        ranking=rows,
        cost=_cost(plan, scoring, counted),
        warnings=at_chance(scoring, [*ranked, *full.values()]) or _warnings(plan, ranked, references),
        second=None if report_split is None else _second_split(plan, scoring, best, report_split, report_batches, done),
    )


def work(plan: Plan, ranked: Sequence[Ranked], bleu: bool, second: bool) -> int:
    """Return how many sets, at most, `report` calls `done` for."""
    shown = min(len(ranked), search.FINALISTS) + len(plan.named) + 1
    return bleu * shown + second * (2 + len(ON_THE_SECOND_SPLIT))


def kept_layers(plan: Plan, scoring: Scoring, candidate: Candidate) -> dict[str, Sequence[int]]:
    """Return the layers of every stack of the model, counted as in the checkpoint."""
    kept = zip(scoring.evaluation.stacks, scoring.whole(candidate))
    return {stack: [plan.held[stack][i] for i in layers] if stack in plan.held else layers for stack, layers in kept}


def at_chance(scoring: Scoring, ranked: Sequence[Ranked]) -> list[str]:
    """Return a line if no set, nor full depth, is right more often than who always says the most frequent class."""
    if not scoring.evaluation.classifies:
        return []
    chance, best = majority(scoring.batches), max(r.accuracy for r in ranked)
    if best > chance:
        return []
    return [
        "there is nothing to choose by: no set, nor full depth, is better than to answer the most frequent class "
        f"always ({100 * chance:.2f}%)."
    ]


def _bleu(plan: Plan, scoring: Scoring, candidate: Candidate) -> float:
    with scoring.evaluation.running(dict(zip(plan.stacks, candidate))):
        return generation.bleu(scoring.evaluation, scoring.batches).score


def _row(name: str, r: Ranked, plan: Plan, scoring: Scoring) -> Row:
    accuracy = 100 * r.accuracy if scoring.evaluation.classifies else None
    first, second = map(_finite, r.halves("loss"))
    return Row(name, plan.specs(r.candidate), _finite(r.loss), _finite(r.perplexity), accuracy, first, second)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _cost(plan: Plan, scoring: Scoring, counted: Mapping[str, float]) -> Cost:
    whole = scoring.whole(plan.full)
    sizes = dict(zip(plan.stacks, zip(plan.keep, plan.needed or [()] * len(plan.keep))))
    of_stacks = zip(scoring.evaluation.stacks, map(len, whole))
    counts = [(depth, *sizes.get(name, (depth, ()))) for name, depth in of_stacks]
    depths, keep, needed = zip(*counts)
    apart = search_cost.apart(depths, keep, needed)
    repeats = runs_decoder_repeatedly(scoring.evaluation.model)
    return Cost(
        layer_evaluations=int(counted["layer_evaluations"]),
        seconds=counted["seconds"],
        candidates=count_candidates(plan.depths, plan.keep, plan.needed),
        exhaustive=apart if repeats else search_cost.shared(depths, keep, needed),
        one_by_one=apart,
    )


def _warnings(plan: Plan, ranked: Sequence[Ranked], references: Mapping[str, Ranked]) -> list[str]:
    """Return a line for each difference between candidates that is not larger than that of the data's two halves."""
    every_other = next((r for name, r in references.items() if name.startswith("every_other:")), None)
    best = ranked[0]
    if math.isnan(best.halves("loss")[1]):
        return ["the data make one batch, so what is noise can't be told; make --max-tokens or --batch-size smaller."]
    warnings = []
    if every_other is not None and best.candidate != every_other.candidate:
        warnings += _noise("Every Other", search.difference(best, every_other, plan.metric), plan.metric)
    rest = ranked[1 : search.FINALISTS]
    noisy = [r for r in rest if search.difference(best, r, plan.metric).is_noise]
    if noisy:
        differ = "differs" if len(noisy) == 1 else "differ"
        spread = max(search.difference(best, r, plan.metric).spread for r in noisy)
        warnings.append(
            f"{len(noisy)} of the {len(rest)} next best {differ} from the best by noise: from one half of the data to "
            f"the other, the difference to the best changes by up to {_amount(spread, plan.metric)}."
        )
    return warnings


def _noise(name: str, d: search.Difference, metric: str) -> list[str]:
    if not d.is_noise:
        return []
    return [
        f"the best is better than {name} by {_amount(d.better, metric)}, which is noise: from one half of the data to "
        f"the other, this difference changes by {_amount(d.spread, metric)}; search on more data."
    ]


def _amount(value: float, metric: str) -> str:
    return f"{100 * value:.2f} points" if metric == "accuracy" else f"{value:.4f} bits"


def _second_split(
    plan: Plan,
    scoring: Scoring,
    best: Ranked,
    split: str,
    batches: Sequence[Sample],
    done: Callable[[int], Any],
) -> SecondSplit:
    other = Scoring(scoring.evaluation, plan, batches)
    references = {name: c for name, c in plan.named.items() if name.partition(":")[0] in ON_THE_SECOND_SPLIT}
    shown: dict[str, Candidate] = {"1": best.candidate, **references, "full": plan.full}
    totals = {}
    for candidate in dict.fromkeys(shown.values()):
        totals[candidate] = other.totals(candidate)
        done(1)
    predictions = int(totals[best.candidate].totals[:, 1].sum())
    rows = [_row(rank, totals[c], plan, other) for rank, c in shown.items()]
    return SecondSplit(split, len(batches), predictions, rows)
