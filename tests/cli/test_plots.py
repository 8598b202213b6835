"""Figures: what goes into them, and that they are drawn."""

from __future__ import annotations

import importlib.util
import math

import pytest

from layerdrop_plugin.cli import plots
from layerdrop_plugin.importance import LayerImportance
from layerdrop_plugin.sweep_report import Measured, Row


def row(checkpoint, strategy, depth, **values):
    measured = Measured(**{"parameters": 9, "loss": 3.0, "accuracy": None, "bleu": None, "tokens_per_second": 100.0,
                           "peak_memory": None, **values})  # fmt: skip
    depths = map(int, depth.split("+"))
    kept = {stack: tuple(range(number)) for stack, number in zip(("encoder", "decoder"), depths)}
    return Row(checkpoint, strategy, kept, measured, measured)


ROWS = [
    row("a", "full", "4+4"),
    row("a", "first", "2+2", loss=12.0),
    row("a", "last", "2+2", loss=math.nan),
    row("a", "first", "3+1", tokens_per_second=150.0),
    row("b", "full", "2+2"),
]


def test_each_checkpoint_and_strategy_is_a_line_up_to_full_depth():
    depths = {key: [r.depth for r in line] for key, line in plots.curves(ROWS).items()}
    assert depths == {
        ("a", "first"): ["2+2", "3+1", "4+4"],
        ("a", "last"): ["2+2", "4+4"],
        ("b", "full"): ["2+2"],
    }


def test_what_is_smaller_in_one_stack_is_not_joined():
    line = [row("a", "first", depth) for depth in ("6+3", "6+6", "12+3", "12+6")]
    joined, loose = plots.chain(line)
    assert [r.depth for r in joined] == ["6+3", "6+6", "12+6"]
    assert [r.depth for r in loose] == ["12+3"]


def test_how_many_layers_a_depth_is():
    assert [plots.layers(row("a", "first", depth)) for depth in ("12", "6+3")] == [12, 9]


@pytest.mark.parametrize("quality", ["perplexity", "accuracy", "bleu"])
def test_a_sweep_is_drawn(quality):
    pytest.importorskip("matplotlib")
    rows = ROWS
    if quality != "perplexity":
        rows = [r._replace(measured=r.measured._replace(**{quality: r.measured.perplexity})) for r in ROWS]
    assert plots.sweep(rows, "valid, 9 tokens", "evaluation on cpu").startswith(b"\x89PNG\r\n")


def test_a_dollar_in_a_name_is_no_formula():
    pytest.importorskip("matplotlib")
    assert plots.sweep([row("$b^$", "full", "2"), row("a", "full", "2")], "$b^$", "").startswith(b"\x89PNG\r\n")


def test_importance_is_drawn():
    pytest.importorskip("matplotlib")
    rows = [
        LayerImportance(name, stack, layer, 1.0, None, 2.0, None, 0.5)
        for name in ("a", "b")
        for stack in ("encoder", "decoder")
        for layer in range(2)
    ]
    assert plots.importance(rows, "valid, 9 tokens").startswith(b"\x89PNG\r\n")


def test_what_can_not_be_drawn_is_refused_at_once(monkeypatch):
    with pytest.raises(ValueError) as error:
        plots.check("figure.pdf", "--plot")
    assert str(error.value) == "`--plot` must be a file that ends in .png, but is 'figure.pdf' instead."
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "matplotlib" else 1 / 0)
    with pytest.raises(ValueError) as error:
        plots.check("figure.png", "--importance")
    assert str(error.value) == "`--importance` needs matplotlib: pip install matplotlib."
