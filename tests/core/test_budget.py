"""Budgets: their units, and which model meets them."""

from __future__ import annotations

import pytest

from layerdrop_plugin.budget import Budget, Cost, parse

FULL = Cost(seconds=0.02, parameters=100_000, bytes=500_000)


@pytest.mark.parametrize(
    ("kind", "text", "amount"),
    [
        ("speedup", "2", 2.0),
        ("speedup", "1.5", 1.5),
        ("latency", "10ms", 0.01),
        ("latency", "0.5s", 0.5),
        ("params", "20M", 20_000_000),
        ("params", "1.5B", 1_500_000_000),
        ("params", "12345", 12345),
        ("size", "30MB", 30_000_000),
        ("size", "1.5GB", 1_500_000_000),
        ("size", "800kB", 800_000),
        ("size", "700KB", 700_000),
        ("size", "700K", 700_000),
        ("size", "30M", 30_000_000),
        ("size", "2G", 2_000_000_000),
        ("size", "700000", 700_000),
        ("size", "700000B", 700_000),
        ("max_loss_increase", "2%", 0.02),
        ("max_loss_increase", "0.5%", 0.005),
    ],
)
def test_units(kind, text, amount):
    assert parse(kind, text) == Budget(kind, amount, text)


@pytest.mark.parametrize(
    ("kind", "texts", "rule"),
    [
        ("speedup", ["1", "0", "-2", "2x", "nan", "", "1e3", "2 ", "٢"], "a number above 1 such as 2 or 1.5"),
        ("latency", ["10", "0ms", "10 ms", "10us", "10MS", "ms"], "a time above 0 such as 10ms or 0.5s"),
        ("params", ["20m", "0", "1.5", "20MB", "-1M"], "a whole number of parameters such as 20M or 1.5B"),
        (
            "size",
            ["0", "30mb", "0MB", "30MiB", "30TB", "MB"],
            "a size above 0, in bytes or with kB, MB or GB (10^3, 10^6, 10^9 bytes), such as 30MB or 1.5GB",
        ),
        ("max_loss_increase", ["2", "0%", "-2%", "2 %"], "a percentage above 0 such as 2% or 0.5%"),
    ],
)
def test_what_is_no_budget(kind, texts, rule):
    for text in texts:
        with pytest.raises(ValueError) as error:
            parse(kind, text, "--option")
        assert str(error.value) == f"`--option` must be {rule}, but is {text!r} instead."


@pytest.mark.parametrize(
    ("kind", "text", "just", "not_quite"),
    [
        ("speedup", "2", Cost(0.01, 1, 1), Cost(0.0101, 1, 1)),
        ("latency", "10ms", Cost(0.01, 1, 1), Cost(0.0101, 1, 1)),
        ("params", "50K", Cost(9, 50_000, 1), Cost(9, 50_001, 1)),
        ("size", "0.3MB", Cost(9, 1, 300_000), Cost(9, 1, 300_001)),
    ],
)
def test_at_most_the_budget(kind, text, just, not_quite):
    assert parse(kind, text).is_met(just, FULL)
    assert not parse(kind, text).is_met(not_quite, FULL)
