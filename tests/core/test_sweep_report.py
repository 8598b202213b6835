"""The rows of a sweep, and its report as plain data."""

from __future__ import annotations

import math

from layerdrop_plugin import sweep_report
from layerdrop_plugin.importance import LayerImportance
from layerdrop_plugin.sweep import Point
from layerdrop_plugin.sweep_report import Measured, Measurements, SweepReport

BOTH = ["encoder", "decoder"]


def measured(**values):
    return Measured(**{"parameters": 100, "loss": 3.0, "accuracy": None, "bleu": None, "tokens_per_second": 50.0,
                       "peak_memory": None, **values})  # fmt: skip


def test_rows_relative_to_the_full_model():
    full, half = ((0, 1, 2, 3), (0, 1)), ((0, 2), (0, 1))
    found = sweep_report.rows(
        "small",
        BOTH,
        [Point("full", full), Point("every_other", half)],
        {
            full: measured(bleu=20.0, peak_memory=3 * 2**20),
            half: measured(parameters=60, loss=4.0, bleu=15.0, tokens_per_second=75.0, peak_memory=3 * 2**19),
        },
    )
    full_row, half_row = (row.as_json() for row in found)
    assert list(full_row.values())[:5] == ["small", "full", "4+2", "0,1,2,3", "0,1"]
    assert {value for name, value in full_row.items() if name.endswith("_ratio")} == {1.0}
    assert half_row == {
        **{"checkpoint": "small", "strategy": "every_other", "depth": "2+2", "encoder": "0,2", "decoder": "0,1"},
        **{"parameters": 60, "parameters_ratio": 0.6, "loss": 4.0, "loss_ratio": 4 / 3},
        **{"perplexity": 16.0, "perplexity_ratio": 2.0, "bleu": 15.0, "bleu_ratio": 0.75},
        **{"tokens_per_second": 75.0, "tokens_per_second_ratio": 1.5},
        **{"peak_memory_mib": 1.5, "peak_memory_mib_ratio": 0.5},
    }


def rows_of(points, measurements):
    return [row.as_json() for row in sweep_report.rows("a", ["encoder"], points, measurements)]


def test_rows_where_something_is_missing():
    full, half = ((0, 1),), ((0,),)
    points = [Point("full", full), Point("first", half), Point("last", half)]
    rows = rows_of(points, {full: measured(accuracy=0.0), half: measured(accuracy=50.0)})
    assert [row["strategy"] for row in rows] == ["full", "first", "last"]
    assert (rows[2]["accuracy"], rows[2]["accuracy_ratio"], "perplexity" in rows[2]) == (50.0, None, False)
    assert (rows[2]["peak_memory_mib"], rows[2]["peak_memory_mib_ratio"]) == (None, None)
    rows = rows_of(points[:2], {full: measured(), half: measured(loss=math.nan)})
    assert (rows[1]["loss"], rows[1]["perplexity"], rows[1]["perplexity_ratio"]) == (None, None, None)


def test_equal_sets():
    full, three, other = ((0, 1, 2, 3),), ((0, 1, 2),), ((1, 2, 3),)
    points = [Point("full", full), Point("every_other", three), Point("last", other), Point("first", three)]
    rows = sweep_report.rows("a", ["encoder"], points, dict.fromkeys((full, three, other), measured()))
    rows += sweep_report.rows("b", ["encoder"], points[:3], dict.fromkeys((full, three, other), measured()))
    assert sweep_report.equal_sets(rows) == [("a", "3", ("every_other", "first"))]
    report = SweepReport({"a": "a.pt"}, "valid", 3, Measurements(2, 9, "cpu, 1 thread", None, rows))
    assert report.as_json()["equal"] == [{"checkpoint": "a", "depth": "3", "strategies": ("every_other", "first")}]


def test_a_report_as_plain_data():
    rows = sweep_report.rows("a", ["encoder"], [Point("full", ((0,),))], {((0,),): measured()})
    plain = [row.as_json() for row in rows]
    report = SweepReport({"a": "a.pt"}, "valid", 3, Measurements(2, 9, "cpu, 1 thread", None, rows))
    data = {"checkpoints": {"a": "a.pt"}, "split": "valid", "repeats": 3, "batches": 2, "tokens": 9,
            "device": "cpu, 1 thread", "bleu_signature": None, "rows": plain, "equal": [], "warnings": []}  # fmt: skip
    assert list(report.as_json().items()) == list(data.items())
    layer = LayerImportance("a", "encoder", 0, 1.0, None, 2.0, None, 0.5)
    more = SweepReport(report.checkpoints, "valid", 3, report.measured, [layer])
    assert more.as_json() == {**data, "importance": [layer.as_json()]}
