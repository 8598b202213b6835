"""The results of a search within a budget, as values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .budget import Budget
from .cost_model import CostModel

FULL, BEST, EVERY_OTHER = "full", "best", "every_other"


@dataclass(frozen=True)
class Row:
    """A set of layers with its scores and its measured speed; None stands for what was not measured.

    Attributes:
        split: how many layers of each searched stack, such as 6+3.
        choice: FULL, BEST of a split, or EVERY_OTHER.
        promised_speedup: by the costs of the parts.
        speedup: measured beside the full model.
        tokens: generated, or evaluated.
        pareto: whether no other row scores better and is as fast, or is faster and scores as well.
    """

    split: str
    choice: str
    specs: Mapping[str, str]  # by stack
    parameters: int
    bytes: int | None
    loss: float | None
    perplexity: float | None
    accuracy: float | None
    bleu: float | None
    promised_speedup: float
    speedup: float
    seconds: float  # a sentence
    tokens: int
    pareto: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return the columns by name, without those that were not measured."""
        optional = {"bytes": self.bytes, "accuracy": self.accuracy, "bleu": self.bleu}
        columns: dict[str, Any] = {
            "split": self.split,
            "choice": self.choice,
            **self.specs,
            "parameters": self.parameters,
            "bytes": self.bytes,
            "loss": self.loss,
            "perplexity": self.perplexity,
            "accuracy": self.accuracy,
            "bleu": self.bleu,
            "promised_speedup": self.promised_speedup,
            "speedup": self.speedup,
            "sentences_per_second": 1.0 / self.seconds,
            "pareto": self.pareto,
        }
        return {name: value for name, value in columns.items() if value is not None or name not in optional}


def with_pareto(rows: Sequence[Row], metric: str) -> list[Row]:
    """Return the rows with what is in the Pareto front marked.

    Args:
        metric: "accuracy", or the loss counts.
    """

    def badness(row: Row) -> float:
        value = -row.accuracy if metric == "accuracy" and row.accuracy is not None else row.loss
        return float("inf") if value is None else value

    def is_beaten(row: Row) -> bool:
        mine = badness(row), row.seconds
        return any(
            badness(other) <= mine[0] and other.seconds <= mine[1] and (badness(other), other.seconds) != mine
            for other in rows
        )

    return [replace(row, pareto=not is_beaten(row)) for row in rows]


def uneven_speeds(rows: Sequence[Row], share: float) -> list[str]:
    """Return a line for each split whose sets, which cost the same, differ in speed by more than a share.

    More generated tokens take more time: what they explain is no difference.
    """
    lines = []
    for split in dict.fromkeys(row.split for row in rows):
        speeds = sorted((row.speedup, row.tokens) for row in rows if row.split == split)
        (slow, many), (fast, few) = speeds[0], speeds[-1]
        if fast / slow > (1.0 + share) * max(1.0, many / few):
            lines.append(
                f"sets of {split} {'layer' if split == '1' else 'layers'} cost the same, but ran {slow:.2f} and "
                f"{fast:.2f} times as fast as the full model: the machine was busy, or the batches too few; "
                "the stars of the Pareto front go by such times."
            )
    return lines


@dataclass(frozen=True)
class BudgetReport:
    """The results of a search within a budget.

    Attributes:
        stacks: the depth of each stack that was searched.
        costs: of the parts, in seconds a sentence, on `device`; `cost_stacks` names the stacks of their layers.
        rows: the full model, the best of each split, and Every Other.
        chosen: the recommended row.
        kept: its specification, and that of the stacks that were not searched.
        same_length: the chosen model's measured speed-up while beam search goes the way of the full model, so that
            both translate with the same words; None where nothing is translated.
        layer_evaluations, seconds: what scoring took, earlier searches that kept their scores included.
    """

    budget: Budget
    stacks: Mapping[str, int]
    strategy: str | None
    metric: str
    batches: int
    predictions: int
    timed_batches: int
    device: str
    costs: CostModel
    cost_stacks: Sequence[str]
    rows: Sequence[Row]
    chosen: Row
    kept: Mapping[str, str]
    model_overrides: str
    layer_evaluations: int
    seconds: float
    warnings: Sequence[str]
    same_length: float | None = None
    second: Mapping[str, Any] | None = None  # the split's name, size and rows

    @property
    def off(self) -> float:
        """By which share the measured speed-up is above the promised one, for translations of the same length."""
        measured = self.chosen.speedup if self.same_length is None else self.same_length
        return measured / self.chosen.promised_speedup - 1.0

    def as_json(self) -> dict[str, Any]:
        """Return plain data."""
        layers = dict(zip(self.cost_stacks, self.costs.layers))
        data: dict[str, Any] = {
            "budget": {"kind": self.budget.kind, "value": self.budget.text},
            "stacks": self.stacks,
            "strategy": self.strategy,
            "metric": self.metric,
            "batches": self.batches,
            "predictions": self.predictions,
            "timed_batches": self.timed_batches,
            "device": self.device,
            "costs_seconds_a_sentence": {"fixed": self.costs.fixed, **{f"{s}_layer": c for s, c in layers.items()}},
            "best": self.chosen.specs,
            "kept": self.kept,
            "model_overrides": self.model_overrides,
            "promised_speedup": self.chosen.promised_speedup,
            "measured_speedup": self.chosen.speedup,
            "measured_speedup_same_length": self.same_length,
            "measured_above_promised": self.off,
            "ranking": [row.as_json() for row in self.rows],
            "cost": {"layer_evaluations": self.layer_evaluations, "seconds": self.seconds},
            "warnings": list(self.warnings),
        }
        if self.second is not None:
            data["report"] = self.second
        return data
