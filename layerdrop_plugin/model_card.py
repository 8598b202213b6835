"""A short model card in Markdown: where a smaller model came from, what it has, what a search scored it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import layer_spec
from .selection import Kept

SCORES = ("loss", "perplexity", "accuracy", "bleu")


@dataclass(frozen=True)
class Card:
    """What a card says.

    Attributes:
        title: the name of the file or folder that it describes.
        origin: the path of the checkpoint that it was made of.
        made_by: the command line, with what it is a command of.
        date: of today, as 2026-11-30.
        properties: by name, of the origin and of this.
        scores: as `scores` returns them.
    """

    title: str
    origin: str
    made_by: str
    date: str
    properties: Mapping[str, tuple[str, str]]
    scores: Mapping[str, Mapping[str, float]]


def markdown(card: Card) -> str:
    """Return the text of a card."""
    parts = [
        f"# {card.title}",
        f"Made of `{card.origin}` on {card.date}:",
        f"```sh\n{card.made_by}\n```",
        _table(["", "origin", "this"], [[name, *values] for name, values in card.properties.items()]),
    ]
    if card.scores:
        names = list(dict.fromkeys(name for row in card.scores.values() for name in row))
        rows = [
            [split, *(f"{row[name]:.4g}" if name in row else "" for name in names)]
            for split, row in card.scores.items()
        ]
        parts += ["Scores of these layers, of a search:", _table(["data", *names], rows)]
    return "\n\n".join(parts) + "\n"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def scores(search: Any, kept: Mapping[str, Kept], depths: Mapping[str, int]) -> dict[str, dict[str, float]]:
    """Return what a search scored a choice of layers, by the data that it was scored on.

    Args:
        search: what `layerdrop-search --json` wrote.
        kept: the layers of each stack that was pruned.
        depths: of each stack of the model.

    Raises:
        ValueError: a part of a sentence: what is wrong with the search.
    """
    try:
        stacks: Mapping[str, int] = search["stacks"]
        splits = {"searched on": search["ranking"]}
        if "report" in search:
            splits[search["report"]["split"]] = search["report"]["rows"]
        by_split = {split: [(_layers(row, stacks), _scores(row)) for row in rows] for split, rows in splits.items()}
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ValueError("is no such file") from None
    if any(depths.get(stack) != depth for stack, depth in stacks.items()):
        raise ValueError(f"is of a model with {_and(stacks)}")
    wanted = {stack: kept.get(stack, tuple(range(depth))) for stack, depth in depths.items()}
    searched = {stack: wanted[stack] for stack in stacks}
    whole = all(len(wanted[stack]) == depths[stack] for stack in depths if stack not in stacks)
    matching = {split: [row for layers, row in rows if layers == searched] for split, rows in by_split.items() if whole}
    if not any(matching.values()):
        raise ValueError(
            "has not scored " + "; ".join(f"{s} layers {layer_spec.describe(k)}" for s, k in wanted.items())
        )
    return {split: rows[0] for split, rows in matching.items() if rows}


def _layers(row: Mapping[str, Any], stacks: Mapping[str, int]) -> dict[str, Kept]:
    return {stack: layer_spec.parse(row[stack], depth) for stack, depth in stacks.items()}


def _scores(row: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(row[name]) for name in SCORES if row.get(name) is not None}


def _and(depths: Mapping[str, int]) -> str:
    return " and ".join(f"{depth} {stack} layers" for stack, depth in depths.items())
