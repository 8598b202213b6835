"""How much each layer of a checkpoint matters (paper, figure 5): losses without it, and how much it changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Callable

from ... import importance
from ...candidates import Candidate
from ...importance import LayerImportance
from .evaluation import Tally
from .hidden_states import cosine_distances
from .sweep import Subject, losses_by_batch


def work(subjects: Sequence[Subject], swept: Sequence[str], samples: int) -> int:
    """Return how many batches the models go through in `measure`, for a progress bar.

    Raises:
        ValueError: one line: a model reads sound, whose layers get another length than their input has.
    """
    for subject in subjects:
        source = subject.batches[0]["net_input"].get("src_tokens")
        if source is None or source.is_floating_point():
            raise ValueError(f"`--importance` must be for models that read words, but {subject.label} reads sound.")
    return sum((1 + len(_candidates(s, swept, _networks(s, swept, samples)))) * len(s.batches) for s in subjects)


def measure(
    subjects: Sequence[Subject],
    swept: Sequence[str],
    samples: int,
    done: Callable[[int], Any] = lambda count: None,
) -> list[LayerImportance]:
    """Return a row for each layer of the swept stacks of each checkpoint.

    The sub-networks are drawn by fairseq's `--seed`.
    """
    rows: list[LayerImportance] = []
    for subject in subjects:
        networks = _networks(subject, swept, samples)
        wanted = _candidates(subject, swept, networks)
        tallies = losses_by_batch(subject.evaluation, subject.batches, wanted, done)
        losses = {c: sum(t.loss for t in some) / sum(t.count for t in some) for c, some in tallies.items()}
        distances = cosine_distances(subject.evaluation, subject.batches, done)
        of = (subject.label, subject.depths, swept, networks, losses, distances, subject.needed)
        rows += importance.rows(*of, _errors(subject, tallies))
    return rows


def _errors(subject: Subject, tallies: Mapping[Candidate, Sequence[Tally]]) -> dict[Candidate, float | None]:
    """Return the standard error of the difference of each candidate's loss to the full model's."""
    full = tallies[importance.full(list(subject.depths.values()))]
    counts, whole = [t.count for t in full], [t.loss for t in full]
    return {c: importance.error_of_difference([t.loss for t in some], whole, counts) for c, some in tallies.items()}


def _networks(subject: Subject, swept: Sequence[str], samples: int) -> list[Candidate]:
    numbers = [i for i, name in enumerate(subject.depths) if name in swept]
    seed = subject.evaluation.cfg.common.seed
    return importance.random_halves(list(subject.depths.values()), numbers, samples, seed, subject.needed)


def _candidates(subject: Subject, swept: Sequence[str], networks: Sequence[Candidate]) -> list[Candidate]:
    """Return the full model, the model without each layer, and the sub-networks, each once."""
    depths = list(subject.depths.values())
    candidates = [importance.full(depths), *networks]
    for stack, name in enumerate(subject.depths):
        for layer in range(depths[stack] if name in swept else 0):
            left_out = importance.without(depths, stack, layer, subject.needed)
            candidates += [] if left_out is None else [left_out]
    return list(dict.fromkeys(candidates))
