"""What the state of another search differs in, as an error says it."""

from __future__ import annotations

import json

import pytest

from layerdrop_plugin.cli.search_settings import differences, no_state_of

NOW = {
    "version": "1.1",
    "checkpoint": "9:aa",
    "model_overrides": "{}",
    "fp16": False,
    "split": "valid",
    "batches": "bb",
    "seed": 1,
    "stacks": ["encoder", "decoder"],
    "keep": [6, 3],
    "strategy": "greedy",
    "metric": "loss",
}


@pytest.mark.parametrize(
    ("before", "clauses"),
    [
        ({}, []),
        ({"checkpoint": "8:aa", "version": "1.0"}, ["another checkpoint", "version 1.0, not 1.1"]),
        ({"batches": "cc"}, ["other batches"]),
        ({"batches": "cc", "seed": 2}, ["--seed 2, not 1"]),
        ({"batches": "cc", "split": "test"}, ["--gen-subset test, not valid"]),
        ({"fp16": True, "stacks": ["decoder"]}, ["--fp16 on, not left out", "--stack decoder, not encoder+decoder"]),
        ({"keep": "--speedup 2", "strategy": None}, ["--speedup 2, not 6+3", "--strategy left out, not greedy"]),
        ({"metric": "accuracy"}, ["--metric accuracy, not loss"]),
    ],
)
def test_differences(before, clauses):
    assert differences({**NOW, **before}, NOW) == clauses


def test_no_state(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("layerdrop-search-0a.json", "layerdrop-search-00000000.json"):
        (tmp_path / name).write_text("{}", encoding="utf-8")  # another name, and no state
    assert no_state_of("mine.json", NOW) == (
        "`--resume` must find the state of an interrupted search, but mine.json does not exist."
    )


def test_the_nearest_states_come_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number, before in enumerate(({"seed": 2, "keep": [2, 2]}, {"seed": 2}, {"keep": [1, 1]}, {"keep": [3, 3]})):
        text = json.dumps({"settings": {**NOW, **before}})
        (tmp_path / f"layerdrop-search-{number}{number:07}.json").write_text(text, encoding="utf-8")
    assert no_state_of("mine.json", NOW) == (
        "`--resume` must go on with the same search, but layerdrop-search-10000001.json is of one with --seed 2, not "
        "1; layerdrop-search-20000002.json is of one with --keep 1+1, not 6+3; layerdrop-search-30000003.json is of "
        "one with --keep 3+3, not 6+3, and 1 more: give the options of that search, or leave --resume out."
    )
