"""The tables and the plot of structured_dropout.sh, from the numbers that its stages wrote."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

from report import ratio, table

At = Mapping[str, Mapping[int, Optional[float]]]
"""Perplexity by model and by depth."""
Words = Mapping[str, Sequence[float]]
"""Words/s of the rounds by model; "no layers" is the one with all layers dropped."""


def perplexities(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[int, float | None]]:
    """Of the rows of a sweep over one strategy."""
    at: dict[str, dict[int, float | None]] = {}
    for row in rows:
        at.setdefault(row["checkpoint"], {})[int(row["depth"])] = row["perplexity"]
    return at


def kinds(models: Sequence[str]) -> list[str]:
    """Those trained at the common rate, or at each depth, and the one without.

    >>> kinds(["none", "heads+layers", "layers-0.5", "learned", "depths", "own-6"])
    ['none', 'heads+layers', 'depths']
    """
    return [name for name in models if name != "learned" and "-" not in name]


def rates(models: Sequence[str], rate: float) -> dict[float, str]:
    """The models that drop layers and nothing else, by rate, from low to high.

    >>> rates(["layers-0.5", "heads+layers", "layers", "none"], rate=0.2)
    {0.0: 'none', 0.2: 'layers', 0.5: 'layers-0.5'}
    """
    known = {"none": 0.0, "layers": rate}
    own = {name: float(name[len("layers-") :]) for name in models if name.startswith("layers-") and "+" not in name}
    return dict(sorted((r, name) for name, r in {**known, **own}.items() if name in models))


def trained_depths(name: str, depths: str, layers: int) -> str:
    """The list of depths that a model trains; its name may have the share of full depth.

    >>> trained_depths("depths", "9,6", 12), trained_depths("depths-0.6", "9,6", 12)
    ('9,6', '12=0.6,9,6')
    """
    share = name[len("depths-") :]
    return f"{layers}={share},{depths}" if share else depths


def trainings(at: At, rate: float, depths: str, layers: int) -> dict[str, Mapping[int, float | None]]:
    """Perplexities by depth of each way to train for depths; the models of one depth are one way.

    >>> trainings({"layers": {2: 5.0, 1: 9.0}, "own-1": {1: 8.0}}, rate=0.2, depths="1", layers=2)
    {'p = 0.2': {2: 5.0, 1: 9.0}, 'a model for each depth': {1: 8.0}}
    """
    ways = {f"p = {r:g}": at[name] for r, name in rates(list(at), rate).items()}
    named = sorted(name for name in at if name.startswith("depths"))
    ways.update((f"at each depth ({trained_depths(name, depths, layers)})", at[name]) for name in named)
    own = {depth: value for name in at if name.startswith("own-") for depth, value in at[name].items()}
    return {**ways, EACH_ITS_OWN: own} if own else ways


EACH_ITS_OWN = "a model for each depth"


def kinds_table(at: At, words: Words, dropped: Mapping[str, float], half: int) -> str:
    """Perplexity and speed in training of each kind.

    Args:
        dropped: by model, the mean share of its heads, FFNs, sub-layers or layers that it drops.
        half: the depth beside the full one.
    """
    names = kinds(list(at))
    full = max(at[names[0]])
    rows = [(n, shown(at[n][full]), shown(at[n][half]), *relative_speed(n, words, dropped)) for n in names]
    return table(("dropped", f"perplexity at depth {full}", f"at depth {half}", SPEED, "ideal"), rows)


SPEED = "speed / none (middle half of the rounds)"


def relative_speed(name: str, words: Words, dropped: Mapping[str, float]) -> tuple[str, str]:
    if name not in words:
        return "", ""
    ideal = ideal_speed_up(name, words, dropped[name])
    return ratio(words[name], words["none"]), "" if ideal is None else f"{ideal:.3f}"


def ideal_speed_up(name: str, words: Words, rate: float) -> float | None:
    """How much faster training is when what is dropped costs nothing.

    What an update without any of them takes less is their share of its time. None where kinds overlap.

    >>> ideal_speed_up("heads+layers", {"none": [100.0, 50.0], "no layers": [500.0, 250.0]}, rate=0.5)
    1.6666666666666667
    """
    if len(saving(name)) > 1:
        return None
    shares = (1 - statistics.median(a / b for a, b in zip(words["none"], words[f"no {kind}"])) for kind in saving(name))
    return 1 / (1 - rate * sum(shares))


def saving(name: str) -> list[str]:
    """The kinds of a model that cost nothing when they are dropped; dropped heads are still computed.

    >>> saving("heads+sublayers"), saving("depths")
    (['sublayers'], ['layers'])
    """
    return ["layers"] if name == "depths" else [kind for kind in name.split("+") if kind not in ("none", "heads")]


def rates_table(at: At, rate: float, depths: str, layers: int) -> str:
    """Ways to train down, depths across; what was not measured is empty."""
    ways = trainings(at, rate, depths, layers)
    across = sorted({depth for values in ways.values() for depth in values}, reverse=True)
    rows = [(way, *(shown(v[depth]) if depth in v else "" for depth in across)) for way, v in ways.items()]
    return table(("training", *(f"at depth {depth}" for depth in across)), rows)


def selection_table(search: Mapping[str, Any], test: Sequence[Mapping[str, Any]]) -> str:
    """Ways to choose the layers of one model.

    Args:
        search: what layerdrop-search found on a part of the valid split, with its own report on the test split.
        test: rows of a sweep over strategies on the test split.
    """
    valid = {row["rank"].partition(":")[0]: row for row in search["ranking"]}
    of = {name: row["perplexity"] for name, row in valid.items()}
    rows = [(row["strategy"], row["decoder"], of.get(row["strategy"]), row["perplexity"]) for row in test]
    best, on_test = valid["1"], search["report"]["rows"][0]
    rows.append(("search", best["decoder"], best["perplexity"], on_test["perplexity"]))
    return table(
        ("chosen by", "layers", "perplexity, searched part of valid", "test"),
        [(name, layers, *map(shown, values)) for name, layers, *values in rows],
    )


def shown(perplexity: float | None) -> str:
    """One that is no number is said, as a model without its layers may have it."""
    if perplexity is None:
        return "-"
    return f"{perplexity:.1f}" if perplexity < 1000 else f"{perplexity:,.0f}"


def draw(at: At, args: argparse.Namespace, path: Path) -> None:
    """Perplexity over depth, a line for each training, or a cross; beside it each kind, whole and pruned to half."""
    from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

    from layerdrop_plugin.cli import plot_style

    figure, (by_depth, by_kind) = plot_style.pyplot().subplots(1, 2, figsize=(11, 4.4), layout="constrained")
    ways = trainings(at, args.rate, args.depths, args.layers)
    places = plot_style.places_of_trainings(list(ways))
    for over, (way, values) in enumerate(ways.items()):
        across, style = sorted(values, reverse=True), plot_style.line(places[way], places[way], over)
        if way == EACH_ITS_OWN:
            style.update(color="black", marker="X", linestyle="none", markersize=9)
        by_depth.plot(across, numbers(values[depth] for depth in across), **style, label=way)
    by_depth.set(xlabel="layers kept (every_other)", ylabel="perplexity (lower is better)", yscale="log")
    by_depth.set_xticks(sorted({depth for values in ways.values() for depth in values}))
    by_depth.invert_xaxis()  # full depth first, as in the table
    names = kinds(list(at))[::-1]  # the first on top
    full = max(at[names[0]])
    for place, (depth, color) in enumerate(((full, "black"), (args.half, "gray"))):  # the colors are of trainings
        style = {**plot_style.line(place, place, place), "linestyle": "none", "color": color}
        by_kind.plot(numbers(at[n][depth] for n in names), names, **style, label=f"depth {depth}")
    by_kind.set(
        xlabel="perplexity (lower is better)", title=f"what is dropped, with p = {args.rate:g} (depths: no rate)"
    )
    by_depth.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 4, 5, 7)))
    by_depth.yaxis.set_major_formatter(ScalarFormatter())
    by_depth.yaxis.set_minor_formatter(NullFormatter())
    for axes in (by_depth, by_kind):
        axes.grid(alpha=0.3)
    by_depth.legend(title="training")
    by_kind.legend(loc="lower right")
    figure.suptitle("One training per line or row, pruned when the model is loaded")
    path.write_bytes(plot_style.image(figure, str(path)))


def numbers(values: Iterable[float | None]) -> list[float]:
    """What is missing leaves a gap."""
    return [float("nan") if value is None else value for value in values]
