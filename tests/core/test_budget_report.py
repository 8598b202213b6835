"""The Pareto front of a search within a budget."""

from __future__ import annotations

from layerdrop_plugin.budget_report import Row, with_pareto


def row(split, loss, seconds, accuracy=None):
    return Row(split, "best", {}, 10, None, loss, None, accuracy, None, 2.0, 2.1, seconds, 5)


def front(rows, metric="loss"):
    return [r.split for r in with_pareto(rows, metric) if r.pareto]


def test_what_no_other_row_beats():
    assert front([row("a", 2.0, 4.0), row("b", 2.5, 3.0), row("c", 2.6, 3.5), row("d", None, 1.0)]) == ["a", "b", "d"]
    assert front([row("a", 2.0, 4.0), row("b", 2.0, 3.0)]) == ["b"]
    assert front([row("a", 2.0, 3.0), row("b", 2.0, 3.0)]) == ["a", "b"]  # the same set, named twice


def test_accuracy_is_better_when_higher():
    rows = [row("a", 2.0, 4.0, 60.0), row("b", 1.0, 5.0, 50.0)]
    assert front(rows, "accuracy") == ["a"]
    assert front(rows) == ["a", "b"]


def test_what_was_not_measured_is_no_column():
    assert list(row("a", 2.0, 0.5).as_json()) == [
        *("split", "choice", "parameters", "loss", "perplexity", "promised_speedup", "speedup"),
        *("sentences_per_second", "pareto"),
    ]
    assert row("a", 2.0, 0.5).as_json()["sentences_per_second"] == 2.0
