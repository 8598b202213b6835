"""scripts/benchmarks/depths.py: what fairseq-generate printed becomes a table."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "benchmarks"))
depths = pytest.importorskip("depths", reason="sacrebleu is not installed")

TABLE = """\
| layers kept | parameters | BLEU, p = 0 | of full | sentences/s | BLEU, p = 0.5 | of full | sentences/s |
|---|---|---|---|---|---|---|---|
| 6+6 | 2,000 | 40.0 | 100% | 100 | 20.0 | 100% | 90 |
| 3+3 | 1,000 | 10.0 | 25% | 200 | 19.0 | 95% | 180 |"""


def output(lines, speed):
    log = f"num. model params: 1,234,567 (num. trained: 0)\n2 sentences, {speed} sentences/s, 70.0 tokens/s)\n"
    return log + "".join(f"H-{i}\t-0.5\t▁{text}\nD-{i}\t-0.5\t{text}\n" for i, text in lines)


def test_the_table_puts_each_depth_beside_the_same_models_full_depth():
    rows = [(0.0, 3, 1000, 10.0, 200.4), (0.0, 6, 2000, 40.0, 100.0), (0.5, 6, 2000, 20.0, 90.0)]
    assert depths.table([depths.Row(*row) for row in [*rows, (0.5, 3, 1000, 19.0, 179.6)]]) == TABLE


def test_a_depth_that_one_model_lacks_stays_empty():
    rows = [depths.Row(0.0, 6, 2000, 40.0, 100.0), depths.Row(0.5, 3, 1000, 20.0, 90.0)]
    assert depths.table(rows).splitlines()[2:] == [
        "| 6+6 | 2,000 | 40.0 | 100% | 100 | | | |",
        "| 3+3 | 1,000 | | | | 20.0 | 100% | 90 |",
    ]


def test_translations_are_put_in_order_and_the_speed_is_the_median(tmp_path):
    folder = tmp_path / "0.2"
    folder.mkdir()
    for repeat, speed in (("1", 10.0), ("2", 90.0), ("3", 12.5)):
        lines = [(1, "ein Hund läuft über die Wiese"), (0, "zwei Männer sind im Freien")]
        (folder / f"6.{repeat}.txt").write_text(output(lines, speed), encoding="utf-8")
    references = ["zwei Männer sind im Freien", "ein Hund läuft über die Wiese"]
    row = depths.read(folder, 6, references, depths.BLEU())
    assert row._replace(bleu=round(row.bleu, 6)) == (0.2, 6, 1_234_567, 100.0, 12.5)
    assert depths.found(tmp_path) == [("0.2", "6")]


def test_a_missing_translation_is_refused(tmp_path):
    (tmp_path / "6.1.txt").write_text(output([(0, "a")], 1.0), encoding="utf-8")
    with pytest.raises(SystemExit, match=r"6\.\* must hold 2 translations, not 1\."):
        depths.read(tmp_path, 6, ["a", "b"], depths.BLEU())
