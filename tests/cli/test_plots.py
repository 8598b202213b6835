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


@pytest.mark.parametrize(
    "names",
    [
        ["p = 0", "p = 0.2", "p = 0.5", "at each depth (4,3,2)"],  # of the results in docs/
        ["p = 0", "p = 0.1", "p = 0.2", "p = 0.5", "at each depth (9,6,4,3)", "a model for each depth"],
        ["with LayerDrop", "at each depth"],
        ["p = 0.2", "p = 0"],
        ["depths", "none"],
    ],
)
def test_a_training_looks_the_same_in_all_plots(names):
    known = {"p = 0": 0, "none": 0, "p = 0.2": 1, "with LayerDrop": 1, "p = 0.5": 2, "depths": 3}
    places = plot_style.places_of_trainings(names)
    assert list(places) == names
    assert len({*places.values()}) == len(names)
    for name, place in places.items():
        assert place == known.get(name, 3 if name.startswith("at each depth") else place)


def test_other_trainings_take_the_next_that_are_free():
    assert plot_style.places_of_trainings(["with", "without"]) == {"with": 0, "without": 1}
    names = ["a", "p = 0.2", "b", "none", "c", "without LayerDrop"]
    assert plot_style.places_of_trainings(names) == {
        **{"a": 2, "p = 0.2": 1, "b": 3, "none": 0, "c": 4},
        "without LayerDrop": 5,  # the second of one kind
    }


def test_a_sweep_has_the_colors_of_the_trainings(monkeypatch):
    rows = [row(name, "full", "2", tokens_per_second=speed) for name, speed in (("p = 0.5", 100.0), ("p = 0", 200.0))]
    _, (by_depth, _) = figure_of(monkeypatch, plots.sweep, rows, "test", "")
    looks = {
        line.get_label(): (line.get_color(), line.get_marker()) for line in by_depth.lines if len(line.get_xdata())
    }
    assert looks == {"p = 0.5": ("#009E73", "^"), "p = 0": ("#0072B2", "o")}


# From linear RGB to what is seen by a person without one of the three kinds of cones: Machado, Oliveira and Fernandes,
# "A Physiologically-based Model for Simulation of Color Vision Deficiency", 2009.
SEEN = {
    "all": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "no red": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "no green": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "no blue": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}


def lab(color, seen):
    """A color in CIELAB, in which a difference of 2.3 is just noticeable."""
    times = lambda rows, vector: [sum(a * b for a, b in zip(row, vector)) for row in rows]  # noqa: E731
    gamma = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    rgb = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in gamma]
    to_xyz = ((0.4339, 0.3762, 0.1899), (0.2126, 0.7152, 0.0722), (0.0177, 0.1095, 0.8728))  # white is 1, 1, 1
    xyz = times(to_xyz, [min(max(c, 0.0), 1.0) for c in times(seen, rgb)])
    x, y, z = (c ** (1 / 3) if c > 0.008856 else 7.787 * c + 16 / 116 for c in xyz)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


@pytest.mark.parametrize("seen", SEEN.values(), ids=SEEN)
def test_colors_that_every_reader_tells_apart(seen):
    colors = [lab(color, seen) for color in plot_style.COLORS]
    nearest = min(math.dist(one, other) for i, one in enumerate(colors) for other in colors[:i])
    assert nearest > 15


@pytest.mark.slow
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
