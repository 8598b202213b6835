"""The results of a search, as values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """A set of layers, and what it scored; None stands for what is no number, or was not measured."""

    rank: str
    specs: Mapping[str, str]  # by stack
    loss: float | None
    perplexity: float | None
    accuracy: float | None  # of 100; for a task that classifies
    loss_1st_half: float | None
    loss_2nd_half: float | None
    bleu: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the columns by name, without accuracy and BLEU where they were not measured."""
        scores: dict[str, float | None] = {"loss": self.loss, "perplexity": self.perplexity}
        if self.accuracy is not None:
            scores["accuracy"] = self.accuracy
        scores.update(loss_1st_half=self.loss_1st_half, loss_2nd_half=self.loss_2nd_half)
        if self.bleu is not None:
            scores["bleu"] = self.bleu
        return {"rank": self.rank, **self.specs, **scores}


@dataclass(frozen=True)
class Cost:
    """What the search took, and how many layers other ways to search would evaluate on each batch.

    Attributes:
        exhaustive: with all sets, which share their beginnings.
        one_by_one: with each set by itself.
    """

    layer_evaluations: int
    seconds: float
    candidates: int
    exhaustive: int
    one_by_one: int

    def as_json(self) -> dict[str, Any]:
        """Return the numbers by name."""
        return {
            "layer_evaluations": self.layer_evaluations,
            "seconds": self.seconds,
            "candidates": self.candidates,
            "exhaustive_layer_evaluations_a_batch": self.exhaustive,
            "one_by_one_layer_evaluations_a_batch": self.one_by_one,
        }


@dataclass(frozen=True)
class SecondSplit:
    """The winner beside Every Other, the learned set and full depth, on data that was not searched on."""

    split: str
    batches: int
    predictions: int
    rows: Sequence[Row]

    def as_json(self) -> dict[str, Any]:
        """Return plain data."""
        size = {"batches": self.batches, "predictions": self.predictions}
        return {"split": self.split, **size, "rows": [row.as_json() for row in self.rows]}


@dataclass(frozen=True)
class SearchReport:
    """The results of a search.

    Attributes:
        stacks: the depth of each stack that was searched.
        keep: how many layers to keep of each.
        best: the specification of each stack in the best set.
        kept: the same, and that of the stacks that were not searched.
        model_overrides: what to give to `--model-overrides` for the best set.
        ranking: the best sets, then the references, then full depth.
        second: None where nobody asked for it.
    """

    stacks: Mapping[str, int]
    keep: Mapping[str, int]
    strategy: str
    metric: str
    batches: int
    predictions: int
    best: Mapping[str, str]
    kept: Mapping[str, str]
    model_overrides: str
    ranking: Sequence[Row]
    cost: Cost
    warnings: Sequence[str]
    second: SecondSplit | None = None

    def as_json(self) -> dict[str, Any]:
        """Return plain data."""
        names = ("stacks", "keep", "strategy", "metric", "batches", "predictions", "best", "kept", "model_overrides")
        data: dict[str, Any] = {name: getattr(self, name) for name in names}
        data["ranking"] = [row.as_json() for row in self.ranking]
        data["cost"] = self.cost.as_json()
        data["warnings"] = list(self.warnings)
        if self.second is not None:
            data["report"] = self.second.as_json()
        return data
