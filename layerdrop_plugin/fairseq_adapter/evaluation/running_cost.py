"""Measure what a model with only some of its layers costs: parameters, time, memory."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Sequence
from typing import Any, Callable, NamedTuple

import torch

from ... import peak_memory
from ...candidates import Candidate
from . import generation
from .evaluation import Evaluation, Sample, Tally


class FirstPass(NamedTuple):
    """What one pass over some batches gives."""

    total: Tally
    bleu: generation.Bleu | None
    peak_memory: int | None  # bytes, weights that do not run included; None where the system does not tell


class Turn(NamedTuple):
    """A model to be timed, the layers of it that run, and the batches, on the CPU."""

    evaluation: Evaluation
    candidate: Candidate
    batches: Sequence[Sample]


class Timed(NamedTuple):
    """What a turn's batches took: the tokens and the seconds of each."""

    tokens: Sequence[int]
    seconds: Sequence[float]


Step = Callable[[Turn, int], "tuple[int, float]"]


def first_pass(turn: Turn, with_bleu: bool) -> FirstPass:
    """Evaluate the batches, then, with BLEU, translate them; the memory is that of the latter."""
    with _running(turn):
        watched = peak_memory.reset(turn.evaluation.device)
        tallies = [turn.evaluation.tally(turn.evaluation.to_device(batch)) for batch in turn.batches]
        bleu = None
        if with_bleu:
            watched = peak_memory.reset(turn.evaluation.device)
            bleu = generation.bleu(turn.evaluation, turn.batches)
        peak = peak_memory.read(turn.evaluation.device) if watched else None
    return FirstPass(Tally(*map(sum, zip(*tallies))), bleu, peak)


def tokens_per_second(
    turns: Sequence[Turn], repeats: int, translating: bool, done: Callable[[int], Any] = lambda count: None
) -> list[float]:
    """Return how many tokens each of the turns evaluates, or generates, in a second, measured in alternation.

    All turns run a batch before the next batch comes, every second time in the opposite order. So a slow moment of
    the machine does not hit one turn alone. For each batch, the median of `repeats` times counts.
    The time is the model's alone: reading data, moving it to a GPU and making text of tokens do not count.
    Tokens are those of `tokens_in`, or the generated ones.

    Args:
        done: is called with 1 after each batch.
    """
    step = generation.time_generation if translating else evaluate
    timed = in_alternation(turns, repeats, lambda turn, number: step(turn.evaluation, turn.batches[number]), done)
    return [sum(tokens) / sum(seconds) for tokens, seconds in timed]


def in_alternation(
    turns: Sequence[Turn], repeats: int, step: Step, done: Callable[[int], Any] = lambda count: None
) -> list[Timed]:
    """Return for each turn the tokens and the seconds of each batch, measured as `tokens_per_second` says.

    Args:
        step: runs one batch of a turn, by its number, while the turn's layers run; returns tokens and seconds.
    """
    seconds: dict[tuple[int, int], list[float]] = {}
    tokens: dict[tuple[int, int], int] = {}
    for repeat in range(repeats):
        for number in range(max(len(turn.batches) for turn in turns)):
            order = [i for i, turn in enumerate(turns) if number < len(turn.batches)]
            for i in order if (repeat + number) % 2 == 0 else order[::-1]:
                with _running(turns[i]):
                    tokens[i, number], taken = step(turns[i], number)
                seconds.setdefault((i, number), []).append(taken)
                done(1)
    return [
        Timed(
            [tokens[i, number] for number in range(len(turn.batches))],
            [statistics.median(seconds[i, number]) for number in range(len(turn.batches))],
        )
        for i, turn in enumerate(turns)
    ]


def tokens_in(batches: Sequence[Sample]) -> int:
    """Return how many tokens the batches' targets have, or, where a model reads only, as RoBERTa does, their inputs."""
    return sum(int(batch["ntokens"]) for batch in batches)


def parameters(evaluation: Evaluation, candidate: Candidate) -> int:
    """Return how many parameters the model has that is pruned to these layers."""
    return sum(t.numel() for t in _in_use(evaluation, candidate) if isinstance(t, torch.nn.Parameter))


def bytes_in_use(evaluation: Evaluation, candidate: Candidate) -> int:
    """Return the size of all parameters and buffers of the model that is pruned to these layers."""
    return sum(t.numel() * t.element_size() for t in _in_use(evaluation, candidate))


def _running(turn: Turn) -> Any:
    return turn.evaluation.running(dict(zip(turn.evaluation.stacks, turn.candidate)))


def evaluate(evaluation: Evaluation, batch: Sample) -> tuple[int, float]:
    """Return how many tokens a batch has, and how many seconds their evaluation took."""
    sample = evaluation.to_device(batch)
    generation.wait_for(evaluation.device)
    start = time.perf_counter()
    evaluation.tally(sample)
    generation.wait_for(evaluation.device)
    return tokens_in([batch]), time.perf_counter() - start


def _in_use(evaluation: Evaluation, candidate: Candidate) -> list[torch.Tensor]:
    """Return the parameters and buffers of the layers that run, and of all that is outside the stacks."""
    idle: set[torch.nn.Module] = set()
    for stacks in evaluation.all_stacks.values():
        for stack, kept in zip(stacks.values(), candidate):
            for layer in set(range(len(stack))) - set(kept):
                idle.update(stack[layer].modules())
    return _tensors(module for module in evaluation.model.modules() if module not in idle)


def _tensors(modules: Iterable[torch.nn.Module]) -> list[torch.Tensor]:
    """Return parameters and buffers; one that is shared, for example with the output layer, comes once."""
    tensors: dict[int, torch.Tensor] = {}
    for module in modules:
        for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
            tensors[id(tensor)] = tensor
    return list(tensors.values())
