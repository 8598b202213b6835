"""A short model card in Markdown: where a smaller model came from, what it has, what a search scored it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Union

from . import layer_spec
from .selection import Kept

SCORES = ("loss", "perplexity", "accuracy", "bleu")
SIZES = ("batches", "predictions")

PRUNED = ", which --model-overrides pruned, and does not say to which layers; search again"

Cell = Union[str, int, float]


@dataclass(frozen=True)
class Card:
    """What a card says.

    Attributes:
        title: the name of the file or folder that it describes.
        origin: the path of the checkpoint that it was made of.
        made_by: the command line, with what it is a command of.
        date: of today, as 2026-11-30.
        properties: by name, of the origin and of this.
        scores: as `scores` returns them, a row for each.
    """

    title: str
    origin: str
    made_by: str
    date: str
    properties: Mapping[str, tuple[str, str]]
    scores: Sequence[Mapping[str, Cell]]


def markdown(card: Card) -> str:
    """Return the text of a card."""
    parts = [
        f"# {card.title}",
        f"Made of `{card.origin}` on {card.date}:",
        f"```sh\n{card.made_by}\n```",
        _table(["", "origin", "this"], [[name, *values] for name, values in card.properties.items()]),
    ]
    if card.scores:
        names = list(dict.fromkeys(name for row in card.scores for name in row))
        rows = [[_cell(row.get(name, "")) for name in names] for row in card.scores]
        parts += ["Scores of all layers (origin) and of these, of a search:", _table(names, rows)]
    return "\n\n".join(parts) + "\n"


def _cell(value: Cell) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else value


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def scores(search: Any, fingerprint: str, kept: Mapping[str, Kept], depths: Mapping[str, int]) -> list[dict[str, Cell]]:
    """Return what a search scored all layers and a choice of them, a row for each on each split of the data.

    Args:
        search: what `layerdrop-search --json` wrote.
        fingerprint: of the checkpoint.
        kept: the layers of each stack that was pruned.
        depths: of each stack of the model.

    Raises:
        ValueError: a part of a sentence: what is wrong with the search.
    """
    try:
        held = {stack: layer_spec.parse(spec, sys.maxsize) for stack, spec in search.get("held", {}).items()}
        stacks: Mapping[str, int] = {**search["stacks"], **_depths_before(search["stacks"], held, depths)}
        fits = all(depths.get(stack) == depth for stack, depth in stacks.items())
        splits = _splits(search, stacks) if fits else []
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        raise ValueError("is no such file") from None
    if not fits:
        pruned = PRUNED if search.get("fingerprint") == fingerprint else ""
        raise ValueError(f"is of a model with {_and(stacks)}{pruned}")
    _check_origin(search, fingerprint)
    full = {stack: tuple(range(depth)) for stack, depth in depths.items()}
    wanted, left = {**full, **kept}, {**full, **held}
    found = []
    for rows in splits:
        origin, this = (_first(rows, layers, left, stacks) for layers in (full, wanted))
        found += [{"layers": "origin", **origin}] if origin and this and wanted != full else []
        found += [{"layers": "this", **this}] if this else []
    if not found:
        only = f": --model-overrides left {_listed(held)}" if held else ""
        raise ValueError(f"has not scored {_listed(wanted)}{only}")
    return found


def _depths_before(stacks: Mapping[str, int], held: Mapping[str, Kept], depths: Mapping[str, int]) -> dict[str, int]:
    """Return, for each searched stack that overrides have pruned, how many layers it had, if it may be this model's."""
    fits = {stack: kept[-1] < depths.get(stack, 0) for stack, kept in held.items()}
    return {stack: depths[stack] for stack in stacks if fits.get(stack)}


def _listed(layers: Mapping[str, Kept]) -> str:
    return "; ".join(f"{stack} layers {layer_spec.describe(kept)}" for stack, kept in layers.items())


def _check_origin(search: Mapping[str, Any], fingerprint: str) -> None:
    if "fingerprint" not in search:
        raise ValueError("does not say of which checkpoint it is; search again")
    if search["fingerprint"] != fingerprint:
        raise ValueError(f"is of another checkpoint, {search.get('checkpoint')}")


def _splits(
    search: Mapping[str, Any], stacks: Mapping[str, int]
) -> list[list[tuple[dict[str, Kept], dict[str, Cell]]]]:
    """Return the rows of each split of the data."""
    splits = [_split(search.get("split", "the data"), " (searched on)", search, search["ranking"], stacks)]
    if "report" in search:
        second = search["report"]
        splits.append(_split(second["split"], "", second, second["rows"], stacks))
    return splits


def _split(
    name: str, what: str, sizes: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], stacks: Mapping[str, int]
) -> list[tuple[dict[str, Kept], dict[str, Cell]]]:
    """Return the layers and the cells of each row of a table."""
    data: dict[str, Cell] = {"data": f"{name}{what}", **{key: int(sizes[key]) for key in SIZES if key in sizes}}
    return [(_layers(row, stacks), {**data, **_scores(row)}) for row in rows]


def _first(
    rows: Sequence[tuple[dict[str, Kept], dict[str, Cell]]],
    wanted: Mapping[str, Kept],
    left: Mapping[str, Kept],
    stacks: Mapping[str, int],
) -> dict[str, Cell]:
    """Return the cells of the first row with these layers; empty if there is none.

    Args:
        left: the layers of all stacks that the search has begun with.
    """
    if any(wanted[stack] != left[stack] for stack in left if stack not in stacks):
        return {}
    searched = {stack: wanted[stack] for stack in stacks}
    return next((cells for layers, cells in rows if layers == searched), {})


def _layers(row: Mapping[str, Any], stacks: Mapping[str, int]) -> dict[str, Kept]:
    return {stack: layer_spec.parse(row[stack], depth) for stack, depth in stacks.items()}


def _scores(row: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(row[name]) for name in SCORES if row.get(name) is not None}


def _and(depths: Mapping[str, int]) -> str:
    return " and ".join(f"{depth} {stack} layers" for stack, depth in depths.items())
