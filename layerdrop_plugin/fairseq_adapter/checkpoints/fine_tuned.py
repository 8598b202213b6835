"""Speech models around another model: the options of that one, without which its depth can't be changed.

fairseq builds the inner model of `w2v_args`, which holds all options of its training, or of the checkpoint at
`w2v_path`. Only its task `audio_finetuning` notes the former in a checkpoint, and only for `wav2vec_ctc`.
"""

from __future__ import annotations

import copy
from argparse import Namespace
from typing import Any

from ..options.config import ModelConfig, get, has, put
from ..options.family import depths_of
from ..reading import reader, saved_options
from ..reading.omegaconf_objects import container
from . import usable
from .checkpoint import Checkpoint

OPTIONS, PATH = "w2v_args", "w2v_path"

GIVEN = {
    **{"encoder_layerdrop": "layerdrop", "pct_holes": "mask_dropout"},
    **{name: name for name in ("dropout", "activation_dropout", "dropout_input", "attention_dropout")},
    **{name: name for name in ("mask_length", "mask_prob", "require_same_masks", "mask_selection", "mask_other")},
    **{name: name for name in ("no_mask_overlap", "mask_channel_length", "mask_channel_prob", "mask_channel_before")},
    **{name: name for name in ("mask_channel_selection", "mask_channel_other", "no_mask_channel_overlap")},
    **{name: name for name in ("feature_grad_mult", "checkpoint_activations", "offload_activations")},
}
"""Options of the inner model, and those of the model around it that fairseq puts in their places."""


def with_inner_options(checkpoint: Checkpoint, stack: str) -> Checkpoint:
    """Return a checkpoint that names the depth of a stack, if need be with the inner model's options and task state.

    Raises:
        ValueError: one line: they are not in the checkpoint, and `w2v_path` is none.
    """
    row = checkpoint.family.stacks.get(stack)
    is_inner = row is not None and all(name.startswith(OPTIONS) for name in row.depth)
    if not is_inner or any(stack in depths_of(cfg) for cfg in checkpoint.configurations):
        return checkpoint
    path = next((get(cfg, PATH) for cfg in checkpoint.configurations), None)
    inner = Checkpoint.of(saved_options.disarm(reader.read(str(path), PATH), str(path)))
    usable.check_options(inner, str(path), "model", "task")
    state = {**(inner.rest.get("task_state") or {}), **(checkpoint.rest.get("task_state") or {})}
    full = checkpoint.with_entries(task_state=state) if state else checkpoint
    in_namespace = checkpoint.args is not None or isinstance(checkpoint.cfg["model"], Namespace)
    return full.with_options(lambda cfg: {OPTIONS: _options(inner, cfg, in_namespace)})


def _options(inner: Checkpoint, cfg: ModelConfig, in_namespace: bool) -> Any:
    """Return all options of the inner model's training, as fairseq notes them in `cfg`, those of the one around it."""
    if inner.args is not None:
        options: Any = copy.deepcopy(inner.args)
        _give(options, cfg)
        return options
    options = {**copy.deepcopy(inner.cfg), "criterion": None, "lr_scheduler": None}
    _give(options["model"], cfg)
    return container(options) if in_namespace else options


def _give(model: Any, cfg: Any) -> None:
    for name, own in GIVEN.items():
        if has(model, name) and has(cfg, own):
            put(model, name, get(cfg, own))
