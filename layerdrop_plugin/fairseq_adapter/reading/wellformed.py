"""Check once what was read from a checkpoint, so that all later code can trust it.

Entries that fairseq may leave out may be missing. The numbers in tensors are not read.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Mapping
from typing import Any

import numpy
import torch
from torch import Tensor

from ... import layer_spec, learned_rates
from ... import state_dict as names
from ..errors.one_line import Malformed
from ..options.declared import STACKS
from . import entry_kinds, nesting, omegaconf_objects
from .archive import Content
from .entry_kinds import (
    CFG,
    EXTRA_STATE,
    GROUP,
    HISTORY,
    NAMED,
    OPTIMIZER,
    PROVENANCE,
    STATE,
    TRAIN_ITERATOR,
    of_stack,
    shown,
)

State = dict[str, Any]

MOST_OPTIONS = 50_000
"""The most values in a configuration, each counted as often as it is held. omegaconf copies each one in 0.1 ms."""

TEACHER = "_ema"
"""What a model that has a teacher calls the weights of that one, among its own."""


def checked(state: Any, content: Content) -> State:
    """Return a checkpoint's state, without omegaconf's containers in it.

    Args:
        content: what is in the file that it was read from.

    Raises:
        Malformed: it is not one of fairseq.
    """
    has_containers = nesting.check(state, content)
    if not isinstance(state, dict) or "model" not in state or not ("args" in state or "cfg" in state):
        raise Malformed("lacks the entries `model` and `cfg` or `args`")
    for name in ("args", "cfg"):
        _check_values(state.get(name), name)
    plain: State = omegaconf_objects.plain(state) if has_containers else state
    entry_kinds.check(plain, STATE)
    layers = _check_weights(plain)
    _check_configuration(plain, layers)
    _check_training(plain)
    _check_origins(plain)
    if any(isinstance(leaf, str) and "${" in leaf for leaf in _leaves(plain.get("cfg"))):
        plain["cfg"] = omegaconf_objects.looked_up(plain["cfg"])
    return plain


def _check_values(options: Any, where: str) -> None:
    """Check that a configuration holds no tensors, and nothing that omegaconf would look up outside of it."""
    for number, value in enumerate(_leaves(options)):
        if number == MOST_OPTIONS:
            raise Malformed(f"has more than {MOST_OPTIONS:,} values in `{where}`")
        looks_up = isinstance(value, str) and "${" in omegaconf_objects.LOOKUP.sub("", value)
        if looks_up or isinstance(value, (Tensor, numpy.ndarray)):
            raise Malformed(f"has {shown(value)} in `{where}`, which must be plain")


def _leaves(value: Any) -> Iterator[Any]:
    held = nesting.parts(value)
    if held is None:
        yield value
    else:
        for part in held:
            yield from _leaves(part)


def _check_weights(state: State) -> dict[str, set[int]]:
    """Check the weights and their averages; return which layers each stack has."""
    extra = state.get("extra_state") or {}
    entry_kinds.check(extra, EXTRA_STATE, "extra_state.")
    if not state["model"]:
        raise Malformed("has no weights in `model`")
    _check_tensors(state["model"], "model.")
    for name in ("ema", "ema_fp32_params"):
        _check_tensors(extra.get(name) or {}, f"extra_state.{name}.")
    entry_kinds.check(state.get("criterion") or {}, {}, "criterion.")
    layers: dict[str, set[int]] = {}
    for layer in filter(None, map(names.layer_of, state["model"])):
        layers.setdefault(layer[0], set()).add(layer[1])
    return layers


def _check_tensors(weights: Mapping[Any, Any], where: str) -> None:
    entry_kinds.check(weights, {}, where)
    for name, value in weights.items():
        if isinstance(value, dict) and name.rpartition(".")[2] == TEACHER:
            raise Malformed(f"has a teacher in `{where}{name}`, as those of examples/data2vec have")
        if not isinstance(value, Tensor):
            raise Malformed(f"has {shown(value)} as `{where}{name}`, which must be a tensor")
        if value.layout is not torch.strided or value.is_quantized or value.device.type != "cpu":
            raise Malformed(f"has {_form(value)} tensor as `{where}{name}`, which must be dense")
        if learned_rates.is_buffer(name) and value.numel() != 1:
            raise Malformed(f"has {value.numel()} numbers as `{where}{name}`, which must be one")


def _form(value: Tensor) -> str:
    return "a quantized" if value.is_quantized else "a sparse" if value.layout is not torch.strided else "an empty"


def _check_configuration(state: State, layers: Mapping[str, set[int]]) -> None:
    cfg = state.get("cfg") or {}
    entry_kinds.check(cfg, CFG, "cfg.")
    places = {"args.": state.get("args"), **{f"cfg.{group}.": cfg.get(group) for group in CFG}}
    for where, options in places.items():
        if options is not None:
            entry_kinds.check(options, NAMED, where)
    for where in ("args.", "cfg.model."):
        for stack, numbers in layers.items() if places[where] is not None else ():
            entry_kinds.check(places[where], of_stack(stack), where)
            _check_depth(places[where], stack, numbers, where)


def _check_depth(options: Any, stack: str, numbers: set[int], where: str) -> None:
    """Check that a stack with a known depth has its layers; another kind of model may number them in its own way."""
    depth = (vars(options) if isinstance(options, Namespace) else options).get(f"{stack}_layers")
    if depth is not None and numbers != set(range(len(numbers))):
        layers = layer_spec.describe(sorted(numbers))
        raise Malformed(f"has {stack} layers {layers}, which must be numbered from 0 without a gap")


def _check_training(state: State) -> None:
    entry_kinds.check_each(state.get("optimizer_history"), HISTORY, "optimizer_history")
    optimizer = state.get("last_optimizer_state") or {}
    entry_kinds.check(optimizer, OPTIMIZER, "last_optimizer_state.")
    entry_kinds.check_each(optimizer.get("param_groups"), GROUP, "last_optimizer_state.param_groups")
    iterator = (state.get("extra_state") or {}).get("train_iterator") or {}
    entry_kinds.check(iterator, TRAIN_ITERATOR, "extra_state.train_iterator.")


def _check_origins(state: State) -> None:
    origins = state.get(PROVENANCE)
    if origins is None:
        return
    steps = []
    if isinstance(origins, dict) and set(origins) <= set(STACKS):
        steps = [step for entry in origins.values() for step in (entry, entry.get("last") if _is_step(entry) else None)]
    if not steps or not all(map(_is_step, steps)):
        raise Malformed(f"has {shown(origins)} as `{PROVENANCE}`, which must say what was pruned")


def _is_step(step: Any) -> bool:
    """Return whether this says how many layers there were, and which are kept."""
    depth, kept = (step.get("depth"), step.get("kept")) if isinstance(step, dict) else (None, None)
    if type(depth) is not int or not isinstance(kept, (list, tuple)):
        return False
    return {*map(type, kept)} == {int} and sorted({*kept}) == [*kept] and kept[0] >= 0 and kept[-1] < depth
