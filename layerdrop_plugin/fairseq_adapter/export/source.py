"""What is to be exported: a pruned checkpoint, with all options of its model and task in one place."""

from __future__ import annotations

import contextlib
from argparse import Namespace
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from torch import Tensor

from ... import learned_rates
from ...layer_spec import LayerSpec
from ..checkpoints.checkpoint import Checkpoint
from ..checkpoints.provenance import Pruned
from ..checkpoints.stock import HARMLESS
from ..checkpoints.write_pruned import pruned
from ..options.config import get


class Source(NamedTuple):
    """What is exported.

    Attributes:
        checkpoint: as `write_pruned.pruned` returns it, without what learning drop rates added to layers.
        kept: the layers of each stack that was pruned now.
        options: of model and task, complete; `arch` is an architecture of fairseq's, and nothing is dropped.
        family: the name of fairseq's model of that architecture: `transformer`, `transformer_lm`, `roberta`, ...
    """

    checkpoint: Checkpoint
    kept: dict[str, Pruned]
    options: Namespace
    family: str


def read(path: str, specs: Mapping[str, LayerSpec]) -> Source:
    """Return a checkpoint, pruned to `specs` by stack; fairseq must be imported.

    Raises:
        ValueError: one line: no whole checkpoint, layers that it lacks, or an architecture of neither fairseq's
            nor this package.
    """
    from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_NAME_REGISTRY

    from ..modeling.architectures import PREFIX

    checkpoint, kept = pruned(path, specs)
    checkpoint = replace(checkpoint, weights=learned_rates.without(checkpoint.weights))
    options = _options(checkpoint)
    arch = str(options.arch)
    if arch.startswith(PREFIX):
        options.arch = arch = arch[len(PREFIX) :]
    if arch not in ARCH_MODEL_NAME_REGISTRY:
        raise ValueError(f"`CKPT` must be of an architecture that fairseq has, but {path} is of {arch!r}.")
    ARCH_CONFIG_REGISTRY[arch](options)  # fills in what checkpoints from before an option lack
    return Source(checkpoint, kept, options, ARCH_MODEL_NAME_REGISTRY[arch])


def weight(source: Source, name: str) -> Tensor:
    """Return one of the weights.

    Raises:
        ValueError: one line: there is none of that name.
    """
    if name not in source.checkpoint.weights:
        raise ValueError(f"`CKPT` must hold the weights of the model that its options describe, but lacks {name}.")
    return source.checkpoint.weights[name]


@contextlib.contextmanager
def fitting() -> Iterator[None]:
    """Let fairseq say in one line, a ValueError, that weights are none of the model that the options describe."""
    try:
        yield
    except RuntimeError as error:
        if "Error(s) in loading state_dict" not in str(error):
            raise
        raise ValueError(f"`CKPT` must hold the weights of the model that its options describe. {error}") from None


def _options(checkpoint: Checkpoint) -> Namespace:
    """Return the options in a Namespace of their own."""
    model, task = _plain(next(iter(checkpoint.configurations), None)), _plain(get(checkpoint.cfg, "task"))
    merged = {**task, **model}
    merged["arch"] = model.get("_name") or model.get("arch")
    merged["task"] = task.get("_name") or task.get("task") or model.get("task")
    merged.pop("_name", None)
    merged.update({name: off for name, off in HARMLESS.items() if name in merged})  # fairseq takes no rate as text
    return Namespace(**merged)


def _plain(options: Any) -> dict[str, Any]:
    return dict(vars(options) if isinstance(options, Namespace) else options or {})
