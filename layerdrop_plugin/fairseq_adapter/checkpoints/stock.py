"""Put a checkpoint of ours under the name of fairseq's own architecture: it then needs nothing of this package."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from typing import Any

from ... import learned_rates
from ..compat import missing_history
from ..options.config import get
from ..options.declared import OPTIONS
from ..reading.registered_fairseq import import_fairseq
from .checkpoint import Checkpoint

HARMLESS = {**{option.name: option.kind.off for option in OPTIONS}, "layerdrop": 0.0, "user_dir": None}
"""What takes the place of our options, and of the folder from which fairseq imports this package."""


def as_stock(checkpoint: Checkpoint) -> Checkpoint:
    """Return a checkpoint with the configuration of fairseq's architecture of the same layers.

    Learned drop rates go, which fairseq would not expect among the weights.

    Raises:
        ValueError: one line: the architecture is neither fairseq's nor made from one.
    """
    import_fairseq()
    from ..modeling.architectures import PREFIX

    architectures = [get(cfg, "_name") or get(cfg, "arch") for cfg in checkpoint.configurations]
    for arch in architectures or [None]:
        _check(arch)
    plain = _with_history(checkpoint.with_weights(learned_rates.without))
    return replace(plain, args=_cleaned(plain.args, PREFIX), cfg=_cleaned(plain.cfg, PREFIX))


def _check(arch: str | None) -> None:
    from fairseq.models import ARCH_MODEL_REGISTRY, MODEL_REGISTRY

    if arch is None:
        raise ValueError("`--stock` must be for a checkpoint that names its architecture, but this one does not.")
    if arch not in ARCH_MODEL_REGISTRY and arch not in MODEL_REGISTRY:
        raise ValueError(
            f"`--stock` must be for an architecture of fairseq's, or layerdrop_ before its name, but {arch!r} is none."
        )


def _with_history(checkpoint: Checkpoint) -> Checkpoint:
    """Return a checkpoint with all that fairseq needs of its training; `complete` works on copies."""
    state = checkpoint.as_state()
    if checkpoint.history:
        state["optimizer_history"] = [dict(entry) for entry in checkpoint.history]
    if state.get("extra_state") is not None:
        state["extra_state"] = dict(checkpoint.extra_state)
    missing_history.complete(state)
    return Checkpoint.of(state)


def _cleaned(options: Any, prefix: str) -> Any:
    """Go through all options: fairseq's commands save the model's in several places."""
    if isinstance(options, Namespace):
        return Namespace(**_cleaned(vars(options), prefix))
    if not isinstance(options, dict):
        return options
    cleaned = {name: HARMLESS[name] if name in HARMLESS else _cleaned(v, prefix) for name, v in options.items()}
    for name in ("arch", "_name"):
        if str(cleaned.get(name)).startswith(prefix):
            cleaned[name] = cleaned[name][len(prefix) :]
    return cleaned
