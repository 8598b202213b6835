"""The figure of a sweep, by matplotlib, which is an extra and imported only to draw."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Callable, NamedTuple

from ..sweep import FULL
from ..sweep_report import Row
from . import plot_style


class Quality(NamedTuple):
    """A measure of how good a model is: its name in titles, the label of its axis, and its value in a row."""

    name: str
    label: str
    of: Callable[[Row], float | None]


PERPLEXITY = Quality("Perplexity", "perplexity (lower is better)", lambda row: row.measured.perplexity)
QUALITIES = (
    Quality("BLEU", "BLEU (higher is better)", lambda row: row.measured.bleu),
    Quality("Accuracy", "accuracy (%, higher is better)", lambda row: row.measured.accuracy),
)
"""The first that was measured is drawn; perplexity, if none was."""


def check(path: str, option: str) -> None:
    """Refuse, before long work, a plot that can't be drawn.

    Raises:
        ValueError: one line: the format is none that is drawn, or there is no matplotlib.
    """
    if not path.endswith(plot_style.ENDINGS):
        raise ValueError(f"`{option}` must be a file that ends in .png, .svg or .pdf, but is {path!r} instead.")
    if not can_draw():
        raise ValueError(f"`{option}` needs matplotlib: pip install matplotlib.")


def can_draw() -> bool:
    """Return whether there is matplotlib."""
    return importlib.util.find_spec("matplotlib") is not None


def curves(rows: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    """Return for each checkpoint and strategy its rows, the full model's included, from few layers to many."""
    lines: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row.strategy != FULL:
            lines.setdefault((row.checkpoint, row.strategy), []).append(row)
    for row in rows:
        if row.strategy == FULL:
            own = [line for (checkpoint, _), line in lines.items() if checkpoint == row.checkpoint]
            for line in own or [lines.setdefault((row.checkpoint, FULL), [])]:
                line.append(row)
    return {key: sorted(line, key=layers) for key, line in lines.items()}


def chain(line: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Return the rows to connect, in which no stack gets smaller, and those beside: 6+3 among 4+4 and 5+5."""
    joined: list[Row] = []
    loose: list[Row] = []
    for row in line:
        smaller = bool(joined) and any(a < b for a, b in zip(row.depths, joined[-1].depths))
        (loose if smaller else joined).append(row)
    return joined, loose


def layers(row: Row) -> int:
    """Return how many layers run in all."""
    return sum(row.depths)


def sweep(rows: Sequence[Row], title: str, speed: str, path: str) -> bytes:
    """Return an image: quality over depth, and quality over speed, a line for each checkpoint and strategy.

    Args:
        title: what it was measured on.
        speed: what the tokens per second were measured on.
        path: where it goes; the ending says in which format.
    """
    quality = next((quality for quality in QUALITIES if quality.of(rows[0]) is not None), PERPLEXITY)
    pyplot = plot_style.pyplot()
    figure, (by_depth, by_speed) = pyplot.subplots(1, 2, figsize=(11, 5), sharey=True, layout="constrained")
    lines = curves(rows)
    checkpoints, strategies = (list(dict.fromkeys(names)) for names in zip(*lines))
    places, trainings = plot_style.places(strategies), plot_style.places_of_trainings(checkpoints)
    colors: dict[tuple[str, str], str] = {}
    for over, ((checkpoint, strategy), line) in enumerate(lines.items()):
        several = len(checkpoints) > 1
        color = trainings[checkpoint] if several else places[strategy]
        style = plot_style.line(color, places[strategy] if len(strategies) > 1 else color, over)
        colors[checkpoint, strategy] = style["color"]
        for part, joined in zip(chain(line), (True, False)):
            values = _with_gaps(map(quality.of, part))
            own = style if joined else {**style, "linestyle": "none"}
            label = _label(checkpoint, strategy, several, len(strategies) > 1) if joined else None
            by_depth.plot([layers(row) for row in part], values, **own, label=label)
            by_speed.plot([row.measured.tokens_per_second for row in part], values, **own)
    _finish(by_depth, by_speed, rows, quality, speed)
    figure.legend(loc="outside lower center", ncol=4)
    figure.suptitle(f"{quality.name} at each depth, and its speed: {title}")
    plot_style.part_ticks(by_depth)
    _name_points(by_speed, rows, quality, colors)
    return plot_style.image(figure, path)


def _finish(by_depth: Any, by_speed: Any, rows: Sequence[Row], quality: Quality, speed: str) -> None:
    """Say on the axes what is shown, in which unit, and let depth run from full to few layers."""
    _depth_ticks(by_depth, rows)
    by_depth.invert_xaxis()  # full depth first, as in the table
    by_speed.set(xlabel=f"tokens/s, {speed}")
    by_speed.xaxis.set_major_formatter("{x:,.0f}")
    by_speed.locator_params(axis="x", nbins=6)
    by_speed.margins(x=0.1, y=0.1)
    by_speed.tick_params(labelleft=True)
    if quality is PERPLEXITY:
        logarithmic_where_wide(by_depth)
    for axes in (by_depth, by_speed):
        axes.set(ylabel=quality.label)
        axes.grid(alpha=0.3)


def _label(checkpoint: str, strategy: str, checkpoints: bool, strategies: bool) -> str:
    """Return a label with the checkpoint and the strategy, each only if there are several."""
    if not checkpoints:
        return strategy
    return f"{checkpoint}, {strategy}" if strategies else checkpoint


def _name_points(axes: Any, rows: Sequence[Row], quality: Quality, colors: Mapping[tuple[str, str], str]) -> None:
    points: dict[tuple[float, float, str], str] = {}
    for row in rows:
        value = quality.of(row)
        if value is not None:
            own = [color for (label, _), color in colors.items() if label == row.checkpoint]
            color = colors.get((row.checkpoint, row.strategy), own[0])
            points.setdefault((row.measured.tokens_per_second, value, row.depth), color)
    plot_style.name_points(axes, [(*point, color) for point, color in points.items()])


def _with_gaps(values: Iterable[float | None]) -> list[float]:
    """Return the values of a curve; one that is missing leaves a gap."""
    return [float("nan") if value is None else value for value in values]


def _depth_ticks(axes: Any, rows: Sequence[Row]) -> None:
    """Write depths such as 6+3 at the number of layers that run in all."""
    names: dict[int, list[str]] = {}
    for row in rows:
        at = names.setdefault(layers(row), [])
        at += [] if row.depth in at else [row.depth]
    axes.set_xticks(list(names), ["\n".join(depths) for depths in names.values()])
    stacks = "encoder + decoder" if len(rows[0].depths) > 1 else f"of the {next(iter(rows[0].kept))}"
    axes.set(xlabel=f"layers that run ({stacks})")


def logarithmic_where_wide(axes: Any) -> None:
    """Let an axis run logarithmically, with numbers that a person reads, where values differ by more than 5 times."""
    from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

    values = [v for line in axes.lines for v in line.get_ydata() if v == v]  # no nan
    if values and max(values) > 5 * min(values) > 0:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter(ScalarFormatter())
        axes.yaxis.set_minor_formatter(NullFormatter())
