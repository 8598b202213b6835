"""Figures of results, by matplotlib, which is an extra and imported only to draw."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Iterable, Sequence
from typing import Any, Callable, NamedTuple

from ..importance import LayerImportance
from ..sweep import FULL
from ..sweep_report import Row


class Quality(NamedTuple):
    """A measure of how good a model is: the label of its axis, and its value in a row."""

    label: str
    of: Callable[[Row], float | None]


PERPLEXITY = Quality("perplexity (lower is better)", lambda row: row.measured.perplexity)
QUALITIES = (
    Quality("BLEU (higher is better)", lambda row: row.measured.bleu),
    Quality("accuracy, % (higher is better)", lambda row: row.measured.accuracy),
)
"""The first that was measured is drawn; perplexity, if none was."""

MARKERS = ("o", "s", "^", "D", "v", "P")


def check(path: str, option: str) -> None:
    """Refuse, before long work, a plot that can't be drawn.

    Raises:
        ValueError: one line: no PNG is asked for, or there is no matplotlib.
    """
    if not path.endswith(".png"):
        raise ValueError(f"`{option}` must be a file that ends in .png, but is {path!r} instead.")
    if importlib.util.find_spec("matplotlib") is None:
        raise ValueError(f"`{option}` needs matplotlib: pip install matplotlib.")


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


def sweep(rows: Sequence[Row], title: str, speed: str) -> bytes:
    """Return a PNG: quality over depth, and quality over speed, a line for each checkpoint and strategy.

    Args:
        title: what it was measured on.
        speed: what the tokens per second were measured on.
    """
    pyplot = _pyplot()
    quality = next((quality for quality in QUALITIES if quality.of(rows[0]) is not None), PERPLEXITY)
    figure, (by_depth, by_speed) = pyplot.subplots(1, 2, figsize=(11, 5), sharey=True, layout="constrained")
    lines = curves(rows)
    checkpoints, strategies = (list(dict.fromkeys(names)) for names in zip(*lines))
    for (checkpoint, strategy), line in lines.items():
        number = strategies.index(strategy)
        several = len(checkpoints) > 1
        style = {"color": f"C{checkpoints.index(checkpoint) if several else number}", "marker": MARKERS[number % 6]}
        for part, joining in zip(chain(line), (("-", "--", ":", "-.")[number % 4 if several else 0], "none")):
            values = _with_gaps(map(quality.of, part))
            label = _label(checkpoint, strategy, several, len(strategies) > 1) if joining != "none" else None
            by_depth.plot([layers(row) for row in part], values, **style, linestyle=joining, label=label)
            by_speed.plot([row.measured.tokens_per_second for row in part], values, **style, linestyle=joining)
    _name_points(by_speed, rows, quality)
    _depth_ticks(by_depth, rows)
    by_depth.set(ylabel=quality.label)
    by_speed.set(xlabel=f"tokens per second, {speed}")
    by_speed.xaxis.set_major_formatter("{x:,.0f}")
    by_speed.margins(x=0.08)
    if quality is PERPLEXITY:
        _logarithmic_where_wide(by_depth)
    for axes in (by_depth, by_speed):
        axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncol=4)
    figure.suptitle(title)
    return _png(figure)


def importance(rows: Sequence[LayerImportance], title: str) -> bytes:
    """Return a PNG like figure 5 of the paper: how much each layer matters, a line for each checkpoint."""
    pyplot = _pyplot()
    stacks = list(dict.fromkeys(row.stack for row in rows))
    checkpoints = list(dict.fromkeys(row.checkpoint for row in rows))
    figure, grid = pyplot.subplots(len(stacks), 3, figsize=(14, 4.4 * len(stacks)), squeeze=False, layout="constrained")
    for stack, panels in zip(stacks, grid):
        for number, checkpoint in enumerate(checkpoints):
            line = [row for row in rows if (row.stack, row.checkpoint) == (stack, checkpoint)]
            name = f"{checkpoint}: " if len(checkpoints) > 1 else ""
            _draw_importance(panels, line, f"C{number}", name)
        titles = ("one layer left out", "random halves of the layers, mean", "how much a layer changes")
        for axes, what in zip(panels, titles):
            axes.set(title=f"{stack}: {what}", xlabel=f"{stack} layer, counted from 0", ylabel="loss (bits)")
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.grid(alpha=0.3)
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncol=2, frameon=False)
        for axes in panels[:2]:
            _logarithmic_where_wide(axes)
        panels[2].set(ylabel="cosine distance of input and output")
        panels[2].set_ylim(bottom=0)
    figure.suptitle(title)
    return _png(figure)


def _draw_importance(panels: Sequence[Any], line: Sequence[LayerImportance], color: str, name: str) -> None:
    """Add one checkpoint to the three panels of a stack."""
    alone, networks, distance = panels
    at, style = [row.layer for row in line], {"color": color, "marker": "o"}
    alone.plot(at, _with_gaps(row.loss_without for row in line), **style, label=f"{name}without the layer")
    alone.axhline(line[0].loss_full, color=color, linestyle=":", label=f"{name}full model")
    networks.plot(at, _with_gaps(row.subnetworks_with for row in line), **style, label=f"{name}with the layer")
    style["markerfacecolor"] = "white"
    values = _with_gaps(row.subnetworks_without for row in line)
    networks.plot(at, values, **style, linestyle="--", label=f"{name}without the layer")
    style["markerfacecolor"] = color
    distance.plot(at, [row.cosine_distance for row in line], **style, label=f"{name}full model")


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")  # no display is needed
    matplotlib.rcParams["text.parse_math"] = False  # a $ in the name of a checkpoint is just that
    from matplotlib import pyplot

    return pyplot


def _label(checkpoint: str, strategy: str, checkpoints: bool, strategies: bool) -> str:
    """Return a label with the checkpoint and the strategy, each only if there are several."""
    if not checkpoints:
        return strategy
    return f"{checkpoint}, {strategy}" if strategies else checkpoint


def _name_points(axes: Any, rows: Sequence[Row], quality: Quality) -> None:
    for row in rows:
        value = quality.of(row)
        if value is not None:
            at = (row.measured.tokens_per_second, value)
            axes.annotate(row.depth, at, (5, 4), textcoords="offset points", fontsize=8)


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
    stacks = "encoder + decoder" if len(rows[0].depths) > 1 else "in the stack"
    axes.set(xlabel=f"layers that run ({stacks})")


def _logarithmic_where_wide(axes: Any) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

    values = [v for line in axes.lines for v in line.get_ydata() if v == v]  # no nan
    if values and max(values) > 5 * min(values) > 0:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter(ScalarFormatter())
        axes.yaxis.set_minor_formatter(NullFormatter())


def _png(figure: Any) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, dpi=120, format="png")
    _pyplot().close(figure)
    return file.getvalue()
