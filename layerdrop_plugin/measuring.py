"""Score many candidates on many batches: long work that workers share, and that can be interrupted and resumed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Callable, NamedTuple

import numpy
import torch
from torch import distributed

from . import atomic
from .candidates import Candidate
from .search import Ranked, Totals, rank

Scores = Callable[[int, Sequence[Candidate]], Iterator[tuple[float, int, int]]]
"""A function from the number of a batch and sorted candidates to the loss in bits, count and correct of each."""

SAVE_EVERY = 10.0  # seconds
SAVE_PAUSE = 20  # times as long as saving took, if that is more


class Measuring:
    """A `search.Measure` that numbers its calls, and does not score again what a state file holds.

    A strategy makes the same calls in the same order each time. So a search that resumes an interrupted
    one takes the sums from its state and scores the rest, with the same result. With torch.distributed,
    each worker scores a share of the candidates, and all workers get all sums; only worker 0 writes the
    state.

    Args:
        path: the state file; None keeps no state.
        settings: what the search depends on; the state file keeps it.
        state: what `read_state` returned, to resume.
        progress: is called with how many candidates were scored, on one batch each.
        option: where the path was given, for errors.

    Attributes:
        counters: what `scores` counts, by name. It adds to this dict, which the state file keeps.
    """

    def __init__(
        self,
        scores: Scores,
        path: str | None = None,
        settings: Mapping[str, Any] = {},
        state: dict[str, Any] | None = None,
        progress: Callable[[int], Any] = lambda count: None,
        option: str = "state",
    ) -> None:
        self.scores, self.path, self.settings, self.progress = scores, path, settings, progress
        self._option = option
        self._rank, self._workers = _place()
        before = state if state is not None else {"counters": {}, "calls": []}
        self.counters: dict[str, float] = dict(before["counters"]) if self._rank == 0 else {}
        self._counted_elsewhere: dict[str, float] = {}  # by the other workers
        self._calls: list[dict[str, Any]] = [{**call, "partial": list(call["partial"])} for call in before["calls"]]
        self._number = 0  # of the next call
        self._known: dict[Candidate, Totals] = {}  # of the calls before
        self._current: _Current | None = None
        self._saved, self._pause = time.monotonic(), SAVE_EVERY

    def __call__(self, candidates: Sequence[Candidate], batches: Sequence[int]) -> Totals:
        """Return the sums over these batches, shape (candidates, 2, 3)."""
        if self._number == len(self._calls):
            self._calls.append({"done": 0, "sums": numpy.zeros((len(candidates), 2, 3)).tolist(), "partial": []})
        call = self._calls[self._number]
        before = numpy.stack([self._known.get(c, numpy.zeros((2, 3))) for c in candidates])
        self._current = _Current(candidates, before, call)
        sums = numpy.array(call["sums"]).reshape(len(candidates), 2, 3)
        self.progress(len(candidates) * call["done"] + len(call["partial"]))
        for batch in list(batches)[call["done"] :]:
            sums[:, batch % 2] += self._all_scores(batch, candidates, call["partial"])
            call.update(done=call["done"] + 1, sums=sums.tolist(), partial=[])
            self._save_now_and_then()
        self._known.update(zip(candidates, before + sums))
        self._number += 1
        return sums

    def _all_scores(self, batch: int, candidates: Sequence[Candidate], partial: list[list[float]]) -> numpy.ndarray:
        """Return the scores on one batch, shape (candidates, 3); `partial` holds the first of them and grows."""
        if self._workers == 1:
            for score in self.scores(batch, candidates[len(partial) :]):
                partial.append(list(score))
                self.progress(1)
                self._save_now_and_then()
            return numpy.array(partial)
        scores = torch.zeros(len(candidates), 3, dtype=torch.float64, device=_device())
        first, last = (len(candidates) * i // self._workers for i in (self._rank, self._rank + 1))
        for place, score in enumerate(self.scores(batch, candidates[first:last]), start=first):
            scores[place] = torch.tensor(score, dtype=torch.float64)
            self.progress(self._workers)
        distributed.all_reduce(scores)  # exact: of each sum, all terms but one are 0
        counted: list[dict[str, float]] = [{} for _ in range(self._workers)]
        distributed.all_gather_object(counted, self.counters)
        self._counted_elsewhere = _together(counted[: self._rank] + counted[self._rank + 1 :])
        return scores.cpu().numpy()

    def counted(self) -> dict[str, float]:
        """Return what was counted by all workers, up to the last batch that all have scored."""
        return _together([self.counters, self._counted_elsewhere])

    def best_so_far(self, metric: str) -> Ranked | None:
        """Return the best candidate of the last call, as far as it was scored; None before any score."""
        if self._current is None:
            return None
        candidates, before, call = self._current
        totals = before + numpy.array(call["sums"]).reshape(before.shape)
        if not totals[:, :, 1].any():
            totals[: len(call["partial"]), 0] = numpy.array(call["partial"]).reshape(-1, 3)
        scored = [i for i in range(len(totals)) if totals[i, :, 1].any()]
        return rank([candidates[i] for i in scored], totals[scored], metric)[0] if scored else None

    def _save_now_and_then(self) -> None:
        if time.monotonic() - self._saved > self._pause:
            self.save()

    def save(self) -> None:
        """Write the state file atomically. With very many candidates that takes seconds, and is done less often."""
        started = time.monotonic()
        if self.path is not None and self._rank == 0 and self._calls:
            state = {"settings": dict(self.settings), "counters": self.counted(), "calls": self._calls}
            with atomic.write_file(self.path, force=True, option=self._option) as file:
                text = json.dumps(state)
                file.write(f'{{"checksum": "{checksum(text)}", {text[1:]}'.encode())
        self._note_saved(started)

    def _note_saved(self, started: float) -> None:
        self._saved = time.monotonic()
        self._pause = max(SAVE_EVERY, SAVE_PAUSE * (self._saved - started))

    def forget(self) -> None:
        """Remove the state file, at the end of the search."""
        if self.path is not None and self._rank == 0:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)


class _Current(NamedTuple):
    """The last call, finished or not."""

    candidates: Sequence[Candidate]
    before: Totals  # of the calls before it
    call: dict[str, Any]


def checksum(text: str) -> str:
    """Return what tells a changed text from the one that was written."""
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def read_state(
    path: str, settings: Mapping[str, Any] | None = None, options: tuple[str, str] = ("state", "resume")
) -> dict[str, Any]:
    """Return the state of a search that was interrupted.

    Args:
        settings: of the search that resumes.
        options: the names of the file and of resuming, for errors.

    Raises:
        ValueError: one line: there is no state, it is damaged, or it is of another search.
    """
    of_state, of_resume = options
    try:
        with open(path, encoding="utf-8") as file:
            state = json.load(file)
        noted = state.pop("checksum")
        before = dict(state["settings"])
        for call in state["calls"]:
            _ = int(call["done"]), [numpy.reshape(call[name], (-1, 3)).astype(float) for name in ("sums", "partial")]
        _ = sum(state["counters"].values(), 0.0)
    except FileNotFoundError:
        raise ValueError(
            f"`{of_resume}` must find the state of an interrupted search, but {path} does not exist."
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError(f"`{of_state}` must be the state of an interrupted search, but {path} is not.") from None
    if noted != checksum(json.dumps(state)):
        raise ValueError(f"`{of_state}` must be as the search left it, but {path} was changed.")
    for name, value in json.loads(json.dumps(dict(settings or {}))).items():
        was = before.get(name)
        if was != value:
            raise ValueError(
                f"`{of_resume}` must go on with the same search, but `{name}` was {was!r} and is {value!r}."
            )
    return dict(state)


def _together(counters: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the sums of counters, by name."""
    return {name: sum(c.get(name, 0) for c in counters) for name in sorted({name for c in counters for name in c})}


def _place() -> tuple[int, int]:
    """Return the number of this worker, and how many workers there are."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def _device() -> str:
    return "cuda" if distributed.get_backend() == "nccl" else "cpu"
