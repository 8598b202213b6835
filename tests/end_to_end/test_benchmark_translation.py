"""scripts/benchmarks/translation.sh in its tiny form."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.recipe


def test_it_ends_with_a_table_and_a_plot(recipe, tmp_path):
    small = {"RATES": "0 0.5", "DEPTHS": "6 3"}
    done = recipe("benchmarks/translation", tmp_path, UPDATES="10", **small)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines() if "|" in line]
    assert rows[0][2:] == ["BLEU, p = 0", "of full", "sentences/s", "BLEU, p = 0.5", "of full", "sentences/s"]
    assert [row[0] for row in rows[2:4]] == ["6+6", "3+3"]
    full, half = (int(row[1].replace(",", "")) for row in rows[2:4])
    assert full - half == 3 * (1_696 + 2_816)  # an encoder and a decoder layer of width 16, FFN 16
    assert (tmp_path / "scores.png").stat().st_size > 10_000
    again = recipe("benchmarks/translation", tmp_path, UPDATES="10", **small)
    assert "train: there already" in again.stderr
    assert again.stdout == done.stdout


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"TINY": ""}, "DATA must be a folder with {train,valid,test}.{en,de}, but is ''."),
        ({"DEPTHS": "6 9"}, "DEPTHS must be from 1 to 6, but one is '9'."),
        ({"RATES": "0 a"}, "RATES must be from 0 to 1, but one is 'a'."),
    ],
)
def test_bad_settings_are_one_line_before_anything_is_done(recipe, tmp_path, settings, message):
    done = recipe("benchmarks/translation", tmp_path, status=2, **settings)
    assert done.stderr == f"translation: {message}\n"
    assert not (tmp_path / "done/prepare").exists()
