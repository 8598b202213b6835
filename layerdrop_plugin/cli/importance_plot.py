"""The figure of how much each layer matters, like figure 5 of the paper."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..importance import LayerImportance
from . import plot_style
from .plots import logarithmic_where_wide

PANELS = (
    ("without one layer", "loss, bits (higher: it matters more)"),
    ("random halves of the layers", "mean loss, bits"),
    ("change by a layer", "cosine distance, input to output"),
)
"""The title of each column of panels, and what is on its axis."""


def draw(rows: Sequence[LayerImportance], title: str, path: str) -> bytes:
    """Return an image with a row of panels for each stack, and in them a line for each checkpoint.

    Args:
        title: what it was measured on.
        path: where it goes; the ending says in which format.
    """
    stacks = list(dict.fromkeys(row.stack for row in rows))
    checkpoints = list(dict.fromkeys(row.checkpoint for row in rows))
    size = (13, 0.9 + 3.4 * len(stacks))
    figure, grid = plot_style.pyplot().subplots(
        len(stacks), 3, figsize=size, squeeze=False, sharey="col", layout="constrained"
    )
    for stack, panels in zip(stacks, grid):
        for over, (checkpoint, place) in enumerate(plot_style.places_of_trainings(checkpoints).items()):
            line = [row for row in rows if (row.stack, row.checkpoint) == (stack, checkpoint)]
            style = plot_style.line(place, place, over)
            _draw(panels, line, style, f"{checkpoint}, " if len(checkpoints) > 1 else "")
        for axes, (what, quantity) in zip(panels, PANELS):
            axes.set(title=f"{stack}: {what}", xlabel=f"{stack} layer, counted from 0", ylabel=quantity)
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.grid(alpha=0.3)
    _same_losses(grid)
    for axes in grid[:, 2]:
        axes.set_ylim(bottom=0)
    handles = {label: line for axes in grid[0] for line, label in zip(*axes.get_legend_handles_labels())}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncol=4)
    figure.suptitle(f"How much each layer matters: {title}\nbars: standard error, over batches or sub-networks")
    return plot_style.image(figure, path)


def _draw(panels: Sequence[Any], line: Sequence[LayerImportance], look: plot_style.Style, name: str) -> None:
    """Add one checkpoint to the three panels of a stack."""
    alone, networks, distance = panels
    at = [row.layer for row in line]
    style = {**look, "capsize": 3}
    dashed = {**style, "linestyle": "--", "markerfacecolor": "white"}
    without = f"{name}without the layer"
    alone.axhline(line[0].loss_full, color=style["color"], linestyle=":", label=f"{name}all layers")
    _with_errors(alone, at, [(row.loss_without, row.loss_without_error) for row in line], dashed, without)
    has = [(row.subnetworks_with, row.subnetworks_with_error) for row in line]
    lacks = [(row.subnetworks_without, row.subnetworks_without_error) for row in line]
    _with_errors(networks, at, has, {**style, "linestyle": "-"}, f"{name}with the layer")
    _with_errors(networks, at, lacks, dashed, without)
    distance.plot(at, [row.cosine_distance for row in line], **look)


def _with_errors(
    axes: Any, at: Sequence[int], values: Sequence[tuple[float | None, float | None]], style: Any, label: str
) -> None:
    """Draw values with error bars; a value that is missing leaves a gap."""
    numbers = [[float("nan") if one is None else one for one in column] for column in zip(*values)]
    axes.errorbar(at, numbers[0], yerr=[0 if error != error else error for error in numbers[1]], **style, label=label)


def _same_losses(grid: Any) -> None:
    """Give all panels of losses one range, so that they can be compared."""
    panels = grid[:, :2].ravel()
    low, high = (pick(axes.get_ylim()[end] for axes in panels) for end, pick in ((0, min), (1, max)))
    for axes in panels:
        axes.set_ylim(low, high)
        logarithmic_where_wide(axes)
