"""Scores that are kept: used again by the next search, and by a resumed one."""

from __future__ import annotations

import json

import pytest
from shared.measured_scores import CANDIDATES, STRATEGIES, Scores, measure, path, strategy  # noqa: F401  fixtures

from layerdrop_plugin.kept_scores import KeptScores, read_scores

MODEL = {"checkpoint": "1:a"}

NAMES = [f"batch-{i}" for i in range(5)]


def kept(scores, path=None, state=None, names=NAMES):
    found = KeptScores(scores, path, MODEL, names, lambda candidate: candidate, state)
    scores.counters = found.counters
    return found


def equal(one, other):
    return [(r.candidate, r.totals.tolist()) for r in one] == [(r.candidate, r.totals.tolist()) for r in other]


def test_the_result_is_the_same(strategy):
    assert equal(strategy(kept(Scores())), strategy(measure(Scores())))


def test_nothing_is_scored_twice(path):
    first = Scores()
    keeping = kept(first, path)
    found = STRATEGIES["exhaustive"](keeping)
    keeping.save()
    assert len(first.done) == 30  # 6 sets, 5 batches
    again = Scores()
    other = kept(again, path, read_scores(path))
    assert equal(STRATEGIES["racing"](other), STRATEGIES["racing"](measure(Scores())))
    assert again.done == []
    assert other.counted() == {"scored": 30}
    assert equal(STRATEGIES["exhaustive"](other), found)


def test_other_batches_of_the_same_name_are_the_same_batch(path):
    keeping = kept(Scores(), path)
    keeping(CANDIDATES, range(5))
    keeping.save()
    scores = Scores()
    kept(scores, path, read_scores(path), [*NAMES[:2], "new"])(CANDIDATES, range(3))
    assert {batch for batch, _ in scores.done} == {2}


@pytest.mark.parametrize("at", [0, 3, 7, 29])
def test_an_interruption_loses_no_score(path, at):
    scores = Scores(interrupted_at=at)
    keeping = kept(scores, path)
    with pytest.raises(KeyboardInterrupt):
        STRATEGIES["exhaustive"](keeping)
    keeping.save()
    rest = Scores()
    found = STRATEGIES["exhaustive"](kept(rest, path, read_scores(path)))
    assert equal(found, STRATEGIES["exhaustive"](measure(Scores())))
    assert len(scores.done) + len(rest.done) == 30


def test_what_can_not_be_used(path):
    def message():
        with pytest.raises(ValueError) as error:
            read_scores(path, "--state")
        return str(error.value)

    no_scores = f"`--state` must be a file that a search keeps its scores in, but {path} is not."
    assert message() == no_scores
    for text in ("", "[]", "{}", '{"checksum": "", "settings": {}, "counters": {}, "scores": {"a": {"0": [1, 2]}}}'):
        with open(path, "w") as file:
            file.write(text)
        assert message() == no_scores
    keeping = kept(Scores(), path)
    keeping(CANDIDATES, range(2))
    keeping.save()
    assert read_scores(path, "--state")["settings"] == MODEL
    with open(path) as file:
        state = json.load(file)
    state["scores"]["batch-0"]["0,1"][0] = 0.0
    with open(path, "w") as file:
        json.dump(state, file)
    assert message() == f"`--state` must be as the search left it, but {path} was changed."
