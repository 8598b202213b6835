"""Prune a checkpoint that was read: weights, configuration and origin change together."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Callable

from ... import layer_spec, learned_rates, rates
from ... import state_dict as names
from ..config import ModelConfig, get, put
from ..model_options import StackOptions, drop_rates
from ..options import DROPS, KEEP
from . import best_value, layer_settings, provenance
from .provenance import Pruned

logger = logging.getLogger(__name__)

State = dict[str, Any]

SHARED_DEPTH = ("roberta_enc_dec",)
"""Architectures whose decoder takes its depth from `encoder_layers`, so that no configuration fits a pruned one."""


def requested(cfg: Mapping[str, Any]) -> dict[str, layer_spec.LayerSpec]:
    """Return the specification of each stack that `{encoder,decoder}_layers_to_keep` name."""
    return {stack: cfg[name] for stack, name in KEEP.items() if cfg.get(name) is not None}


def plan(
    specs: Mapping[str, layer_spec.LayerSpec],
    depths: Mapping[str, int],
    learned: Mapping[str, rates.Rates] = {},
    parameters: Iterable[str] = (),
    arch: str | None = None,
    options: Mapping[str, str] = KEEP,
) -> dict[str, Pruned]:
    """Return which layers stay.

    Args:
        learned: drop rates of the layers of each stack that learned them.
        parameters: names of the model's, where they are known; they tell a stack that is missing from one that is not
            known here.
        arch: the model's architecture, for errors.
        options: what names the specification of each stack, for errors.

    Raises:
        ValueError: a specification that no stack of these depths fits.
    """
    for stack, spec in specs.items():
        if arch in SHARED_DEPTH:
            raise ValueError(
                f"`{options[stack]}` must be left out: {arch} has one depth for both stacks (got {spec!r})."
            )
        if stack not in depths:
            why = f"the model has no {stack}"
            if any(_is_of(stack, name) for name in parameters):
                why = f"the {stack} layers of {arch or 'this model'} can't be pruned"
            raise ValueError(f"`{options[stack]}` must be left out: {why} (got {spec!r}).")
    return {
        stack: Pruned(depths[stack], layer_spec.parse(spec, depths[stack], options[stack], learned.get(stack)))
        for stack, spec in specs.items()
    }


def _is_of(stack: str, parameter: str) -> bool:
    """Return whether a parameter belongs to a stack; the encoder of an old RoBERTa has the name of a decoder."""
    parts = parameter.split(".")
    return stack in parts and "sentence_encoder" not in parts and "lm_head" not in parts


def log(pruned: Mapping[str, Pruned], path: str | None = None) -> None:
    """Say once which layers of which stack are kept, and of which file, as a command may read several."""
    parts = (f"{stack} keeps layers {layer_spec.describe(p.kept)} of {p.depth}" for stack, p in pruned.items())
    of_file = "" if path is None else f" ({path})"
    logger.info("Pruning model to specified layer configuration: %s%s", "; ".join(parts), of_file)


def model_configs(state: State) -> Iterator[ModelConfig]:
    """Yield the model's configurations of a checkpoint: old ones have `args`, newer ones `cfg`."""
    if state.get("args") is not None:
        yield state["args"]
    if state.get("cfg") is not None and state["cfg"].get("model") is not None:
        yield state["cfg"]["model"]


def architecture(state: State) -> str | None:
    """Return the name of a checkpoint's architecture; None where it has none."""
    names_of_it = (get(cfg, "_name") or get(cfg, "arch") for cfg in model_configs(state))
    return next(filter(None, names_of_it), None)


def prune_loaded(
    state: State, specs: Mapping[str, layer_spec.LayerSpec], options: Mapping[str, str] = KEEP
) -> dict[str, Pruned]:
    """Prune a checkpoint in place to `specs`, which count the layers that it holds; `options` names them in errors.

    Raises:
        ValueError: a specification does not fit; when the checkpoint was pruned before, the
            message says to which layers. Or fairseq put BASE layers between those of the decoder.
    """
    before = provenance.read(state)
    if "decoder" in specs and any(get(cfg, "base_layers") for cfg in model_configs(state)):
        raise ValueError(f"`{options['decoder']}` must be left out: the decoder's BASE layers can't be pruned.")
    try:
        weights = state["model"]
        learned = learned_rates.saved(weights)
        pruned = plan(specs, names.depths(weights), learned, weights, architecture(state), options)
    except ValueError as error:
        if not before:
            raise
        origins = "; ".join(f"{stack} layers {o.first}" for stack, o in before.items())
        raise ValueError(f"{error} The checkpoint was pruned before and holds {origins}.") from None
    apply(state, pruned)
    return pruned


def apply(state: State, pruned: Mapping[str, Pruned]) -> None:
    """Take the layers out of a checkpoint, in place: weights, averaged weights, configuration, what validation gave."""
    for cfg in model_configs(state):
        configure(cfg, pruned)
    kept = {stack: p.kept for stack, p in pruned.items()}
    change_weights(state, lambda weights: names.prune(weights, kept))
    if any(len(p.kept) < p.depth for p in pruned.values()):
        best_value.forget(state)
    entry = provenance.as_entry(provenance.compose(provenance.read(state), pruned))
    if entry:
        state[provenance.KEY] = entry


def change_weights(state: State, change: Callable[[Mapping[str, Any]], dict[str, Any]]) -> None:
    """Replace a checkpoint's weights and their moving averages, in place."""
    state["model"] = change(state["model"])
    averages = state.get("extra_state") or {}
    for key in ("ema", "ema_fp32_params"):
        if isinstance(averages.get(key), dict):
            averages[key] = change(averages[key])


def configure(cfg: ModelConfig, pruned: Mapping[str, Pruned], options: Mapping[str, StackOptions] = {}) -> None:
    """Make a configuration agree with pruned weights: smaller depth, nothing left to prune; rates stay with layers.

    Args:
        options: what was read of it before, of each stack; else its rates are read now.

    Raises:
        ValueError: one line: a layer that the model needs is not kept.
    """
    layer_settings.follow(cfg, pruned)
    for stack, p in pruned.items():
        for kind in DROPS:
            spec = get(cfg, f"{stack}_{kind}")
            if isinstance(spec, str):
                read = (
                    getattr(options[stack], kind) if stack in options else drop_rates(cfg, stack, kind, p.depth, spec)
                )
                put(cfg, f"{stack}_{kind}", rates.describe([read[i] for i in p.kept]))
        put(cfg, f"{stack}_layers", len(p.kept))
        put(cfg, KEEP[stack], None)


def depths_or_none(weights: Mapping[str, Any]) -> dict[str, int]:
    """Return the depths of a model's stacks, nothing for a model whose layers are no stack of ours."""
    try:
        return names.depths(weights)
    except ValueError:
        return {}


def reconcile(state: State) -> None:
    """Make a checkpoint's own configuration agree with its weights, in place.

    fairseq 0.12.2 saves pruned weights beside the full depth, with the specification or without
    it (#1403, #1406). A specification that is still to be carried out is.
    """
    for stack, depth in depths_or_none(state["model"]).items():
        for cfg in model_configs(state):
            declared = get(cfg, f"{stack}_layers")
            spec = get(cfg, KEEP[stack])
            if spec:
                full = max(declared or 0, depth, _highest(spec) + 1)
                learned = learned_rates.saved(state["model"]).get(stack)
                if layer_spec.is_learned(spec):
                    kept = layer_spec.parse(spec, depth, KEEP[stack], learned)
                else:
                    done = len(layer_spec.parse(spec, full, KEEP[stack])) == depth
                    kept = tuple(range(depth)) if done else layer_spec.parse(spec, depth, KEEP[stack])
                apply(state, {stack: Pruned(depth, kept)})
                break
            if isinstance(declared, int) and declared > depth and not get(cfg, "base_layers"):
                put(cfg, f"{stack}_layers", depth)


def _highest(spec: layer_spec.LayerSpec) -> int:
    """The highest index in a list as fairseq takes it, -1 in any other specification."""
    if isinstance(spec, int):
        return max(spec, -1)
    items = spec.split(",") if isinstance(spec, str) else spec
    return max((int(i) for i in items if str(i).strip().isdigit()), default=-1)
