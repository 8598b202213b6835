"""scripts/benchmarks/translation.sh in its tiny form."""

from __future__ import annotations

import re

import pytest

pytestmark = pytest.mark.recipe


def test_it_ends_with_tables_and_a_plot(recipe, tmp_path):
    settings = {"RATES": "0.5", "TRAIN_DEPTHS": "3", "SMALL": "3", "DEPTHS": "6 3", "UPDATES": "4"}
    done = recipe("benchmarks/translation", tmp_path, **settings)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines() if "|" in line]
    assert rows[0] == ["trained", "6+6", "3+3", "training"]
    assert [row[0] for row in rows[2:5]] == ["p = 0.5", "at each depth (3)", "a model for each depth"]
    assert rows[4][1] == ""
    full, half = (int(row[1].replace(",", "")) for row in rows[7:9])
    assert full - half == 3 * (1_696 + 2_816)  # an encoder and a decoder layer of width 16, FFN 16
    logs = [(tmp_path / f"evaluate/{name}.1.txt").read_text() for name in SAME]
    sizes = [re.findall(r"model params: ([\d,]+)", log)[-1] for log in logs]
    assert len(set(sizes)) == 1
    assert (tmp_path / "scores.png").stat().st_size > 10_000
    again = recipe("benchmarks/translation", tmp_path, **settings)
    assert "train: there already" in again.stderr
    assert again.stdout == done.stdout


SAME = ("0.5/3", "depths/3", "small/3")
"""Evaluations of models of one size: two are pruned, one was trained with 3 + 3 layers."""


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"TINY": ""}, "DATA must be a folder with {train,valid,test}.{en,de}, but is ''."),
        ({"DEPTHS": "6 9"}, "DEPTHS must be from 1 to 6, but one is '9'."),
        ({"SMALL": "3 6"}, "SMALL must be from 1 to 5, but one is '6'."),
        ({"RATES": "0 a"}, "RATES must be from 0 to 1, but one is 'a'."),
    ],
)
def test_bad_settings_are_one_line_before_anything_is_done(recipe, tmp_path, settings, message):
    done = recipe("benchmarks/translation", tmp_path, status=2, **settings)
    assert done.stderr == f"translation: {message}\n"
    assert not (tmp_path / "done/prepare").exists()
