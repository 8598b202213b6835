"""The plot of a search within a budget."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from layerdrop_plugin.budget_report import Row
from layerdrop_plugin.cli import budget_plot, plot_style


def row(split, choice, loss, speed, pareto=False):
    return Row(split, choice, {}, 9, None, loss, 2**loss, None, None, 1.0, 1.0, 1 / speed, 9, pareto)


ROWS = [
    *(row("6+6", "full", 4.0, 100, True), row("6+3", "best", 4.1, 150, True), row("4+4", "best", 4.1, 150.1)),
    row("6+3", "every_other", 4.2, 150.2),
]
REPORT = SimpleNamespace(
    rows=ROWS, chosen=ROWS[1], device="cpu", metric="loss", budget=SimpleNamespace(kind="speedup", text="1.5")
)


@pytest.mark.parametrize(("path", "start"), [("a.png", b"\x89PNG"), ("b.svg", b"<?xml"), ("c.pdf", b"%PDF")])
def test_the_ending_says_the_format(path, start):
    pytest.importorskip("matplotlib")
    assert budget_plot.draw(REPORT, "valid", path).startswith(start)


def test_names_are_those_of_the_table_and_labels_keep_apart(monkeypatch):
    pytest.importorskip("matplotlib")
    figures = []
    monkeypatch.setattr(plot_style, "image", lambda figure, path: figures.append(figure))
    budget_plot.draw(REPORT, "valid", "a.png")
    (axes,) = figures[0].axes
    plot_style.pyplot().close(figures[0])
    labels = [line.get_label() for line in axes.lines]
    assert labels == ["best at its speed (Pareto front)", "full", "best", "every_other", "recommended: 6+3"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("sentences/s, on cpu", "loss (bits, lower is better)")
    assert axes.get_title() == "Quality and speed, --speedup 1.5, on valid"
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == 4
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])
