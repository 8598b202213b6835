"""The options of fairseq-train that build a checkpoint's model once more, say to fine-tune it."""

from __future__ import annotations

import re
from argparse import Action, ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from typing import Any

from fairseq.models import (
    ARCH_CONFIG_REGISTRY,
    ARCH_MODEL_NAME_REGISTRY,
    ARCH_MODEL_REGISTRY,
    MODEL_DATACLASS_REGISTRY,
    MODEL_REGISTRY,
)

from ..options.config import get
from ..options.declared import OPTIONS
from . import registered
from .checkpoint import Checkpoint
from .same_function import ALL, DECODERS

TRAINING_ONLY = re.compile(
    "drop(?!_path)|embed_path|^load_|_activations$|min_params_to_wrap|quant_noise|freez|grad_mult"
)
"""Names of options that change how a model is trained, and not the model."""

FROM_TASK = {"max_source_positions": 1024, "max_target_positions": 1024}
"""Defaults of what fairseq sets in a model's options while it builds the model."""


def repeated(checkpoint: Checkpoint, path: str) -> tuple[str, ...]:
    """Return the arguments: the architecture, and the options of the model that differ from what that sets.

    Options of the training, among them the drop rates, are left out, and so are those of the task.

    Raises:
        ValueError: one line: the checkpoint names no architecture, or none that is registered.
    """
    arch, cfg = checkpoint.architecture, next(iter(checkpoint.configurations), None)
    if arch is None or cfg is None:
        raise ValueError(f"`--options` must go with a checkpoint that names its architecture, but {path} does not.")
    registered.check("model", arch, path)
    chosen: dict[str, Any] = {}
    argv = ["--arch", arch]
    for action in _actions(arch):
        value = get(cfg, action.dest)
        if value is None or (action.dest == DECODERS and get(cfg, ALL)):
            continue
        default = _default(arch, action, chosen)
        if value != default and str(value) != str(default):  # a choice may be an enumeration's, or its text
            chosen[action.dest] = value
            argv += _argument(action, value)
    return tuple(argv)


def _actions(arch: str) -> Iterator[Action]:
    parser = ArgumentParser(add_help=False)
    (ARCH_MODEL_REGISTRY.get(arch) or MODEL_REGISTRY[arch]).add_args(parser)
    ours = {option.name for option in OPTIONS}
    for action in parser._actions:
        from_elsewhere = str(_fields(arch).get(action.dest)).startswith("${")  # of the task or others
        is_training = action.dest in ours or TRAINING_ONLY.search(action.dest)
        if action.option_strings and not from_elsewhere and not is_training:
            yield action


def _fields(arch: str) -> Mapping[str, Any]:
    """Return the defaults of a model's dataclass, which the parser lacks; none where it has no dataclass."""
    config = MODEL_DATACLASS_REGISTRY.get(ARCH_MODEL_NAME_REGISTRY.get(arch, arch))
    return {} if config is None else {name: field.default for name, field in config.__dataclass_fields__.items()}


def _default(arch: str, action: Action, chosen: Mapping[str, Any]) -> Any:
    """Return what an option is unless it is given; that of the decoder's width, say, follows the encoder's."""
    filled = Namespace(**chosen)
    if arch in ARCH_CONFIG_REGISTRY:
        ARCH_CONFIG_REGISTRY[arch](filled)
    return getattr(filled, action.dest, {action.dest: action.default, **FROM_TASK, **_fields(arch)}[action.dest])


def _argument(action: Action, value: Any) -> list[str]:
    """Return an option with its value; nothing for a switch that is off, and for what no argument can be."""
    flag = action.option_strings[-1]
    if action.nargs == 0:
        return [flag] if value is action.const else []
    if isinstance(value, (list, tuple)):
        value = ",".join(map(str, value))
    return [] if isinstance(value, (dict, Namespace)) else [flag, str(value)]
