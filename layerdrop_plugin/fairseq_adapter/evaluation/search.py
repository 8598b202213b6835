"""Search on Valid (paper, section 3.2.3) for a checkpoint: scores on its task's data, references, a second split."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Callable, NamedTuple

import numpy
import torch

from ... import __version__, layer_spec, search, search_cost
from ...candidates import Candidate, all_candidates, count_candidates, holds, some_candidates
from ...fingerprint import fingerprint
from ...rates import Rates
from ...search import Measure, Ranked
from ...selection import Kept
from ...sweep import name_of
from ..modeling.stacks import learned_rates_of
from ..options.declared import KEEP
from .evaluation import Evaluation, Sample

STRATEGIES = ("exhaustive", "greedy", "racing")
REFERENCES = ("every_other", "first", "last", "learned")


class Plan(NamedTuple):
    """What to search: the stacks whose layers are chosen, how many of each to keep, and how."""

    stacks: tuple[str, ...]
    depths: tuple[int, ...]
    keep: tuple[int, ...]
    strategy: str
    metric: str
    candidates: tuple[Candidate, ...]  # to begin with; greedy makes its own
    held: Mapping[str, Kept] = {}  # by stack that --model-overrides prunes, the checkpoint's layers that are left
    overrides: Mapping[str, Any] = {}  # what it says
    learned: Mapping[str, Rates] = {}  # by stack that learned them, the layers' drop rates
    needed: tuple[Kept, ...] = ()  # by stack, layers without which the model can't be built
    estimates: Mapping[str, int] = {}  # by strategy, about how many layer evaluations it takes

    @property
    def full(self) -> Candidate:
        """All layers."""
        return tuple(tuple(range(depth)) for depth in self.depths)

    @property
    def named(self) -> dict[str, Candidate]:
        """Every Other, first K, last K, and the layers of the lowest learned rates if the rates were learned.

        A candidate without a needed layer is left out.
        """
        names = [n for n in REFERENCES if n != "learned" or all(stack in self.learned for stack in self.stacks)]
        references = {
            f"{name}:{name_of(self.keep)}": tuple(
                layer_spec.parse(f"{name}:{keep}", depth, learned_rates=self.learned.get(stack))
                for stack, depth, keep in zip(self.stacks, self.depths, self.keep)
            )
            for name in names
        }
        return {name: candidate for name, candidate in references.items() if holds(candidate, self.needed)}

    def specs(self, candidate: Candidate) -> dict[str, str]:
        """Return the specification of each stack, in layers of the checkpoint."""
        return {
            stack: layer_spec.describe([self.held[stack][i] for i in kept] if stack in self.held else kept)
            for stack, kept in zip(self.stacks, candidate)
        }

    def model_overrides(self, candidate: Candidate) -> str:
        """Return what to give to `--model-overrides`."""
        return str({**self.overrides, **{KEEP[stack]: spec for stack, spec in self.specs(candidate).items()}})


def plan(
    evaluation: Evaluation,
    stack: str | None,
    keep: Sequence[int],
    strategy: str | None,
    metric: str,
    batches: int,
) -> Plan:
    """Return what to search.

    Args:
        stack: "encoder", "decoder" or "both"; None takes all that the model has.
        keep: one number for every stack, or one for each.
        strategy: None chooses exhaustive where it is short, or racing not much shorter, else racing.

    Raises:
        ValueError: one line: the model has no such stack, or not so many layers.
    """
    has = tuple(evaluation.stacks)
    stacks = has if stack in (None, "both") else (str(stack),)
    if (stack == "both" and len(has) < 2) or stacks[0] not in has:
        raise ValueError(f"`--stack` must be one that can be pruned, {' or '.join(has)}, but is {stack!r} instead.")
    depths = tuple(len(evaluation.stacks[name]) for name in stacks)
    if len(keep) not in (1, len(stacks)):
        each = f", or one for each of {len(stacks)} stacks" if len(stacks) > 1 else f" for the {stacks[0]}"
        raise ValueError(f"`--keep` must be one number{each}, but is {name_of(keep)!r}.")
    counts = tuple(keep) * (len(stacks) if len(keep) == 1 else 1)
    for name, depth, k in zip(stacks, depths, counts):
        if k > depth:
            raise ValueError(f"`--keep` must be at most the {name}'s depth, {depth}, but is {k} instead.")
    if metric == "accuracy" and not evaluation.classifies:
        raise ValueError("`--metric accuracy` must go with a task that classifies sentences, but this one does not.")
    needed = tuple(evaluation.needed.get(name, ()) for name in stacks)
    estimates = _estimates(evaluation, dict(zip(stacks, counts)), batches)
    chosen = strategy or search_cost.default_strategy(estimates)
    candidates = _first_candidates(chosen, depths, counts, needed, evaluation)
    learned = learned_rates_of(evaluation.stacks)
    given = (evaluation.held, evaluation.overrides)
    return Plan(stacks, depths, counts, chosen, metric, candidates, *given, learned, needed, estimates)


def _estimates(evaluation: Evaluation, keep: Mapping[str, int], batches: int) -> dict[str, int]:
    """Return about how many layer evaluations each strategy takes, those of stacks that keep all layers included."""
    depths = {name: len(stack) for name, stack in evaluation.stacks.items()}
    counts = [keep.get(name, depth) for name, depth in depths.items()]
    needed = [evaluation.needed.get(name, ()) if name in keep else () for name in depths]
    return search_cost.estimates(list(depths.values()), counts, needed, batches)


def _first_candidates(
    strategy: str, depths: Sequence[int], keep: Sequence[int], needed: Sequence[Kept], evaluation: Evaluation
) -> tuple[Candidate, ...]:
    number = count_candidates(depths, keep, needed)
    if strategy == "greedy":
        return ()
    if strategy == "racing":
        return tuple(some_candidates(depths, keep, search.MOST, evaluation.cfg.common.seed, needed))
    if number > search.TOO_MANY:
        raise ValueError(
            f"`--strategy exhaustive` must not have more than {search.TOO_MANY:,} candidates, but has {number:,}."
        )
    return tuple(all_candidates(depths, keep, needed))


class Scoring:
    """Scores of candidates on numbered batches of one split.

    Args:
        evaluation: of the model.
        plan: names the stacks; the layers of the others all run.
        batches: on the CPU.

    Attributes:
        counters: how many `layer_evaluations` it took, and how many `seconds`.
    """

    def __init__(self, evaluation: Evaluation, plan: Plan, batches: Sequence[Sample]) -> None:
        self.evaluation, self.plan, self.batches = evaluation, plan, batches
        self.counters: dict[str, float] = {}

    @torch.no_grad()
    def __call__(self, batch: int, candidates: Sequence[Candidate]) -> Iterator[tuple[float, int, int]]:
        """Yield the loss in bits, the count and the correct ones of each candidate, which are sorted."""
        started = time.perf_counter()
        sample = self.evaluation.to_device(self.batches[batch])
        results = self.evaluation.results(sample)
        for candidate in candidates:
            before = results.layer_evaluations
            tally = results.result(self.whole(candidate))
            self._count("layer_evaluations", results.layer_evaluations - before)
            self._count("seconds", time.perf_counter() - started)
            yield tally.loss, tally.count, tally.correct
            started = time.perf_counter()

    def _count(self, name: str, more: float) -> None:
        self.counters[name] = self.counters.get(name, 0) + more

    def whole(self, candidate: Candidate) -> Candidate:
        """Return the layers of every stack of the model, all of those that are not searched."""
        chosen = dict(zip(self.plan.stacks, candidate))
        return tuple(chosen.get(name, tuple(range(len(s)))) for name, s in self.evaluation.stacks.items())

    def totals(self, candidate: Candidate) -> Ranked:
        """Return one candidate's totals over all batches."""
        sums = numpy.zeros((2, 3))
        for batch in range(len(self.batches)):
            sums[batch % 2] += next(self(batch, [candidate]))
        return Ranked(candidate, sums)


def run(plan: Plan, measure: Measure, batches: int) -> list[Ranked]:
    """Search; return the candidates that were scored on all batches, the best first."""
    if plan.strategy == "greedy":
        return search.greedy(measure, plan.depths, plan.keep, batches, plan.metric, plan.needed)
    strategy: Callable[..., list[Ranked]] = search.racing if plan.strategy == "racing" else search.exhaustive
    return strategy(measure, plan.candidates, batches, plan.metric)


def work(plan: Plan, batches: int) -> int:
    """Return how many times a candidate is scored on a batch in all, for a progress bar."""
    if plan.strategy == "greedy":
        total, current = 0, list(plan.depths)
        while current != list(plan.keep):  # the order in which stacks shrink is not known: take the encoder first
            total += sum(n for n, k in zip(current, plan.keep) if n > k) * batches
            shrinks = next(s for s, (n, k) in enumerate(zip(current, plan.keep)) if n > k)
            current[shrinks] -= 1
        return total or batches
    if plan.strategy == "exhaustive":
        return len(plan.candidates) * batches
    total, alive, before = 0, len(plan.candidates), 0
    for size in search.rounds(batches):
        total += alive * (size - before)
        before, alive = size, search.left(alive)
    return total


def chosen_batches(evaluation: Evaluation, subset: str, number: int | None) -> list[Sample]:
    """Return the batches of a split in an order drawn by `--seed`, the first `number` of them."""
    batches = evaluation.batches(subset, search.ROUNDS_FROM)
    random.Random(evaluation.cfg.common.seed).shuffle(batches)
    return batches[:number]


def settings(
    plan: Plan, evaluation: Evaluation, path: str, model_overrides: str, subset: str, batches: Sequence[Sample]
) -> dict[str, Any]:
    """Return what the result of a search depends on, ready for JSON."""
    contents = hashlib.blake2b(digest_size=8)
    for batch in batches:
        contents.update(_content(batch))
    return {
        "version": __version__,
        "checkpoint": fingerprint(path),
        "model_overrides": model_overrides,
        "fp16": bool(evaluation.cfg.common.fp16),
        "split": subset,
        "batches": contents.hexdigest(),
        "seed": evaluation.cfg.common.seed,
        "stacks": list(plan.stacks),
        "keep": list(plan.keep),
        "strategy": plan.strategy,
        "metric": plan.metric,
    }


def names(batches: Sequence[Sample]) -> list[str]:
    """Return a name for each batch, by what it holds."""
    return [hashlib.blake2b(_content(batch), digest_size=8).hexdigest() for batch in batches]


def _content(sample: Sample) -> bytes:
    parts = {**sample["net_input"], **{name: sample.get(name) for name in ("id", "target", "prev_target")}}
    return b"".join(parts[name].numpy().tobytes() for name in sorted(parts) if isinstance(parts[name], torch.Tensor))
