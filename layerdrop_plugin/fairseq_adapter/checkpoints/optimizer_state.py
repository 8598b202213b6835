"""Carry an optimizer's state over to a model whose parameters are some of the checkpoint's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ... import state_dict as names
from ...families import place_of
from .buffers import is_buffer
from .provenance import Pruned

OptimizerState = dict[str, Any]


class Parameter(NamedTuple):
    """A parameter that the optimizer updates."""

    name: str
    shape: tuple[int, ...]


def carry_over(
    state: OptimizerState,
    weights: Mapping[str, Tensor],
    pruned: Mapping[str, Pruned],
    parameters: Sequence[Parameter],
) -> OptimizerState:
    """Return the state for `parameters`, those of the model that trains on.

    torch numbers the parameters, in the model's order; fp16 training flattens them into one. So
    the order before pruning is worked out from the checkpoint's weights, which may also hold the
    copies that stock fairseq 0.12.2 makes in every encoder layer.

    Args:
        state: as saved by fairseq, of all the checkpoint's parameters.
        weights: the checkpoint's own, before pruning; names and shapes are used.
        parameters: in the order of the model, then those of the criterion.

    Raises:
        ValueError: one line on why the state cannot be mapped.
    """
    if not isinstance(state, dict) or "state" not in state or len(state.get("param_groups", ())) != 1:
        raise ValueError("it is sharded or has several parameter groups")
    before = _parameters_before(weights, pruned, parameters)
    places = _places(before, pruned, parameters)
    count = len(state["param_groups"][0]["params"])
    if count == len(before):
        entries = _numbered(state["state"], places, parameters)
        count_after = len(parameters)
    elif count == 1:
        entries = {i: _flat(entry, before, places) for i, entry in state["state"].items()}
        count_after = 1
    else:
        raise ValueError(f"it has {count} parameters where the checkpoint's model has {len(before)}")
    return with_entries(state, entries, count_after)


def with_entries(state: OptimizerState, entries: dict[int, Any], count: int) -> OptimizerState:
    """Return `state` with these entries, everything else (loss scale, learning rate) as it was."""
    group = dict(state["param_groups"][0], params=list(range(count)))
    return dict(state, state=entries, param_groups=[group])


def fresh(state: OptimizerState, count: int) -> OptimizerState | None:
    """Return `state` with nothing remembered of `count` parameters, None where that is impossible."""
    if not isinstance(state, dict) or len(state.get("param_groups", ())) != 1:
        return None
    flat = len(state["param_groups"][0]["params"]) == 1
    return with_entries(state, {}, 1 if flat else count)


def _parameters_before(
    weights: Mapping[str, Tensor], pruned: Mapping[str, Pruned], parameters: Sequence[Parameter]
) -> list[Parameter]:
    """The checkpoint's parameters, in order: each stack's block of layers as the checkpoint has it."""
    depths = names.depths(weights)
    layers: dict[tuple[str, int], list[Parameter]] = {}
    for name, w in weights.items():
        place = place_of(name)
        if place is not None and not is_buffer(name):
            layers.setdefault((place.prefix, place.number), []).append(Parameter(name, tuple(w.shape)))
    before: list[Parameter] = []
    done = set()
    for p in parameters:
        place = place_of(p.name)
        if place is None:
            before.append(p)
        elif place.prefix not in done:
            done.add(place.prefix)
            for index in range(depths.get(place.stack, 0)):
                before.extend(layers.get((place.prefix, index), ()))
    return before


def _places(before: Sequence[Parameter], pruned: Mapping[str, Pruned], parameters: Sequence[Parameter]) -> list[int]:
    """For each parameter of the model, its number in the checkpoint."""
    numbers = {p.name: i for i, p in enumerate(before)}
    places = []
    for p in parameters:
        layer = names.layer_of(p.name)
        name = p.name
        if layer is not None and layer[0] in pruned:
            name = names.rename(name, pruned[layer[0]].kept[layer[1]])
        if name not in numbers or before[numbers[name]].shape != p.shape:
            raise ValueError(f"the checkpoint has no parameter {name} of shape {list(p.shape)}")
        places.append(numbers[name])
    return places


def _numbered(entries: Mapping[int, Any], places: Sequence[int], parameters: Sequence[Parameter]) -> dict[int, Any]:
    found = {}
    for new, (old, p) in enumerate(zip(places, parameters)):
        if old in entries:
            moments = entries[old].get("exp_avg", entries[old].get("momentum_buffer"))
            if isinstance(moments, Tensor) and tuple(moments.shape) != p.shape:
                raise ValueError(f"its {list(moments.shape)} does not fit {p.name}")
            found[new] = entries[old]
    return found


def _flat(entry: Mapping[str, Any], before: Sequence[Parameter], places: Sequence[int]) -> dict[str, Any]:
    sizes = [torch.Size(p.shape).numel() for p in before]
    starts = [0]
    for size in sizes:
        starts.append(starts[-1] + size)

    def pick(value: Any) -> Any:
        if not isinstance(value, Tensor) or value.dim() != 1 or value.numel() < 2:
            return value
        if value.numel() != starts[-1]:
            raise ValueError(f"its {value.numel()} numbers are not the model's {starts[-1]}")
        return torch.cat([value[starts[i] : starts[i] + sizes[i]] for i in places])

    return {name: pick(value) for name, value in entry.items()}
