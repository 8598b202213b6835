"""Scores that outlive a search: another number of layers, budget or strategy uses them again."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, Callable

import numpy

from . import atomic
from .candidates import Candidate
from .measuring import Measuring, Scores, checksum

Known = dict[str, dict[str, list[float]]]
"""By the name of a batch and of a candidate: the loss in bits, the count, and how many are correct."""


class KeptScores(Measuring):
    """A `search.Measure` that scores each candidate once on each batch, in this search and in all others.

    Its state file holds every score. A search that was interrupted makes its calls again, and finds what was scored.
    With torch.distributed all workers know all scores, and worker 0 writes them.

    Args:
        scores, path, settings, option: as for `Measuring`.
        batches: the name of each batch, by what it holds.
        whole: a function from a candidate to the layers of every stack of the model.
        state: what `read_scores` returned; None begins without scores.
    """

    def __init__(
        self,
        scores: Scores,
        path: str | None,
        settings: Mapping[str, Any],
        batches: Sequence[str],
        whole: Callable[[Candidate], Candidate],
        state: dict[str, Any] | None = None,
        option: str = "state",
    ) -> None:
        counters = None if state is None else {"counters": state["counters"], "calls": []}
        super().__init__(scores, path, settings, counters, option=option)
        self._batches, self._whole = batches, whole
        self._scores: Known = {} if state is None else state["scores"]

    def _all_scores(self, batch: int, candidates: Sequence[Candidate], partial: list[list[float]]) -> numpy.ndarray:
        known = self._scores.setdefault(self._batches[batch], {})
        names = [name_of(self._whole(candidate)) for candidate in candidates]
        missing = [(name, c) for name, c in zip(names, candidates) if name not in known]
        self.progress(len(names) - len(missing))
        if missing:
            new: list[list[float]] = _Noting(known, [name for name, _ in missing])
            for name, score in zip(dict(missing), super()._all_scores(batch, [c for _, c in missing], new)):
                known[name] = score.tolist()
        return numpy.array([known[name] for name in names])

    def save(self) -> None:
        """Write the state file atomically."""
        started = time.monotonic()
        if self.path is not None and self._rank == 0:
            state = {"settings": dict(self.settings), "counters": self.counted(), "scores": self._scores}
            text = json.dumps(state)
            with atomic.write_file(self.path, force=True, option=self._option) as file:
                file.write(f'{{"checksum": "{checksum(text)}", {text[1:]}'.encode())
        self._note_saved(started)


class _Noting(list[list[float]]):
    """A list that notes what is appended to it, as scores of candidates in this order."""

    def __init__(self, known: dict[str, list[float]], names: Sequence[str]) -> None:
        super().__init__()
        self._known, self._names = known, names

    def append(self, score: list[float]) -> None:
        self._known[self._names[len(self)]] = score
        super().append(score)


def name_of(candidate: Candidate) -> str:
    """Return how the state file calls a candidate.

    >>> name_of(((0, 2), (1,)))
    '0,2+1'
    """
    return "+".join(",".join(map(str, kept)) for kept in candidate)


def read_scores(path: str, option: str = "state") -> dict[str, Any]:
    """Return the state that `KeptScores` has written, with the settings of the last search that did so.

    Raises:
        ValueError: one line: it can't be read, or it is damaged.
    """
    try:
        with open(path, encoding="utf-8") as file:
            state = json.load(file)
        found = state.pop("checksum")
        state["settings"] = dict(state["settings"])
        for scores in state["scores"].values():
            if scores:
                _ = numpy.array(list(scores.values()), dtype=float).reshape(len(scores), 3)
        _ = sum(state["counters"].values(), 0.0)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError(f"`{option}` must be a file that a search keeps its scores in, but {path} is not.") from None
    if found != checksum(json.dumps(state)):
        raise ValueError(f"`{option}` must be as the search left it, but {path} was changed.")
    return dict(state)
