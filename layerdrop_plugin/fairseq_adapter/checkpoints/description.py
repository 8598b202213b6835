"""What a checkpoint says of itself, as plain data, its weights not read: sizes, rates, training, origin."""

from __future__ import annotations

import math
import os
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ... import learned_rates
from ... import state_dict as names
from ..config import ModelConfig, get
from ..options import DROPS
from . import parameters as checkpoint_parameters
from . import provenance, pruning
from .optimizer_state import Parameter
from .provenance import Origin
from .pruning import State
from .whole import read_whole, reconciled

Description = dict[str, Any]


def describe(path: str) -> Description:
    """Return what is worth knowing of a checkpoint, ready for JSON.

    Sizes are in bytes. Parameters are counted once where they are tied, and without the copies that stock
    fairseq 0.12.2 saves in encoders. What a checkpoint does not say is None.

    Raises:
        ValueError: one line that names the file: it is damaged, a shard, or no checkpoint of fairseq's.
    """
    state = read_whole(path)
    with reconciled(state):
        model = next(pruning.model_configs(state), Namespace())
    parameters = checkpoint_parameters.parameters(checkpoint_parameters.without_copies(state["model"]))
    last = (state.get("optimizer_history") or [{}])[-1]
    return {
        "checkpoint": path,
        "architecture": get(model, "_name") or get(model, "arch"),
        "task": _option(state, "task", "_name") or _option(state, "task", "task"),
        "stacks": _stacks(state, model, parameters),
        "classification_heads": _heads(state["model"]),
        "parameters": sum(map(_count, parameters)),
        "dtype": _dtype(state["model"]),
        "updates": last.get("num_updates"),
        **_best(state),
        "bytes": {
            "file": os.path.getsize(path),
            "weights": _bytes(state["model"]),
            "optimizer": _bytes([state.get("last_optimizer_state"), state.get("optimizer"), last.get("optimizer")]),
        },
    }


def _option(state: State, group: str, name: str) -> Any:
    """Return an option that is not the model's, None where it is missing."""
    if state.get("args") is not None:
        return get(state["args"], name)
    options = (state.get("cfg") or {}).get(group) or {}
    return get(options, name) if isinstance(options, Namespace) else options.get(name)


def _stacks(state: State, model: ModelConfig, parameters: list[Parameter]) -> dict[str, dict[str, Any]]:
    origins = provenance.read(state)
    learned = {stack: list(rates) for stack, rates in learned_rates.saved(state["model"]).items()}
    found: dict[str, dict[str, Any]] = {}
    for stack, depth in pruning.depths_or_none(state["model"]).items():
        layers: list[dict[str, Parameter]] = [{} for _ in range(depth)]
        for p in parameters:
            layer = names.layer_of(p.name)
            if layer is not None and layer[0] == stack:
                layers[layer[1]][p.name.partition(f".layers.{layer[1]}.")[2]] = p
        ffn, embed = layers[0]["fc1.weight"].shape if "fc1.weight" in layers[0] else (None, None)
        found[stack] = {
            "depth": depth,
            "layerdrop": get(model, f"{stack}_layerdrop"),
            "learned_rates": learned.get(stack),
            **{kind: get(model, f"{stack}_{kind}") or None for kind in DROPS if kind != "layerdrop"},
            "embed_dim": embed,
            "ffn_embed_dim": ffn,
            "attention_heads": get(model, f"{stack}_attention_heads"),
            "layer_parameters": [sum(map(_count, layer.values())) for layer in layers],
            "pruned": _plain(origins.get(stack)),
        }
    return found


def _plain(origin: Origin | None) -> dict[str, Any] | None:
    return None if origin is None else {"depth": origin.first.depth, "kept": list(origin.first.kept)}


def _heads(weights: Mapping[str, Tensor]) -> list[str]:
    parts = [name.split(".") for name in weights if name.startswith("classification_heads.")]
    return list(dict.fromkeys(part[1] for part in parts))


def _best(state: State) -> dict[str, Any]:
    """The best validation value of the training so far, under the name of what it is of."""
    best = (state.get("extra_state") or {}).get("best")
    if best is None or not math.isfinite(best):
        return {"best": None, "best_metric": None}
    return {"best": float(best), "best_metric": _option(state, "checkpoint", "best_checkpoint_metric") or "loss"}


def _count(parameter: Parameter) -> int:
    return math.prod(parameter.shape)


def _dtype(weights: Mapping[str, Tensor]) -> str:
    kinds = {str(value.dtype) for name, value in weights.items() if not checkpoint_parameters.is_buffer(name)}
    return ", ".join(sorted(kind.rpartition(".")[2] for kind in kinds))


def _bytes(value: Any) -> int:
    """Return how much the tensors in `value`, to any depth, take in a file: each piece of memory once."""
    pieces: dict[int, int] = {}

    def add(part: Any) -> None:
        if isinstance(part, Tensor):
            pieces[part.data_ptr()] = part.numel() * part.element_size()
        elif isinstance(part, Mapping):
            for item in part.values():
                add(item)
        elif isinstance(part, (list, tuple)):
            for item in part:
                add(item)

    add(value)
    return sum(pieces.values())
