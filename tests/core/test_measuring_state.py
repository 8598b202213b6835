"""The state file of a search."""

from __future__ import annotations

import hashlib
import json
import os
import re

import pytest
from shared.measured_scores import CANDIDATES, SETTINGS, Scores, measure, path, strategy  # noqa: F401  fixtures

from layerdrop_plugin import measuring, search
from layerdrop_plugin.measuring import Measuring, read_state


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(search, "FINALISTS", 2)


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
    assert state["settings"] == SETTINGS
    assert state["counters"] == {"scored": 12}
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

    monkeypatch.setattr(measuring.atomic.os, "fsync", full)
    with pytest.raises(ValueError) as error:
        one.save()
    assert (
        str(error.value) == f"`state` must be a file that can be written, but {path} can't be: No space left on device."
    )
    assert read_state(path) == before
    assert os.listdir(os.path.dirname(path)) == ["state.json"]


def test_nothing_to_save(path):
    measure(Scores(), path).save()
    assert not os.path.exists(path)
    without = measure(Scores())
    without(CANDIDATES, [0])
    without.save()
    without.forget()


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
    assert str(error.value) == f"`resume` must go on with the same search, but {said}."


def test_no_state(path):
    with pytest.raises(ValueError) as error:
        read_state(path, SETTINGS)
    assert str(error.value) == f"`resume` must find the state of an interrupted search, but {path} does not exist."


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
    assert str(error.value) == f"`state` must be the state of an interrupted search, but {path} is not."


def test_bytes_that_are_no_text_and_a_folder(tmp_path):
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x80")
    for bad in (tmp_path / "bytes", tmp_path):
        with pytest.raises(ValueError) as error:
            read_state(str(bad), {})
        assert str(error.value) == f"`state` must be the state of an interrupted search, but {bad} is not."


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
    assert str(error.value) == f"`state` must be as the search left it, but {path} was changed."
