"""Tasks, architectures and criterions by their names: a user's own are registered only with --user-dir."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from fairseq.criterions import CRITERION_REGISTRY
from fairseq.models import (
    ARCH_MODEL_REGISTRY,
    MODEL_REGISTRY,
    FairseqEncoderDecoderModel,
    FairseqEncoderModel,
    FairseqLanguageModel,
)
from fairseq.tasks import TASK_REGISTRY

from .checkpoint import Checkpoint

OPTIONS = {"task": "task", "model": "arch", "criterion": "criterion"}
"""The option of the command line that names each part of a configuration."""

WORDS = {"task": "task", "model": "architecture", "criterion": "criterion"}

KINDS = {
    "a language model": FairseqLanguageModel,
    "an encoder with a decoder": FairseqEncoderDecoderModel,
    "an encoder": FairseqEncoderModel,
}


def known(part: str) -> Collection[str]:
    """Return the names that may stand for a part of the configuration: the task, the model or the criterion."""
    registries: dict[str, Collection[str]] = {
        "task": TASK_REGISTRY,
        "model": {*ARCH_MODEL_REGISTRY, *MODEL_REGISTRY},
        "criterion": CRITERION_REGISTRY,
    }
    return registries[part]


def check(part: str, name: Any, path: str | None = None) -> None:
    """Refuse a name that nobody has registered; `path` is the checkpoint that has it.

    Raises:
        ValueError: one line.
    """
    if name in known(part):
        return
    of = "" if path is None else f" of {path}"
    raise ValueError(
        f"`--user-dir` must name the folder that defines the {WORDS[part]} {name!r}{of}: fairseq has none of that name."
    )


def check_checkpoint(checkpoint: Checkpoint, path: str, *parts: str) -> None:
    """Refuse a checkpoint of whose configuration one of these parts is not registered.

    Raises:
        ValueError: as `check`.
    """
    for part in parts:
        name = _name(checkpoint, part)
        if name is not None:
            check(part, name, path)


def check_kind(kinds: Mapping[str, str], checkpoint: Checkpoint, path: str) -> dict[str, str]:
    """Refuse a model that can't be in one ensemble with others; return their kinds and its own.

    Args:
        kinds: of the others, by their checkpoints' paths.

    Raises:
        ValueError: one line.
    """
    found = kind(_name(checkpoint, "model"))
    for other, other_kind in kinds.items() if found else ():
        if other_kind != found:
            raise ValueError(f"`--path` must be models of one kind, but {other} is {other_kind}, {path} {found}.")
    return {**kinds, path: found} if found else dict(kinds)


def kind(arch: str | None) -> str | None:
    """Return of which of `KINDS` an architecture is, None where it is of none or not registered."""
    model = ARCH_MODEL_REGISTRY.get(arch) or MODEL_REGISTRY.get(arch)
    found = [words for words, base in KINDS.items() if isinstance(model, type) and issubclass(model, base)]
    return found[0] if found else None


def _name(checkpoint: Checkpoint, part: str) -> Any:
    name = checkpoint.option(part, "_name") if checkpoint.args is None else None  # `args` has one for all parts
    return name or checkpoint.option(part, OPTIONS[part])
