"""Scoring that is interrupted and taken up again: the same sums bit for bit, and nothing is scored twice."""

import hashlib
import json
import math
import os
import random
import re
import sys
from functools import partial

import numpy
import pytest

from layerdrop_plugin import measuring, search
from layerdrop_plugin.measuring import Measuring, read_state
from layerdrop_plugin.search import all_candidates

SETTINGS = {"checkpoint": "1:a", "keep": [2], "strategy": "racing"}
CANDIDATES = all_candidates([4], [2])
BATCHES = 5
STRATEGIES = {
    "exhaustive": lambda measure: search.exhaustive(measure, CANDIDATES, BATCHES, "loss"),
    "racing": lambda measure: search.racing(measure, CANDIDATES, BATCHES, "loss"),
    "greedy": lambda measure: search.greedy(measure, [3, 2], [1, 1], 3, "loss"),
}


class Scores:
    """Made-up scores with digits to the last bit; Ctrl-C is hit in place of number `interrupted_at`."""

    def __init__(self, interrupted_at=None):
        self.interrupted_at = interrupted_at
        self.done = []
        self.counters = {}

    def __call__(self, batch, candidates):
        for candidate in candidates:
            if len(self.done) == self.interrupted_at:
                raise KeyboardInterrupt
            self.done.append((batch, candidate))
            self.counters["scored"] = self.counters.get("scored", 0) + 1
            draw = random.Random(f"{batch} {candidate}")
            yield draw.uniform(10, 20) / 3, draw.randrange(1, 9), draw.randrange(3)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(search, "FINALISTS", 2)


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "state.json")


def measure(scores, path=None, state=None, **options):
    found = Measuring(scores, path, SETTINGS, state, **options)
    scores.counters = found.counters
    return found


def plain(ranked):
    """What a strategy returned, to be compared bit for bit."""
    return [(r.candidate, r.totals.tolist()) for r in ranked]


@pytest.fixture(params=STRATEGIES)
def strategy(request):
    return STRATEGIES[request.param]


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
    monkeypatch.setattr(measuring.whole_files.os, "fsync", lambda file: None)  # it takes long
    scores = Scores()
    expected = plain(strategy(measure(scores)))
    for number in range(1, len(scores.done)):
        with pytest.raises(KeyboardInterrupt):
            strategy(measure(Scores(interrupted_at=number), path))
        second = Scores()
        assert plain(strategy(measure(second, path, read_state(path, SETTINGS)))) == expected
        assert second.done == scores.done[number:]
        os.unlink(path)


def test_the_state_is_saved_now_and_then_only(path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(measuring.time, "monotonic", lambda: clock[0])
    saved = []

    def scores(batch, candidates):
        for _ in candidates:
            clock[0] += 4.0
            yield 1.0, 1, 0
            saved.append(os.path.exists(path) and len(read_state(path)["calls"][0]["partial"]))

    Measuring(scores, path)(CANDIDATES, [0])
    assert saved == [False, False, 3, 3, 3, 6]  # more than ten seconds after the last time


def test_saving_that_takes_long_is_done_less_often(path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(measuring.time, "monotonic", lambda: clock[0])
    dump = json.dumps
    monkeypatch.setattr(json, "dumps", lambda state: clock.__setitem__(0, clock[0] + 2.0) or dump(state))

    def scores(batch, candidates):
        for _ in candidates:
            clock[0] += 11.0
            yield 1.0, 1, 0

    one = Measuring(scores, path)
    one(CANDIDATES, [0])
    assert len(read_state(path)["calls"][0]["partial"]) == 5  # at 11 s; then it waits for 40 s


def test_a_state_that_is_saved_is_whole_and_alone(path):
    one = measure(Scores(), path)
    one(CANDIDATES, [0, 1])
    one.save()
    assert os.listdir(os.path.dirname(path)) == ["state.json"]
    with open(path) as file:
        state = json.load(file)
    assert sorted(state) == ["calls", "checksum", "counters", "settings"]
    assert state["settings"] == SETTINGS and state["counters"] == {"scored": 12}
    assert [(call["done"], call["partial"]) for call in state["calls"]] == [(2, [])]
    one.forget()
    assert os.listdir(os.path.dirname(path)) == []
    one.forget()  # somebody else has removed it: no error


def test_a_state_that_cannot_be_saved_leaves_the_one_before(path, monkeypatch):
    one = measure(Scores(), path)
    one(CANDIDATES, [0])
    one.save()
    before = read_state(path)
    one(CANDIDATES, [1])

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(measuring.whole_files.os, "fsync", full)
    with pytest.raises(ValueError) as error:
        one.save()
    assert (
        str(error.value) == f"`--state` must be a file that can be written, but {path} can't: No space left on device."
    )
    assert read_state(path) == before and os.listdir(os.path.dirname(path)) == ["state.json"]


def test_nothing_to_save(path):
    measure(Scores(), path).save()
    assert not os.path.exists(path)
    without = measure(Scores())
    without(CANDIDATES, [0])
    without.save()
    without.forget()


def test_a_state_is_left_as_it_was_read(path):
    one = measure(Scores(interrupted_at=8), path)
    with pytest.raises(KeyboardInterrupt):
        one(CANDIDATES, range(BATCHES))
    one.save()
    state = read_state(path)
    before = json.dumps(state)
    results = [plain(STRATEGIES["exhaustive"](measure(Scores(), path, state))) for _ in range(2)]
    assert results[0] == results[1] and json.dumps(state) == before


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


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("checkpoint", "2:b", "`checkpoint` was '1:a' and is '2:b'"),
        ("keep", [3], "`keep` was [2] and is [3]"),
        ("strategy", "greedy", "`strategy` was 'racing' and is 'greedy'"),
        ("new", 1, "`new` was None and is 1"),
    ],
)
def test_a_state_of_another_search(path, name, value, said):
    one = measure(Scores(), path)
    one(CANDIDATES, [0])
    one.save()
    assert read_state(path, {**SETTINGS, "keep": (2,)})["settings"] == SETTINGS  # as JSON has it
    with pytest.raises(ValueError) as error:
        read_state(path, {**SETTINGS, name: value})
    assert str(error.value) == f"`--resume` must go on with the same search, but {said}."


def test_no_state(path):
    with pytest.raises(ValueError) as error:
        read_state(path, SETTINGS)
    assert str(error.value) == f"`--resume` must find the state of an interrupted search, but {path} does not exist."


GOOD = {
    "settings": SETTINGS,
    "counters": {"seconds": 1.5},
    "calls": [{"done": 1, "sums": [[[1, 2, 3]] * 2], "partial": []}],
}


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "3", "null", '"text"', "{}", '{"settings": {}}', '{"settings": {}, "calls": []}', "\0\1\2"),
        json.dumps({"checksum": "", **GOOD, "settings": [1]}),
        json.dumps({"checksum": "", **GOOD, "counters": [1]}),
        json.dumps({"checksum": "", **GOOD, "counters": {"seconds": "many"}}),
        json.dumps({"checksum": "", **GOOD, "calls": {"a": 1}}),
        json.dumps({"checksum": "", **GOOD, "calls": [{}]}),
        json.dumps({"checksum": "", **GOOD, "calls": [{**GOOD["calls"][0], "done": None}]}),
        json.dumps({"checksum": "", **GOOD, "calls": [{**GOOD["calls"][0], "sums": [[1, 2], [3]]}]}),
        json.dumps({"checksum": "", **GOOD, "calls": [{**GOOD["calls"][0], "partial": [["a", "b", "c"]]}]}),
        json.dumps({"checksum": "", **GOOD, "calls": [{**GOOD["calls"][0], "partial": [[1, 2]]}]}),
        json.dumps(GOOD)[:-20],
    ],
)
def test_what_is_no_state(path, text):
    with open(path, "w") as file:
        file.write(text)
    with pytest.raises(ValueError) as error:
        read_state(path, {})
    assert str(error.value) == f"`--state` must be the state of an interrupted search, but {path} is none."


def test_bytes_that_are_no_text_and_a_folder(tmp_path):
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x80")
    for path in (tmp_path / "bytes", tmp_path):
        with pytest.raises(ValueError) as error:
            read_state(str(path), {})
        assert str(error.value) == f"`--state` must be the state of an interrupted search, but {path} is none."


def test_the_least_that_is_a_state(path):
    with open(path, "w") as file:
        json.dump({"checksum": checksum(GOOD), **GOOD}, file)
    assert read_state(path, SETTINGS) == GOOD


def checksum(state):
    return hashlib.blake2b(json.dumps(state).encode(), digest_size=8).hexdigest()


def test_a_state_changed_by_hand(path):
    one = measure(Scores(), path)
    one(CANDIDATES, [0])
    one.save()
    with open(path) as file:
        text = file.read()
    with open(path, "w") as file:
        file.write(re.sub(r'"done": 1\b', '"done": 2', text))
    with pytest.raises(ValueError) as error:
        read_state(path, SETTINGS)
    assert str(error.value) == f"`--state` must be as the search left it, but {path} was changed."


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


def test_one_worker_of_a_group(one_worker, path):
    scores = Scores()
    found = plain(STRATEGIES["racing"](measure(scores, path)))
    assert found == plain(STRATEGIES["racing"](measure(Scores())))
