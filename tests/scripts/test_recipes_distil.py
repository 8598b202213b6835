"""scripts/recipes/translated.py and distilled.py: what fairseq-generate wrote, made into text and into a table."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "recipes"))
import distilled
import translated

FIRST = """\
S-2\ta b@@ c
T-2\tx
H-2\t-0.25\tz
D-2\t-0.25\tz
P-2\t-0.1 -0.4
S-0\tw w
T-0\ty
H-0\t-1.5e-05\tu@@ v
D-0\t-1.5e-05\tuv
"""
SECOND = """\
S-10\tn
H-10\t-1.0\tm
S-1\to
H-1\t-2.0\t
S-3\tsource without a translation
"""


def test_pairs_are_in_the_order_of_the_data_and_in_pieces():
    """One translation is empty, one is missing."""
    assert translated.pairs([FIRST, SECOND]) == [("w w", "u@@ v"), ("a b@@ c", "z"), ("n", "m")]


def test_text_of_all_shards(tmp_path, monkeypatch, capsys):
    for shard, text in enumerate((FIRST, SECOND)):
        (tmp_path / str(shard)).mkdir()
        (tmp_path / str(shard) / "generate-train.txt").write_text(text)
    out = tmp_path / "text"
    monkeypatch.setattr(sys, "argv", ["translated.py", str(tmp_path), str(out), "--languages", "en", "de"])
    translated.main()
    assert capsys.readouterr().out == "3 translations of 2 shards\n"
    assert (out / "train.en").read_text() == "w w\na b@@ c\nn\n"
    assert (out / "train.de").read_text() == "u@@ v\nz\nm\n"


def test_no_translation_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["translated.py", str(tmp_path), str(tmp_path), "--languages", "en", "de"])
    with pytest.raises(SystemExit) as end:
        translated.main()
    assert end.value.code == f"{tmp_path} must hold what fairseq-generate wrote, but holds no translation."


def test_a_row_of_the_table(tmp_path):
    (tmp_path / "student").mkdir()
    (tmp_path / "student.txt").write_text(
        "Translated 40 sentences (300 tokens) in 0.5s (81.25 sentences/s, 600 tokens/s)\n"
    )
    (tmp_path / "student" / "generate-test.txt").write_text("Generate test with beam=5: BLEU4 = 37.20, 60.1/40.2\n")
    assert distilled.row("student", tmp_path) == "| student | 37.20 | 81.2 |"


def test_a_model_that_was_not_tested_is_one_line(tmp_path):
    with pytest.raises(SystemExit) as end:
        distilled.row("teacher", tmp_path)
    file = tmp_path / "teacher" / "generate-test.txt"
    assert end.value.code == f"{file} must hold what fairseq-generate prints, but has no 'BLEU4 = ([\\d.]+)'."
