"""What all plots share: colors, markers and dashes, formats by the ending of the file, and labels that keep apart."""

from __future__ import annotations

import io
import itertools
from collections.abc import Sequence
from typing import Any

from ..sweep import FULL
from ..sweep_sets import SEARCH

ENDINGS = (".png", ".svg", ".pdf")

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#F0E442")
"""Of Okabe and Ito, which color-blind readers tell apart: blue, vermilion, green, purple, sky, orange, yellow."""

OF_STRATEGY = {"every_other": 0, "first": 1, "last": 2, "learned": 3, SEARCH: 4, FULL: 0}
"""The place of a strategy among colors, markers and dashes, the same in all plots."""

FREE = 5
"""The first place that is no strategy's."""

OF_TRAINING = {"p = 0": 0, "p = 0.2": 1, "p = 0.5": 2, "at each depth": 3}
"""The place of a training, the same in all plots."""

ALSO = {"none": "p = 0", "without LayerDrop": "p = 0", "with LayerDrop": "p = 0.2", "depths": "at each depth"}
"""Further names of these trainings."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (1, 1)))

Style = dict[str, Any]


def pyplot() -> Any:
    """Return matplotlib's pyplot, for files."""
    import matplotlib

    matplotlib.use("Agg")  # no display is needed
    matplotlib.rcParams["text.parse_math"] = False  # a $ in the name of a checkpoint is just that
    matplotlib.rcParams["svg.hashsalt"] = "layerdrop"  # the same file each time
    from matplotlib import pyplot

    return pyplot


def image(figure: Any, path: str) -> bytes:
    """Return a figure, and close it, in the format that the ending of the path names."""
    kind = next(ending for ending in ENDINGS if path.endswith(ending))[1:]
    file = io.BytesIO()
    no_date = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    figure.savefig(file, dpi=120, format=kind, metadata=no_date)
    pyplot().close(figure)
    return file.getvalue()


def places(strategies: Sequence[str]) -> dict[str, int]:
    """Return the place of each strategy among colors, markers and dashes; names of users come after ours.

    >>> places(["first", "mine"])
    {'first': 1, 'mine': 5}
    """
    own = [name for name in strategies if name not in OF_STRATEGY]
    return {name: OF_STRATEGY[name] if name in OF_STRATEGY else FREE + own.index(name) for name in strategies}


def places_of_trainings(names: Sequence[str]) -> dict[str, int]:
    """Return the place of each training; others than ours take the next that are free in this plot.

    >>> places_of_trainings(["with LayerDrop", "mine", "at each depth (9,6)", "other"])
    {'with LayerDrop': 1, 'mine': 0, 'at each depth (9,6)': 3, 'other': 2}
    """
    known: dict[str, int] = {}
    for name in names:
        place = OF_TRAINING.get(ALSO.get(name, name.partition(" (")[0]))
        if place is not None and place not in known.values():
            known[name] = place
    free = (place for place in itertools.count() if place not in known.values())
    return {name: known[name] if name in known else next(free) for name in dict.fromkeys(names)}


def line(color: int, place: int, over: int = 0) -> Style:
    """Return the style of a line.

    Args:
        color: its number among the colors.
        place: its number among the markers and dashes.
        over: how many lines are drawn before; it gets thinner, so that those still show where lines coincide.
    """
    return {
        "color": COLORS[color % len(COLORS)],
        "marker": MARKERS[place % len(MARKERS)],
        "linestyle": DASHES[place % len(DASHES)],
        "linewidth": max(1.0, 2.8 - 0.5 * over),
        "markersize": max(4.0, 9.0 - 1.3 * over),
    }


def part_ticks(axes: Any) -> None:
    """Write the labels below an axis aslant if they would run into each other."""
    axes.figure.canvas.draw()
    boxes = [label.get_window_extent().padded(2) for label in axes.get_xticklabels()]
    if any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i]):
        for label in axes.get_xticklabels():
            label.set(rotation=60, fontsize=8, ha="right", rotation_mode="anchor")


OFFSETS = [(x, y) for far in (1, 2, 3) for y in (7 * far, -13 * far) for x in (5 * far, -5 * far - 12, -4)]
"""Where a label may stand, in points from what it names, the best place first."""


def name_points(axes: Any, points: Sequence[tuple[float, float, str, str]]) -> None:
    """Write labels beside points, where they cover neither each other nor points; one that has no room is left out.

    Args:
        points: x, y, label and color of each.
    """
    from matplotlib.patheffects import withStroke

    axes.figure.canvas.draw()
    renderer = axes.figure.canvas.get_renderer()
    at = [axes.transData.transform((x, y)) for x, y, *_ in points]
    taken: list[Any] = []
    inside = axes.get_window_extent(renderer)
    for x, y, label, color in points:
        for offset in OFFSETS:
            text = axes.annotate(label, (x, y), offset, textcoords="offset points", fontsize=8, color=color)
            box = text.get_window_extent(renderer).padded(1.5)
            clear = not any(box.overlaps(other) for other in taken) and not any(box.contains(*p) for p in at)
            text.set_path_effects([withStroke(linewidth=2, foreground="white")])  # over a line
            if clear and inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0 and box.y1 <= inside.y1:
                taken.append(box)
                break
            text.remove()
