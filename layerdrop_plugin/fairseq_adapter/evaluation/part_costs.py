"""Measure what the parts of a model cost, on its device, with these batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import distributed

from ... import cost_model, selection
from ...candidates import Candidate
from ...cost_model import CostModel, Split
from . import generation, replay
from .evaluation import Evaluation, Sample
from .running_cost import Step, Timed, Turn, evaluate, in_alternation

TIMED = 8
"""Speed is measured on at most so many batches."""

REPEATS, ENOUGH = (5, 25), 5.0
"""Each is run at least and at most so many times, as many as `ENOUGH` seconds have room for; the median counts."""


class PartCosts(NamedTuple):
    """What the parts cost in use, in seconds a sentence, and when a batch is scored, in seconds a batch."""

    in_use: CostModel
    scoring: CostModel


def translates(evaluation: Evaluation) -> bool:
    """Return whether the model is used in beam search: encoder layers run once, decoder layers at each step."""
    return len(evaluation.stacks) == 2 and not evaluation.classifies


def check(evaluation: Evaluation) -> None:
    """Refuse, before long work, options of beam search that have no place here.

    Raises:
        ValueError: one line.
    """
    generation.check_options(evaluation, "with a budget")


def measure(evaluation: Evaluation, stacks: Sequence[str], batches: Sequence[Sample], first: bool = True) -> PartCosts:
    """Return what the parts cost; with torch.distributed, all workers get what the first one measures.

    Args:
        stacks: those whose layers are chosen.
        batches: the first of them are timed.
        first: whether this is the first worker.
    """
    costs = [_measure(evaluation, stacks, batches[:TIMED])] if first else [None]
    if distributed.is_available() and distributed.is_initialized():
        distributed.broadcast_object_list(costs)
    assert costs[0] is not None
    return costs[0]


def in_use(evaluation: Evaluation, candidates: Sequence[Candidate], batches: Sequence[Sample]) -> list[Timed]:
    """Return for each candidate, all stacks in it, the tokens and seconds of each batch, as a user's it is run."""
    turns = [Turn(evaluation, candidate, batches) for candidate in candidates]
    step = generation.time_generation if translates(evaluation) else evaluate
    return _repeated(turns, lambda turn, number: step(turn.evaluation, turn.batches[number]))


def sentences_in(batches: Sequence[Sample]) -> int:
    """Return how many sentences the batches have; a language model's samples count as such."""
    return sum(len(batch["id"]) for batch in batches)


def _measure(evaluation: Evaluation, stacks: Sequence[str], batches: Sequence[Sample]) -> PartCosts:
    depths = [len(stack) for stack in evaluation.stacks.values()]
    splits = cost_model.probes(depths, [name in stacks for name in evaluation.stacks])
    candidates = [every_other(evaluation, split) for split in splits]
    evaluated = seconds(evaluation, candidates, batches, translating=False)
    used = seconds(evaluation, candidates, batches, translating=True) if translates(evaluation) else evaluated
    sentences = sentences_in(batches)
    return PartCosts(
        cost_model.fit({split: total / sentences for split, total in zip(splits, used)}),
        cost_model.fit({split: total / len(batches) for split, total in zip(splits, evaluated)}),
    )


def seconds(
    evaluation: Evaluation, candidates: Sequence[Candidate], batches: Sequence[Sample], translating: bool
) -> list[float]:
    """Return what all batches take with each of the candidates; beam search goes the way of the first one."""
    ways: dict[int, replay.Steps] = {}

    def step(turn: Turn, number: int) -> tuple[int, float]:
        batch = turn.batches[number]
        if not translating:
            return evaluate(evaluation, batch)
        return generation.time_generation(evaluation, batch, lambda generator: replay.replay(generator, ways[number]))

    if translating:
        with evaluation.running(dict(zip(evaluation.stacks, candidates[0]))):
            ways.update((number, _way(evaluation, batch)) for number, batch in enumerate(batches))
    turns = [Turn(evaluation, candidate, batches) for candidate in candidates]
    return [sum(one.seconds) for one in _repeated(turns, step)]


def _repeated(turns: Sequence[Turn], step: Step) -> list[Timed]:
    """Return what each turn's batches take, after a first batch of each that warms everything up."""
    first = in_alternation([turn._replace(batches=turn.batches[:1]) for turn in turns], 1, step)
    once = sum(sum(one.seconds) * len(turn.batches) for one, turn in zip(first, turns))
    least, most = REPEATS
    return in_alternation(turns, max(least, min(most, int(ENOUGH / max(once, 1e-9)))), step)


def _way(evaluation: Evaluation, batch: Sample) -> replay.Steps:
    """Return which way beam search goes on a batch with the layers that run."""
    steps: replay.Steps = []
    generation.time_generation(evaluation, batch, lambda generator: replay.record(generator, steps))
    return steps


def every_other(evaluation: Evaluation, split: Split) -> Candidate:
    """Return so many layers of each stack, evenly spaced."""
    return tuple(selection.every_other(len(stack), keep) for stack, keep in zip(evaluation.stacks.values(), split))
