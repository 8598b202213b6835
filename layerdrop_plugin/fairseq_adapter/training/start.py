"""What a training begins with: its options, the checkpoint that it reads first, and the rates learned in that."""

from __future__ import annotations

import os
from importlib.util import find_spec

from omegaconf import DictConfig

from ... import layer_spec, learned_rates
from ..checkpoints import provenance
from ..errors.one_line import in_command
from ..modeling.architectures import PREFIX, check_names
from ..options.config import root_option
from ..options.declared import KEEP
from ..options.family import depths_of
from ..reading import reader
from . import save_dir
from .save_dir import DEFAULT_RESTORE_FILE


def check(cfg, arch):
    """Find what is wrong before any data is read."""
    if isinstance(cfg, DictConfig) and str(arch).startswith(PREFIX):
        check_names(cfg, arch)
    folder, restore = (root_option(cfg, "checkpoint", name) for name in ("save_dir", "restore_file"))
    if not in_command():
        return
    _check_packages(cfg)
    if not os.path.exists(save_dir.last_checkpoint(folder)):
        for name in ("restore_file", "finetune_from_model"):
            path = root_option(cfg, "checkpoint", name)
            if path and path != DEFAULT_RESTORE_FILE:
                reader.check_file(path, "--" + name.replace("_", "-"))
    elif restore == DEFAULT_RESTORE_FILE:
        save_dir.own_checkpoint(folder, restore)


def _check_packages(cfg):
    """Find what fairseq would miss only after the first epoch."""
    criterion = root_option(cfg, "criterion", "_name") if isinstance(cfg, DictConfig) else cfg.criterion
    if criterion == "ctc" and not root_option(cfg, "dataset", "disable_validation") and not find_spec("editdistance"):
        raise ValueError(
            "`--criterion ctc` must have the package editdistance to validate with, which is missing: "
            "pip install editdistance, or give --disable-validation."
        )


def with_learned(cfg, specs):
    """Return specifications and learned rates, where one asks for them, as in the checkpoint that this run begins with.

    A run that was pruned so, and is started again, keeps the layers that it has.
    """
    if not any(map(layer_spec.is_learned, specs.values())):
        return specs, {}
    own = save_dir.own_checkpoint(*(root_option(cfg, "checkpoint", name) for name in ("save_dir", "restore_file")))
    depths = depths_of(cfg)
    if own is not None:
        for stack, origin in provenance.read(reader.read(own, "--save-dir")).items():
            depth, kept = origin.last
            spec = specs.get(stack)
            if layer_spec.is_learned(spec) and (depth, len(kept)) == (depths[stack], layer_spec.learned_count(spec)):
                specs = {**specs, stack: layer_spec.describe(kept)}
    if not any(map(layer_spec.is_learned, specs.values())):
        return specs, {}
    option, path = _begins_with(cfg, own)
    state = reader.read(path, option) if path else {"model": {}}
    found, origins = learned_rates.saved(state["model"]), provenance.read(state)
    for stack, rates in found.items():
        if layer_spec.is_learned(specs.get(stack)) and len(rates) != depths[stack]:
            has = f"has {len(rates)}: the depth of the {stack} must be {len(rates)}, too"
            if stack in origins:
                has = f"was pruned before and holds layers {origins[stack].first}"
            raise ValueError(
                f"`{KEEP[stack]}` must fit the checkpoint, but is {specs[stack]!r} of {depths[stack]}, "
                f"and {path} {has}."
            )
    return specs, found


def _begins_with(cfg, own):
    """Return the checkpoint that fairseq reads first, None where it reads none, and the option that names it."""
    restore, finetune = (root_option(cfg, "checkpoint", name) for name in ("restore_file", "finetune_from_model"))
    if restore and restore != DEFAULT_RESTORE_FILE:
        found = "--restore-file", restore
    elif own is not None:
        return "--save-dir", own
    else:
        found = "--finetune-from-model", finetune
    if found[1]:
        reader.check_file(found[1], found[0])
    return found
