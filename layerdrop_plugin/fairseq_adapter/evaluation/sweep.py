"""A sweep over depths of one checkpoint or several, each loaded once: loss, BLEU, speed and memory of each point."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, Callable, NamedTuple

import torch

from ... import layer_spec, selection
from ...candidates import Candidate
from ...depths import Depth
from ...dropping import LayerDropStack
from ...importance import full
from ...selection import Kept
from ...sweep import Depths, Point
from ...sweep_report import Measured, Measurements, Row, rows
from .evaluation import Evaluation, Sample, Tally, majority
from .running_cost import FirstPass, Turn, bytes_in_use, first_pass, parameters, tokens_in, tokens_per_second

Done = Callable[[int], Any]
"""Is called with how many batches a model went through."""


class Subject(NamedTuple):
    """A checkpoint: its name in the results, its model, the batches, on the CPU, and what to measure."""

    label: str
    evaluation: Evaluation
    batches: Sequence[Sample]
    points: Sequence[Point]

    @property
    def candidates(self) -> list[Candidate]:
        """The sets of layers of all points; two strategies may keep the same."""
        return list(dict.fromkeys(point.kept for point in self.points))

    @property
    def depths(self) -> dict[str, int]:
        """The number of layers of each stack, in the order in which the stacks run."""
        return {name: len(stack) for name, stack in self.evaluation.stacks.items()}

    @property
    def needed(self) -> list[Kept]:
        """By stack, the layers without which the model can't be built."""
        return [self.evaluation.needed.get(name, ()) for name in self.evaluation.stacks]


def swept(depths: Mapping[str, Mapping[str, int]], stack: str | None) -> list[str]:
    """Return which stacks lose layers: "encoder", "decoder" or "both"; None takes all that the models have.

    Args:
        depths: by the models' labels, the depth of each stack.

    Raises:
        ValueError: one line: a model has no such stack, or not the stacks that the others have.
    """
    label, first = next(iter(depths.items()))
    for other, has in depths.items():
        if list(has) != list(first):
            raise ValueError(
                f"`--compare` must hold models with the same stacks, but {label} has {' and '.join(first)}, "
                f"and {other} has {' and '.join(has)}."
            )
    wanted = list(first) if stack is None else ["encoder", "decoder"] if stack == "both" else [stack]
    if not set(wanted) <= set(first):
        raise ValueError(f"`--stack` must be one that can be pruned, {' or '.join(first)}, but is {stack!r} instead.")
    return wanted


def trained_depths(stacks: Mapping[str, LayerDropStack], swept: Sequence[str]) -> tuple[list[Depths], list[str]]:
    """Return the depths of the swept stacks that a model was trained at (`--layerdrop-depths`), but the full one.

    A depth of other layers than a sweep's is left out: for each there is a line that says why.
    """
    trained = next((stack.dropping.depths for stack in stacks.values()), ())
    shown: list[Depths] = []
    left_out: list[str] = []
    for depth in trained[1:]:
        if depth.share == 0.0:
            continue
        others = [name for name, stack in stacks.items() if depth.kept[name] != _swept(name, depth, len(stack), swept)]
        numbers = tuple(len(depth.kept[name]) for name in swept)
        if others:
            wanted = (
                f"every_other:{len(depth.kept[others[0]])}"
                if others[0] in swept
                else f"all, as the {others[0]} is not swept"
            )
            layers = layer_spec.describe(depth.kept[others[0]])
            left_out.append(
                f"the trained depth {depth.name} is left out: its {others[0]} layers are {layers}, not {wanted}"
            )
        else:
            shown.append(numbers[:1] if len(set(numbers)) == 1 else numbers)
    return shown, left_out


def _swept(name: str, depth: Depth, full: int, swept: Sequence[str]) -> Kept:
    """Return the layers of a stack that a sweep runs at as many layers as a trained depth has."""
    return selection.every_other(full, len(depth.kept[name])) if name in swept else tuple(range(full))


def some_batches(evaluation: Evaluation, subset: str, number: int | None) -> list[Sample]:
    """Return the batches of a split, or `number` of them, drawn by `--seed`, in fairseq's order."""
    batches = evaluation.batches(subset)
    if number is None or number >= len(batches):
        return batches
    chosen = random.Random(evaluation.cfg.common.seed).sample(range(len(batches)), number)
    return [batches[i] for i in sorted(chosen)]


def check_same_data(subjects: Sequence[Subject]) -> None:
    """Refuse models that take other data, by their tasks' options: their losses could not be compared.

    Raises:
        ValueError: one line.
    """
    tokens_of = {s.label: tokens_in(s.batches) for s in subjects}
    first = subjects[0].label
    for label, tokens in tokens_of.items():
        if tokens != tokens_of[first]:
            raise ValueError(
                f"`--compare` must hold models that take the same data, but {first} takes {tokens_of[first]:,} tokens, "
                f"and {label} takes {tokens:,}."
            )


def work(subjects: Sequence[Subject], repeats: int, with_bleu: bool) -> int:
    """Return how many batches the models go through in `measure`, for a progress bar."""
    return sum((1 + with_bleu + repeats) * len(s.batches) * len(s.candidates) for s in subjects)


def measure(
    subjects: Sequence[Subject], repeats: int, with_bleu: bool, done: Done = lambda count: None
) -> Measurements:
    """Return a row for each point of each checkpoint, and on what they were measured.

    Speed (with BLEU, that of generation) is measured last, when everything is warm. Memory is an estimate for a
    process that runs the pruned checkpoint alone: the peak during a pass over the data, minus all loaded weights that
    did not run, those of other subjects included. The peak is that of tensors on a GPU, of the process on the CPU.
    """
    turns = [Turn(s.evaluation, candidate, s.batches) for s in subjects for candidate in s.candidates]
    first = []
    for turn in turns:
        first.append(first_pass(turn, with_bleu))
        done((1 + with_bleu) * len(turn.batches))
    speeds = tokens_per_second(turns, repeats, with_bleu, done)
    loaded = sum(bytes_in_use(s.evaluation, full(list(s.depths.values()))) for s in subjects)
    measured = [_measured(turn, one, speed, loaded) for turn, one, speed in zip(turns, first, speeds)]
    all_rows: list[Row] = []
    for s in subjects:
        of_candidates = {t.candidate: one for t, one in zip(turns, measured) if t.evaluation is s.evaluation}
        all_rows += rows(s.label, list(s.depths), s.points, of_candidates)
    return Measurements(
        batches=len(subjects[0].batches),
        tokens=tokens_in(subjects[0].batches),
        device=device_name(subjects[0].evaluation.device),
        bleu_signature=first[0].bleu.signature if first[0].bleu else None,
        rows=all_rows,
    )


def at_chance(subjects: Sequence[Subject], measured: Sequence[Row]) -> list[str]:
    """Return a line for each classifier that at no depth is right more often than the most frequent class is."""
    lines = []
    for s in subjects if subjects[0].evaluation.classifies else ():
        chance = 100 * majority(s.batches)
        if max(row.measured.accuracy or 0.0 for row in measured if row.checkpoint == s.label) <= chance:
            lines.append(
                f"there is nothing to choose by: {s.label} is at no depth better than to answer the most frequent "
                f"class always ({chance:.2f}%)"
            )
    return lines


@torch.no_grad()
def losses_by_batch(
    evaluation: Evaluation,
    batches: Sequence[Sample],
    candidates: Sequence[Candidate],
    done: Done = lambda count: None,
) -> dict[Candidate, list[Tally]]:
    """Return the sums over each batch of each candidate; they share the layers that they begin with."""
    tallies: dict[Candidate, list[Tally]] = {candidate: [] for candidate in sorted(set(candidates))}

    def add(sample: Sample) -> None:
        results = evaluation.results(sample)
        for candidate, before in tallies.items():
            before.append(results.result(candidate))
            done(1)

    for batch in batches:
        add(evaluation.to_device(batch))
    return tallies


def device_name(device: torch.device) -> str:
    """Return what the speed was measured on."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return "cpu, 1 thread" if threads == 1 else f"cpu, {threads} threads"


def _measured(turn: Turn, first: FirstPass, speed: float, loaded: int) -> Measured:
    total, evaluation = first.total, turn.evaluation
    idle = loaded - bytes_in_use(evaluation, turn.candidate)
    return Measured(
        parameters=parameters(evaluation, turn.candidate),
        loss=total.loss / total.count,
        accuracy=100 * total.correct / total.count if evaluation.classifies else None,
        bleu=first.bleu.score if first.bleu else None,
        tokens_per_second=speed,
        peak_memory=None if first.peak_memory is None else first.peak_memory - idle,
    )
