"""scripts/benchmarks/depths.py: what fairseq-generate printed becomes a table."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "benchmarks"))
depths = pytest.importorskip("depths", reason="sacrebleu is not installed")

QUALITY = """\
| trained | 6+6 | 3+3 | training |
| --- | --- | --- | --- |
| p = 0 | 40.0 | 10.0 (25%) | 10 min |
| at each depth (3) | 38.0 | 37.0 (97%) | 8 min |
| a model for each depth |  | 37.5 | 6 min |
"""
SPEED = """\
| layers | parameters | sentences/s, p = 0 | sentences/s, at each depth (3) | sentences/s, a model for each depth |
| --- | --- | --- | --- | --- |
| 6+6 | 2,000 | 100 | 101 |  |
| 3+3 | 1,000 | 200 | 190 | 180 |
"""
ROWS = [
    ("0", 6, 2000, 40.0, 100.0),
    ("0", 3, 1000, 10.0, 200.4),
    ("depths", 6, 2000, 38.0, 101.0),
    ("depths", 3, 1000, 37.0, 190.0),
    ("small", 3, 1000, 37.5, 179.6),
]


def output(lines, speed):
    log = f"num. model params: 1,234,567 (num. trained: 0)\n2 sentences, {speed} sentences/s, 70.0 tokens/s)\n"
    return log + "".join(f"H-{i}\t-0.5\t▁{text}\nD-{i}\t-0.5\t{text}\n" for i, text in lines)


def test_each_depth_stands_beside_the_same_models_full_depth_and_beside_small_models():
    rows = [depths.Row(*row) for row in ROWS]
    labels = {model: depths.label(model, "3") for model in ("0", "depths", "small")}
    assert depths.quality(rows, labels, {"0": 590.0, "depths": 500.0, "small": 360.0}) == QUALITY
    assert depths.speed(rows, labels) == SPEED


def test_rates_come_first_and_full_depth_before_the_others(tmp_path):
    for place in ("small/3.1", "depths/3.1", "depths/6.2", "0.5/6.1", "0/3.1", "0/6.1", "0/6.2"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / f"{place}.txt").write_text("")
    assert depths.found(tmp_path) == [
        *(("0", 6), ("0", 3), ("0.5", 6)),
        *(("depths", 6), ("depths", 3), ("small", 3)),
    ]


def test_translations_are_put_in_order_and_the_speed_is_the_median(tmp_path):
    folder = tmp_path / "0.2"
    folder.mkdir()
    for repeat, speed in (("1", 10.0), ("2", 90.0), ("3", 12.5)):
        lines = [(1, "ein Hund läuft über die Wiese"), (0, "zwei Männer sind im Freien")]
        (folder / f"6.{repeat}.txt").write_text(output(lines, speed), encoding="utf-8")
    references = ["zwei Männer sind im Freien", "ein Hund läuft über die Wiese"]
    row = depths.read(folder, 6, references, depths.BLEU())
    assert row._replace(bleu=round(row.bleu, 6)) == ("0.2", 6, 1_234_567, 100.0, 12.5)
    assert depths.found(tmp_path) == [("0.2", 6)]


def test_a_missing_translation_is_refused(tmp_path):
    (tmp_path / "6.1.txt").write_text(output([(0, "a")], 1.0), encoding="utf-8")
    with pytest.raises(SystemExit, match=r"6\.\* must hold 2 translations, not 1\."):
        depths.read(tmp_path, 6, ["a", "b"], depths.BLEU())
