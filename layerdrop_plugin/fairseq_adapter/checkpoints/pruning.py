"""Prune a checkpoint: weights, configuration and origin change together."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from ... import families, layer_spec, rates
from ... import state_dict as names
from ..options.config import ModelConfig, get, has
from ..options.declared import DROPS, KEEP
from ..options.family import depth_option, depths_of, is_known, known, name_in, row_of, why_not
from ..options.model_options import StackOptions, drop_rates
from . import best_value, fine_tuned, layer_settings, provenance, trained_depths
from .checkpoint import Checkpoint
from .provenance import Pruned

logger = logging.getLogger(__name__)


def requested(cfg: Mapping[str, Any]) -> dict[str, layer_spec.LayerSpec]:
    """Return the specification of each stack that `{encoder,decoder}_layers_to_keep` name."""
    return {stack: cfg[name] for stack, name in KEEP.items() if cfg.get(name) is not None}


def plan(
    specs: Mapping[str, layer_spec.LayerSpec],
    depths: Mapping[str, int],
    learned: Mapping[str, rates.Rates] = {},
    arch: str | None = None,
    options: Mapping[str, str] = KEEP,
) -> dict[str, Pruned]:
    """Return which layers stay.

    Args:
        learned: drop rates of the layers of each stack that learned them.
        arch: the model's architecture, None where it is not known.
        options: what names the specification of each stack, for errors.

    Raises:
        ValueError: a specification that no stack of these depths fits.
    """
    for stack, spec in specs.items():
        why = why_not(stack, arch)
        if why is None and stack not in depths:
            why = f"the {stack} layers of {arch or 'this model'} can't be pruned"
            why += "" if is_known(arch) else ", unless `--user-dir` names the folder that defines it"
        if why is not None:
            raise ValueError(f"`{options[stack]}` must be left out: {why} (got {spec!r}).")
    return {
        stack: Pruned(depths[stack], layer_spec.parse(spec, depths[stack], options[stack], learned.get(stack)))
        for stack, spec in specs.items()
    }


def log(pruned: Mapping[str, Pruned], path: str | None = None) -> None:
    """Say once which layers of which stack are kept, and of which file, as a command may read several."""
    parts = (f"{stack} keeps layers {p}" for stack, p in pruned.items())
    of_file = "" if path is None else f" ({path})"
    logger.info("Pruning model to specified layer configuration: %s%s", "; ".join(parts), of_file)


def single_layer_notes(
    specs: Mapping[str, layer_spec.LayerSpec], pruned: Mapping[str, Pruned], options: Mapping[str, str] = KEEP
) -> list[str]:
    """Return a line for each specification that keeps one layer, and may have been meant as a number of layers."""
    notes = {stack: layer_spec.single_layer_note(spec, pruned[stack].depth) for stack, spec in specs.items()}
    return [f"`{options[stack]}` {specs[stack]} keeps {note}" for stack, note in notes.items() if note is not None]


def prune(
    checkpoint: Checkpoint, specs: Mapping[str, layer_spec.LayerSpec], options: Mapping[str, str] = KEEP
) -> tuple[Checkpoint, dict[str, Pruned]]:
    """Prune a checkpoint to `specs`, which count the layers that it holds; `options` names them in errors.

    Raises:
        ValueError: a specification does not fit; when the checkpoint was pruned before, the
            message says to which layers. Or fairseq put BASE layers between those of the decoder.
    """
    if "decoder" in specs and any(get(cfg, "base_layers") for cfg in checkpoint.configurations):
        raise ValueError(f"`{options['decoder']}` must be left out: the decoder's BASE layers can't be pruned.")
    arch, learned = checkpoint.architecture, checkpoint.learned_rates
    names.depths(checkpoint.weights)  # raises where a layer is missing
    try:
        pruned = plan(specs, _agreed_depths(checkpoint), learned, arch, options)
    except ValueError as error:
        if not checkpoint.origins:
            raise
        raise ValueError(f"{error} {pruned_before(checkpoint)}") from None
    for stack in pruned:
        checkpoint = fine_tuned.with_inner_options(checkpoint, stack)
    return keeping(checkpoint, pruned), pruned


def pruned_before(checkpoint: Checkpoint) -> str:
    """Return a sentence that says which layers of the first model a pruned checkpoint holds; "" for another one."""
    if not checkpoint.origins:
        return ""
    origins = "; ".join(f"{stack} layers {o.first}" for stack, o in checkpoint.origins.items())
    return f"The checkpoint was pruned before and holds {origins}."


def _known_depths(checkpoint: Checkpoint) -> dict[str, int]:
    """Return how many layers each stack has, without those that stand elsewhere than such a model has them."""
    stacks, found = checkpoint.family.stacks, checkpoint.depths
    prefixes = {(place.stack, place.prefix) for place in filter(None, map(families.place_of, checkpoint.weights))}
    for stack, prefix in prefixes:
        if stack not in stacks or not any(families.is_at(place, prefix) for place in stacks[stack].places):
            found.pop(stack, None)
    return found


def _agreed_depths(checkpoint: Checkpoint) -> dict[str, int]:
    """Return them as `_known_depths`; of a model that nobody knows, without those that its options deny."""
    found = _known_depths(checkpoint)
    if known(checkpoint.architecture) is not None:
        return found
    said = [depths_of(cfg) for cfg in checkpoint.configurations]
    return {stack: depth for stack, depth in found.items() if {of.get(stack, depth) for of in said} <= {depth}}


def keeping(checkpoint: Checkpoint, pruned: Mapping[str, Pruned]) -> Checkpoint:
    """Return a checkpoint of the kept layers: weights and their averages, configuration, what validation gave."""
    kept = {stack: p.kept for stack, p in pruned.items()}
    small = checkpoint.with_options(lambda cfg: changed_options(cfg, pruned))
    small = small.with_weights(lambda weights: names.prune(weights, kept))
    if any(len(p.kept) < p.depth for p in pruned.values()):
        small = best_value.forgotten(small)
    return replace(small, origins=provenance.compose(checkpoint.origins, pruned))


def changed_options(
    cfg: ModelConfig, pruned: Mapping[str, Pruned], options: Mapping[str, StackOptions] = {}
) -> dict[str, Any]:
    """Return the options that must change to agree with pruned weights: smaller depth, nothing left to prune.

    Rates and what else goes by layer stay with their layers.

    Args:
        options: what was read of it before, of each stack; else its rates are read now.

    Raises:
        ValueError: one line: a layer that the model needs is not kept.
    """
    changes = {**layer_settings.changed_options(cfg, pruned), **trained_depths.changed_options(cfg, pruned)}
    for stack, p in pruned.items():
        for kind in DROPS:
            name = name_in(cfg, f"{stack}_{kind}")
            spec = get(cfg, name)
            if isinstance(spec, str):
                of_stack = options.get(stack)
                before = getattr(of_stack, kind) if of_stack else drop_rates(cfg, stack, kind, p.depth, spec)
                changes[name] = rates.describe([before[i] for i in p.kept])
        changes[depth_option(row_of(cfg, stack), cfg)] = len(p.kept)
        if has(cfg, KEEP[stack]):
            changes[KEEP[stack]] = None
    return changes


def reconcile(checkpoint: Checkpoint) -> Checkpoint:
    """Return a checkpoint whose own configuration agrees with its weights.

    fairseq 0.12.2 saves pruned weights beside the full depth, with the specification or without
    it (#1403, #1406). A specification that is still to be carried out is.
    """
    for stack in _known_depths(checkpoint):
        asking = [cfg for cfg in checkpoint.configurations if get(cfg, KEEP[stack])]
        if asking:
            checkpoint = keeping(checkpoint, {stack: _still_to_keep(checkpoint, stack, asking[0])})
        else:
            checkpoint = checkpoint.with_options(partial(_smaller_depth, stack, checkpoint.depths[stack]))
    return checkpoint


def _still_to_keep(checkpoint: Checkpoint, stack: str, cfg: ModelConfig) -> Pruned:
    """Return what a saved specification asks for, all layers where fairseq has carried it out."""
    depth, spec = checkpoint.depths[stack], get(cfg, KEEP[stack])
    if layer_spec.is_learned(spec):
        learned = checkpoint.learned_rates.get(stack)
        return Pruned(depth, layer_spec.parse(spec, depth, KEEP[stack], learned))
    full = max(depths_of(cfg).get(stack, 0), depth, _highest(spec) + 1)
    if len(layer_spec.parse(spec, full, KEEP[stack])) == depth:
        return Pruned(depth, tuple(range(depth)))
    return Pruned(depth, layer_spec.parse(spec, depth, KEEP[stack]))


def _smaller_depth(stack: str, depth: int, cfg: ModelConfig) -> dict[str, int]:
    too_deep = depths_of(cfg).get(stack, 0) > depth and not get(cfg, "base_layers")
    return {depth_option(row_of(cfg, stack), cfg): depth} if too_deep else {}


def _highest(spec: layer_spec.LayerSpec) -> int:
    """The highest index in a list as fairseq takes it, -1 in any other specification."""
    if isinstance(spec, int):
        return max(spec, -1)
    items = spec.split(",") if isinstance(spec, str) else spec
    return max((int(i) for i in items if str(i).strip().isdigit()), default=-1)
