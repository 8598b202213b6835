"""The best set of layers that a search knows before it ends."""

from __future__ import annotations

import pytest
from shared.measured_scores import (
    CANDIDATES,
    STRATEGIES,
    Scores,
    measure,
    path,  # noqa: F401  fixtures
)

from layerdrop_plugin import search
from layerdrop_plugin.measuring import Measuring, read_state


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(search, "FINALISTS", 2)


def best(losses, calls, interrupted_at=None, metric="loss"):
    """The best so far of calls on (candidates, batches) with given losses per candidate and batch; count is 1."""
    done = []

    def scores(batch, candidates):
        for (kept,) in candidates:
            if len(done) == interrupted_at:
                raise KeyboardInterrupt
            done.append(kept)
            yield losses[kept[0]][batch], 1, 0

    one = Measuring(scores)
    try:
        for kept, batches in calls:
            one([((i,),) for i in kept], batches)
    except KeyboardInterrupt:
        pass
    found = one.best_so_far(metric)
    return None if found is None else (found.candidate[0][0], found.loss)


LOSSES = {0: [5.0, 1.0, 6.0, 0.0], 1: [3.0, 5.0, 1.0, 0.0], 2: [1.0, 9.0, 0.0, 0.0]}


@pytest.mark.parametrize(
    ("interrupted_at", "expected"),
    [
        (0, None),
        (1, (0, 5.0)),  # in the first batch: of those that were scored
        (2, (1, 3.0)),
        (3, (2, 1.0)),
        (4, (2, 1.0)),  # in the second: by the first
        (5, (2, 1.0)),
        (6, (0, 3.0)),  # means of two: 3, 4, 5
        (7, (0, 3.0)),  # the next call, of 0 and 1: what is known of them counts
        (8, (1, 3.0)),  # means of three: 4, 3
        (9, (1, 2.25)),  # the end
    ],
)
def test_the_best_so_far(interrupted_at, expected):
    calls = [([0, 1, 2], [0, 1]), ([0, 1], [2]), ([1], [3])]
    assert best(LOSSES, calls, interrupted_at) == expected


def test_the_best_so_far_between_two_calls():
    calls = [([0, 1, 2], [0, 1]), ([0, 1], [2])]
    assert [best(LOSSES, calls[:count]) for count in (1, 2)] == [(0, 3.0), (1, 3.0)]


def test_the_best_so_far_before_any_call():
    assert best(LOSSES, []) is None


def test_the_best_so_far_of_another_set_in_each_call():
    """As greedy asks: nothing is known yet of the sets of a later call."""
    losses = {0: [1.0, 1.0], 1: [2.0, 2.0], 2: [4.0, 4.0], 3: [3.0, 0.0]}
    calls = [([0, 1], [0, 1]), ([2, 3], [0, 1])]
    assert [best(losses, calls, n) for n in (4, 5, 6, 7, 8)] == [None, (2, 4.0), (3, 3.0), (3, 3.0), (3, 1.5)]


def test_the_best_so_far_right_after_going_on(path):
    """What goes on asks for the first calls again, while the state holds later ones, of fewer candidates."""
    first = measure(Scores(interrupted_at=11), path)
    with pytest.raises(KeyboardInterrupt):
        STRATEGIES["racing"](first)
    first.save()
    resumed = measure(Scores(), path, read_state(path))
    resumed(CANDIDATES, [0])  # six, where the last call in the state has two
    assert resumed.best_so_far("loss").totals[:, 1].sum() > 0


def test_the_best_so_far_by_accuracy():
    def scores(batch, candidates):
        yield from [(1.0, 4, 2), (9.0, 4, 3), (2.0, 4, 3)][: len(candidates)]

    one = Measuring(scores)
    one(CANDIDATES[:3], [0])
    assert one.best_so_far("accuracy").candidate == CANDIDATES[2]
    assert one.best_so_far("loss").candidate == CANDIDATES[0]
