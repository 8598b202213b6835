"""Results of a command: the table, JSON and CSV, and files that exist."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from argparse import ArgumentParser

import pytest

from layerdrop_plugin.cli import results

ROWS = [
    {"rank": "1", "kept": "0,2", "loss": 5.123456, "right": 7},
    {"rank": "every_other:2", "kept": '0,"1"', "loss": math.nan},
    {"rank": "last:2", "kept": None, "loss": -math.inf, "right": None},
]
DATA = {"best": {"loss": math.nan, "all": [1.0, math.inf, (-math.inf, "é")]}, "ranking": ROWS, "done": True, "n": 3}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def parse(*arguments):
    parser = ArgumentParser()
    results.add_options(parser)
    return parser.parse_args(arguments)


def test_table():
    assert results.table(ROWS, {"loss": "{:.2f}".format}).splitlines() == [
        "rank           kept   loss  right",
        "1              0,2    5.12      7",
        'every_other:2  0,"1"   nan      -',
        "last:2         -      -inf      -",
    ]


def test_a_table_without_rows():
    assert results.table([], {}) == ""


def test_columns_in_the_order_in_which_rows_bring_them_up():
    assert results.columns([{"b": 1}, {"a": 1, "b": 2}, {}, {"c": 0}]) == ["b", "a", "c"]


def test_a_table_that_is_too_wide_loses_what_it_can_spare():
    row = {"kept": "0,2", "a" * 30: 1, "b" * 30: 2, "c" * 30: 3}
    text, left_out = results.fitting([row], {}, ["b" * 30, "a" * 30])
    assert left_out == ["b" * 30]
    assert text.splitlines()[0].split() == ["kept", "a" * 30, "c" * 30]
    row["d"] = 4  # goes first, and comes back, as it is narrow
    text, left_out = results.fitting([row], {}, ["d", "b" * 30, "a" * 30])
    assert left_out == ["b" * 30]
    assert results.fitting([{"kept": "0,2", "loss": 1.5}], {}, ["loss"]) == ("kept  loss\n0,2    1.5", [])


def test_text_that_is_too_wide_goes_on_below():
    rows = [{"rank": "1", "encoder": "10,11,12,13,14,15", "loss": 2.5}, {"rank": "2", "encoder": "10", "loss": 3.5}]
    assert results.table(rows, {}, 23).splitlines() == [
        "rank  encoder    loss",
        "1     10,11,12,   2.5",
        "      13,14,15",
        "2     10          3.5",
    ]
    both = {"rank": "1", "encoder": "0,1,2,3,4,5", "decoder": "0,1,2,3,4,5", "loss": 2.5}
    assert results.table([both], {}, 30).splitlines() == [
        "rank  encoder   decoder   loss",
        "1     0,1,2,3,  0,1,2,3,   2.5",
        "      4,5       4,5",
    ]
    (wide, _) = results.fitting([{"layers": "1" * 100, "loss": 2.5}], {}, [])
    assert [len(line) for line in wide.splitlines()] == [80, 80, 26]


def test_csv_is_read_again():
    text = results.as_csv(ROWS)
    assert text.splitlines()[0] == "rank,kept,loss,right"
    assert list(csv.DictReader(io.StringIO(text))) == [
        {"rank": "1", "kept": "0,2", "loss": "5.123456", "right": "7"},
        {"rank": "every_other:2", "kept": '0,"1"', "loss": "nan", "right": ""},
        {"rank": "last:2", "kept": "", "loss": "-inf", "right": ""},
    ]


def test_files(folder):
    args = parse("--json", "a.json", "--csv", "a.csv")
    results.check(args)
    results.write(args, DATA, ROWS)
    assert sorted(os.listdir()) == ["a.csv", "a.json"]
    assert (folder / "a.csv").read_text() == results.as_csv(ROWS)
    text = (folder / "a.json").read_text()
    assert text.endswith("}\n")
    assert json.loads(text, parse_constant=pytest.fail) == {  # NaN and Infinity are no JSON
        "best": {"loss": None, "all": [1.0, None, [None, "é"]]},
        "ranking": [
            {"rank": "1", "kept": "0,2", "loss": 5.123456, "right": 7},
            {"rank": "every_other:2", "kept": '0,"1"', "loss": None},
            {"rank": "last:2", "kept": None, "loss": None, "right": None},
        ],
        "done": True,
        "n": 3,
    }
    assert math.isnan(DATA["best"]["loss"])


def test_no_files_unless_asked_for(folder):
    results.check(parse())
    results.write(parse(), DATA, ROWS)
    assert os.listdir() == []


@pytest.mark.parametrize("option", ["--json", "--csv"])
def test_a_file_that_exists_is_kept_unless_forced(folder, option):
    (folder / "old").write_text("old")
    message = f"`{option}` must be a new file, but old exists; --force replaces it."
    for step in (results.check, lambda args: results.write(args, DATA, ROWS)):  # before long work, and after
        with pytest.raises(ValueError) as error:
            step(parse(option, "old"))
        assert str(error.value) == message
    assert (folder / "old").read_text() == "old"
    assert os.listdir() == ["old"]
    forced = parse(option, "old", "--force")
    results.check(forced)
    results.write(forced, DATA, ROWS)
    assert (folder / "old").read_text() != "old"
    assert os.listdir() == ["old"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--json", "no/a"], "`--json` must be in a folder that exists, but is 'no/a' instead."),
        (["--csv", "."], "`--csv` must name a file, no folder or device, but is '.' instead."),
        (["--json", "a", "--csv", "a"], "`--csv` must be another file than --json, but is a too."),
        (["--json", "a", "--csv", "./a", "--force"], "`--csv` must be another file than --json, but is ./a too."),
    ],
)
def test_places_where_nothing_can_be_written(folder, arguments, message):
    with pytest.raises(ValueError) as error:
        results.check(parse(*arguments))
    assert str(error.value) == message


def test_a_folder_that_is_read_only(folder, monkeypatch):
    monkeypatch.setattr(
        os, "access", lambda path, mode: not (path == "." and mode == os.W_OK)
    )  # root may write anywhere
    with pytest.raises(ValueError) as error:
        results.check(parse("--json", "a"))
    assert str(error.value) == "`--json` must be in a folder that can be written, but is 'a' instead."
