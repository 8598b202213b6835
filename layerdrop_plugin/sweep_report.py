"""What a sweep measured, as values: a row for each checkpoint at each depth, relative to the full model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from .importance import LayerImportance
from .selection import Kept
from .sweep import FULL, Point, name_of


class Measured(NamedTuple):
    """What was measured of a model while just some layers run."""

    parameters: int
    loss: float  # bits a prediction
    accuracy: float | None  # of 100; for a task that classifies
    bleu: float | None  # of 100
    tokens_per_second: float
    peak_memory: int | None  # bytes

    @property
    def perplexity(self) -> float | None:
        """2 to the power of the loss; None where the loss is no number, as with fp16, or too high."""
        return 2**self.loss if math.isfinite(self.loss) and self.loss < 1000 else None

    def columns(self) -> dict[str, float | None]:
        """Return the values under the names of their columns; None is a value that is not known."""
        columns: dict[str, float | None] = {
            "parameters": self.parameters,
            "loss": self.loss if math.isfinite(self.loss) else None,
        }
        if self.accuracy is None:
            columns["perplexity"] = self.perplexity
        else:
            columns["accuracy"] = self.accuracy
        if self.bleu is not None:
            columns["bleu"] = self.bleu
        columns["tokens_per_second"] = self.tokens_per_second
        columns["peak_memory_mib"] = None if self.peak_memory is None else self.peak_memory / 2**20
        return columns


class Row(NamedTuple):
    """A checkpoint at one depth, beside the same checkpoint at full depth."""

    checkpoint: str
    strategy: str
    kept: Mapping[str, Kept]  # by stack
    measured: Measured
    full: Measured

    @property
    def depths(self) -> tuple[int, ...]:
        """How many layers of each stack run."""
        return tuple(len(kept) for kept in self.kept.values())

    @property
    def depth(self) -> str:
        """The depths as they are written, such as 6+3."""
        return name_of(self.depths)

    def as_json(self) -> dict[str, Any]:
        """Return the columns; after each value comes, as `..._ratio`, its ratio to the full model's."""
        row: dict[str, Any] = {"checkpoint": self.checkpoint, "strategy": self.strategy, "depth": self.depth}
        row.update({stack: ",".join(map(str, kept)) for stack, kept in self.kept.items()})
        full = self.full.columns()
        for name, value in self.measured.columns().items():
            whole = full[name]
            row[name] = value
            row[f"{name}_ratio"] = value / whole if value is not None and whole else None
        return row


def rows(
    label: str, stacks: Sequence[str], at: Sequence[Point], measured: Mapping[tuple[Kept, ...], Measured]
) -> list[Row]:
    """Return a row for each point of one checkpoint, the full model's first."""
    full = next(measured[point.kept] for point in at if point.strategy == FULL)
    return [Row(label, strategy, dict(zip(stacks, kept)), measured[kept], full) for strategy, kept in at]


class EqualSets(NamedTuple):
    """Strategies that keep the same layers of one checkpoint, which were measured once."""

    checkpoint: str
    depth: str
    strategies: tuple[str, ...]


def equal_sets(rows: Sequence[Row]) -> list[EqualSets]:
    """Return which strategies keep the same layers, by checkpoint."""
    by_kept: dict[tuple[str, tuple[Kept, ...]], list[Row]] = {}
    for row in rows:
        by_kept.setdefault((row.checkpoint, tuple(row.kept.values())), []).append(row)
    groups = [(label, same) for (label, _), same in by_kept.items() if len(same) > 1]
    return [EqualSets(label, same[0].depth, tuple(row.strategy for row in same)) for label, same in groups]


@dataclass(frozen=True)
class Measurements:
    """The rows of all checkpoints, and on what they were measured."""

    batches: int
    tokens: int
    device: str
    bleu_signature: str | None  # None where nothing was translated
    rows: Sequence[Row]


@dataclass(frozen=True)
class SweepReport:
    """The results of a sweep.

    Attributes:
        checkpoints: the path of each, by its label.
        split: the data measured on.
        repeats: how many times each speed was measured.
        importance: of each layer; None where nobody asked for it.
        warnings: what speaks against the numbers, a line each.
    """

    checkpoints: Mapping[str, str]
    split: str
    repeats: int
    measured: Measurements
    importance: Sequence[LayerImportance] | None = None
    warnings: Sequence[str] = ()

    def as_json(self) -> dict[str, Any]:
        """Return plain data."""
        measured = self.measured
        data: dict[str, Any] = {
            "checkpoints": self.checkpoints,
            "split": self.split,
            "repeats": self.repeats,
            "batches": measured.batches,
            "tokens": measured.tokens,
            "device": measured.device,
            "bleu_signature": measured.bleu_signature,
            "rows": [row.as_json() for row in measured.rows],
            "equal": [one._asdict() for one in equal_sets(measured.rows)],
            "warnings": list(self.warnings),
        }
        if self.importance is not None:
            data["importance"] = [row.as_json() for row in self.importance]
        return data
