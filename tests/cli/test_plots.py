"""Figures: what goes into them, and that they are drawn."""

from __future__ import annotations

import importlib.util
import math

import pytest

from layerdrop_plugin.cli import importance_plot, plot_style, plots
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
    assert plots.sweep(rows, "valid, 9 tokens", "evaluation on cpu", "a.png").startswith(b"\x89PNG\r\n")


def test_a_dollar_in_a_name_is_no_formula():
    pytest.importorskip("matplotlib")
    assert plots.sweep([row("$b^$", "full", "2"), row("a", "full", "2")], "$b^$", "", "a.png").startswith(
        b"\x89PNG\r\n"
    )


def figure_of(monkeypatch, draw, *args):
    """The figure that is drawn, and the axes in it."""
    pytest.importorskip("matplotlib")
    figures = []
    monkeypatch.setattr(plot_style, "image", lambda figure, path: figures.append(figure))
    draw(*args, "a.png")
    plot_style.pyplot().close(figures[0])
    return figures[0], figures[0].axes


TWO = [
    row(name, "full" if depth == "6+6" else "every_other", depth, bleu=bleu + better, tokens_per_second=speed)
    for name, better in (("with", 0.0), ("without", 0.2))
    for depth, bleu, speed in (("6+6", 98.0, 2300.0), ("5+5", 97.5, 2310.0), ("3+3", 90.0, 4000.0))
]


def test_depth_runs_from_full_to_few_and_the_axes_say_what_they_show(monkeypatch):
    figure, (by_depth, by_speed) = figure_of(monkeypatch, plots.sweep, TWO, "test", "generation on cpu")
    assert [tick.get_text() for tick in by_depth.get_xticklabels()] == ["6+6", "5+5", "3+3"]
    left, right = by_depth.get_xlim()
    assert left > 12 > 6 > right
    assert by_depth.get_ylabel() == by_speed.get_ylabel() == "BLEU (higher is better)"
    assert by_speed.get_xlabel() == "tokens/s, generation on cpu"
    assert figure.get_suptitle() == "BLEU at each depth, and its speed: test"


def test_labels_keep_apart(monkeypatch):
    """Of two models at 6+6 and 5+5, which are as fast as each other within a pixel or two."""
    _, (_, by_speed) = figure_of(monkeypatch, plots.sweep, TWO, "test", "")
    texts = by_speed.texts
    assert sorted(text.get_text() for text in texts) == ["3+3"] * 2 + ["5+5"] * 2 + ["6+6"] * 2
    boxes = [text.get_window_extent() for text in texts]
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])
    assert [text.get_color() for text in texts] == [plot_style.COLORS[0]] * 3 + [plot_style.COLORS[1]] * 3


def test_lines_that_coincide_can_be_told_apart(monkeypatch):
    rows = [row("a", "full", "4"), row("a", "every_other", "2", loss=4.0), row("a", "first", "2", loss=4.0)]
    _, (by_depth, _) = figure_of(monkeypatch, plots.sweep, rows, "test", "")
    one, other = (line for line in by_depth.lines if line.get_linestyle() != "None")
    assert one.get_ydata().tolist() == other.get_ydata().tolist()
    for get in ("get_color", "get_marker", "get_linestyle"):
        assert getattr(one, get)() != getattr(other, get)()
    assert one.get_linewidth() > other.get_linewidth()
    assert one.get_markersize() > other.get_markersize()


def test_a_strategy_looks_the_same_in_all_plots():
    assert plot_style.places(["last", "mine", "first", "other"]) == {"last": 2, "mine": 5, "first": 1, "other": 6}
    assert plot_style.places(["first"]) == {"first": 1}
    assert len(set(plot_style.OF_STRATEGY.values())) == plot_style.FREE == len(plot_style.OF_STRATEGY) - 1  # and full


@pytest.mark.parametrize(("path", "start"), [("a.png", b"\x89PNG"), ("b.svg", b"<?xml"), ("c.pdf", b"%PDF")])
def test_the_ending_says_the_format_and_the_same_values_are_the_same_file(path, start):
    pytest.importorskip("matplotlib")
    drawn = plots.sweep(ROWS, "valid", "evaluation on cpu", path)
    assert drawn.startswith(start)
    assert drawn == plots.sweep(ROWS, "valid", "evaluation on cpu", path)


def importance_rows(**values):
    return [
        LayerImportance(name, stack, layer, 1.0, None, 2.0 + (stack == "decoder"), None, 0.5, **values)
        for name in ("a", "b")
        for stack in ("encoder", "decoder")
        for layer in range(2)
    ]


def test_importance_is_drawn():
    pytest.importorskip("matplotlib")
    rows = importance_rows(subnetworks_with_error=0.5)
    assert importance_plot.draw(rows, "valid, 9 tokens", "a.png").startswith(b"\x89PNG\r\n")


def test_importance_has_error_bars_one_range_and_a_title(monkeypatch):
    rows = importance_rows(subnetworks_with_error=0.5)
    figure, axes = figure_of(monkeypatch, importance_plot.draw, rows, "valid, 9 tokens")
    assert figure.get_suptitle() == (
        "How much each layer matters: valid, 9 tokens\nbars: standard error, over batches or sub-networks"
    )
    losses, distances = [axes[i] for i in (0, 1, 3, 4)], [axes[2], axes[5]]
    assert len({panel.get_ylim() for panel in losses}) == len({panel.get_ylim() for panel in distances}) == 1
    (low, high) = losses[0].get_ylim()
    assert low < 1.0 < 3.5 < high  # the full loss, and the highest error bar
    bar = axes[4].containers[0].lines[2][0].get_segments()[0]
    assert bar.tolist() == [[0.0, 2.5], [0.0, 3.5]]
    assert axes[0].get_title() == "encoder: without one layer"
    assert axes[2].get_ylabel() == "cosine distance, input to output"


def test_what_can_not_be_drawn_is_refused_at_once(monkeypatch):
    with pytest.raises(ValueError) as error:
        plots.check("figure.jpg", "--plot")
    assert str(error.value) == ("`--plot` must be a file that ends in .png, .svg or .pdf, but is 'figure.jpg' instead.")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "matplotlib" else 1 / 0)
    for ending in ("png", "svg", "pdf"):
        with pytest.raises(ValueError) as error:
            plots.check(f"figure.{ending}", "--importance")
        assert str(error.value) == "`--importance` needs matplotlib: pip install matplotlib."
