"""The Pareto front of a search within a budget."""

from __future__ import annotations

from dataclasses import replace

from layerdrop_plugin.budget_report import Row, uneven_speeds, with_pareto


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


def test_sets_that_cost_the_same_and_differ_in_speed():
    def timed(split, speedup, tokens):
        return replace(row(split, 2.0, 1.0), speedup=speedup, tokens=tokens)

    full = timed("4", 1.0, 100)
    assert uneven_speeds([full, timed("2", 1.59, 100), timed("1", 1.59, 100), timed("2", 1.28, 100)], 0.05) == [
        "sets of 2 layers cost the same, but ran 1.28 and 1.59 times as fast as the full model: the machine was busy, "
        "or the batches too few; the stars of the Pareto front go by such times."
    ]
    assert uneven_speeds([full, timed("2", 1.28, 100), timed("2", 1.34, 100)], 0.05) == []
    assert uneven_speeds([full, timed("2", 1.28, 120), timed("2", 1.59, 100)], 0.05) == []  # 20% more tokens
    assert uneven_speeds([full, timed("2", 1.28, 100), timed("2", 1.59, 120)], 0.05) != []  # the faster has more


def test_what_was_not_measured_is_no_column():
    assert list(row("a", 2.0, 0.5).as_json()) == [
        *("split", "choice", "parameters", "loss", "perplexity", "promised_speedup", "speedup"),
        *("sentences_per_second", "pareto"),
    ]
    assert row("a", 2.0, 0.5).as_json()["sentences_per_second"] == 2.0
