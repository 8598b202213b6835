"""Scoring that is interrupted and taken up again: the same sums bit for bit, and nothing is scored twice."""

from __future__ import annotations

import json
import math
import os
import sys
from functools import partial

import numpy
import pytest
from shared.measured_scores import BATCHES, CANDIDATES, SETTINGS, STRATEGIES, Scores, measure, path, strategy  # noqa: F401  fixtures

from layerdrop_plugin import measuring, search
from layerdrop_plugin.measuring import Measuring, read_state


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(search, "FINALISTS", 2)


def plain(ranked):
    """What a strategy returned, to be compared bit for bit."""
    return [(r.candidate, r.totals.tolist()) for r in ranked]


def test_what_a_strategy_asks_for():
    def total(name):
        scores = Scores()
        STRATEGIES[name](measure(scores))
        return len(scores.done)

    assert total("exhaustive") == 6 * 5
    assert total("racing") == 6 * 1 + 3 * 1 + 2 * 3
    assert total("greedy") == (5 + 4 + 2) * 3  # it takes a layer of the encoder first


def test_sums_are_of_the_halves_of_the_batches():
    scores = Scores()
    sums = measure(scores)(CANDIDATES[:2], [1, 2, 3])
    by_hand = numpy.zeros((2, 2, 3))
    for place, candidate in enumerate(CANDIDATES[:2]):
        for batch in (1, 2, 3):
            by_hand[place, batch % 2] += next(Scores()(batch, [candidate]))
    assert sums.tolist() == by_hand.tolist()
    assert scores.done == [(batch, candidate) for batch in (1, 2, 3) for candidate in CANDIDATES[:2]]


def test_interrupted_after_any_score_and_resumed(strategy, path):
    scores = Scores()
    expected = plain(strategy(measure(scores)))
    total = len(scores.done)
    for number in range(total):
        first = Scores(interrupted_at=number)
        interrupted = measure(first, path)
        with pytest.raises(KeyboardInterrupt):
            strategy(interrupted)
        interrupted.save()
        state = read_state(path, SETTINGS)
        second = Scores()
        resumed = measure(second, path, state)
        assert plain(strategy(resumed)) == expected
        assert first.done + second.done == scores.done  # in order, and nothing twice
        assert resumed.counted() == {"scored": total}


def test_interrupted_again_and_again(strategy, path):
    scores = Scores()
    expected = plain(strategy(measure(scores)))
    state, done = None, []
    while True:
        some = Scores(interrupted_at=2)
        one = measure(some, path, state)
        try:
            found = strategy(one)
        except KeyboardInterrupt:
            one.save()
            state = read_state(path, SETTINGS)
            done += some.done
        else:
            break
    assert plain(found) == expected
    assert done + some.done == scores.done


def test_interrupted_at_any_line_and_resumed(path):
    """Ctrl-C comes between any two lines of `Measuring`, so what is kept must fit together at each."""
    strategy = STRATEGIES["racing"]
    expected = plain(strategy(measure(Scores())))
    names = ("__call__", "_all_scores")
    codes = {getattr(Measuring, name).__code__ for name in names}
    number = 0
    while True:
        lines = iter(range(number))

        def trace(frame, event, arg, lines=lines):
            if frame.f_code not in codes:
                return None
            if event == "line" and next(lines, None) is None:
                sys.settrace(None)
                raise KeyboardInterrupt
            return partial(trace, lines=lines)

        interrupted = measure(Scores(), path)
        before = sys.gettrace()
        sys.settrace(trace)
        try:
            strategy(interrupted)
        except KeyboardInterrupt:
            pass
        else:
            break
        finally:
            sys.settrace(before)
        interrupted.best_so_far("loss")
        interrupted.save()
        state = read_state(path, SETTINGS) if os.path.exists(path) else None
        resumed = measure(Scores(), path, state)
        assert plain(strategy(resumed)) == expected
        resumed.forget()
        number += 1
    assert number > 60


def test_killed_after_any_score_and_resumed(strategy, path, monkeypatch):
    """Nothing is saved at the end, only before: here after every score."""
    monkeypatch.setattr(Measuring, "_save_now_and_then", Measuring.save)
    monkeypatch.setattr(measuring.atomic.os, "fsync", lambda file: None)  # it takes long
    scores = Scores()
    expected = plain(strategy(measure(scores)))
    for number in range(1, len(scores.done)):
        with pytest.raises(KeyboardInterrupt):
            strategy(measure(Scores(interrupted_at=number), path))
        second = Scores()
        assert plain(strategy(measure(second, path, read_state(path, SETTINGS)))) == expected
        assert second.done == scores.done[number:]
        os.unlink(path)


def test_a_state_is_left_as_it_was_read(path):
    one = measure(Scores(interrupted_at=8), path)
    with pytest.raises(KeyboardInterrupt):
        one(CANDIDATES, range(BATCHES))
    one.save()
    state = read_state(path)
    before = json.dumps(state)
    results = [plain(STRATEGIES["exhaustive"](measure(Scores(), path, state))) for _ in range(2)]
    assert results[0] == results[1]
    assert json.dumps(state) == before


def test_losses_that_are_no_numbers_are_kept(path):
    losses = [math.nan, math.inf, 1.0]
    one = Measuring(lambda batch, candidates: iter([(loss, 1, 0) for loss in losses]), path)
    first = one(CANDIDATES[:3], [0])
    one.save()
    second = Measuring(Scores(interrupted_at=0), path, {}, read_state(path))(CANDIDATES[:3], [0])
    assert numpy.array_equal(first, second, equal_nan=True)
    assert one.best_so_far("loss").candidate == CANDIDATES[2]


@pytest.mark.parametrize("number", [0, 4, 9, 12])
def test_progress_adds_up_also_when_resumed(number, path):
    seen = []
    first = measure(Scores(interrupted_at=number), path, progress=seen.append)
    with pytest.raises(KeyboardInterrupt):
        STRATEGIES["racing"](first)
    assert sum(seen) == number
    first.save()
    seen.clear()
    STRATEGIES["racing"](measure(Scores(), path, read_state(path), progress=seen.append))
    assert sum(seen) == 15


def test_one_worker_of_a_group(one_worker, path):
    scores = Scores()
    found = plain(STRATEGIES["racing"](measure(scores, path)))
    assert found == plain(STRATEGIES["racing"](measure(Scores())))
