"""What is worth knowing of a checkpoint, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a command's text and its tests need neither fairseq nor torch
    from .provenance import Pruned


@dataclass(frozen=True)
class StackDescription:
    """A stack of layers.

    Attributes:
        learned_rates: of each layer, None where none were learned.
        layer_parameters: how many each layer has.
        pruned: which layers of the first model these are, None for one that was never pruned.
    """

    depth: int
    layerdrop: Any
    learned_rates: tuple[float, ...] | None
    headdrop: Any
    ffndrop: Any
    sublayerdrop: Any
    embed_dim: int | None
    ffn_embed_dim: int | None
    attention_heads: Any
    layer_parameters: tuple[int, ...]
    pruned: Pruned | None


@dataclass(frozen=True)
class Sizes:
    """How many bytes a file has, and how many of them its weights and its optimizer's state take."""

    file: int
    weights: int
    optimizer: int


@dataclass(frozen=True)
class Description:
    """A checkpoint; what it does not say is None.

    Attributes:
        checkpoint: its path.
        stacks: by name.
        trained_depths: that the model was trained at (`--layerdrop-depths`), each with its share of the forward
            passes, the largest first; empty where none are named.
        parameters: of the model, each tied one once.
        best: the best validation value of the training so far; `best_metric` is what it is of.
        options: arguments of fairseq-train that build the model again; None where nobody asked for them.
    """

    checkpoint: str
    architecture: str | None
    task: str | None
    stacks: Mapping[str, StackDescription]
    trained_depths: Mapping[str, float]
    classification_heads: tuple[str, ...]
    parameters: int
    dtype: str
    updates: int | None
    best: float | None
    best_metric: str | None
    bytes: Sizes
    options: tuple[str, ...] | None = None

    def as_json(self) -> dict[str, Any]:
        """Return all of it as plain data, under the names of the attributes and in their order."""
        plain: dict[str, Any] = _plain(self)
        return plain


def _plain(value: Any) -> Any:
    if hasattr(value, "_asdict"):  # a named tuple
        return _plain(value._asdict())
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return {f.name: _plain(getattr(value, f.name)) for f in fields(value)} if is_dataclass(value) else value
