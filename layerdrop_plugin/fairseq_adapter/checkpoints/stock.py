"""Put a checkpoint of ours under the name of fairseq's own architecture: it then needs nothing of this package."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from ... import learned_rates
from ..compat import missing_history
from ..config import get
from ..options import OPTIONS
from ..registered_fairseq import import_fairseq
from .pruning import change_weights, model_configs

HARMLESS = {**{option.name: option.kind.off for option in OPTIONS}, "user_dir": None}
"""What takes the place of our options, and of the folder from which fairseq imports this package."""


def as_stock(state: dict[str, Any]) -> None:
    """Change a checkpoint's configuration, in place, to that of fairseq's architecture of the same layers.

    Learned drop rates go, which fairseq would not expect among the weights.

    Raises:
        ValueError: one line: the architecture is neither fairseq's nor made from one.
    """
    import_fairseq()
    from ..modeling.architectures import PREFIX

    architectures = [get(cfg, "_name") or get(cfg, "arch") for cfg in model_configs(state)]
    for arch in architectures or [None]:
        _check(arch)
    change_weights(state, learned_rates.without)
    missing_history.complete(state)
    for options in (state.get("args"), state.get("cfg")):
        _clean(options, PREFIX)


def _check(arch: str | None) -> None:
    from fairseq.models import ARCH_MODEL_REGISTRY, MODEL_REGISTRY

    if arch is None:
        raise ValueError("`--stock` must be for a checkpoint that names its architecture, but this one does not.")
    if arch not in ARCH_MODEL_REGISTRY and arch not in MODEL_REGISTRY:
        raise ValueError(
            f"`--stock` must be for an architecture of fairseq's, or layerdrop_ before its name, but {arch!r} is none."
        )


def _clean(options: Any, prefix: str) -> None:
    """Go through all options, in place: fairseq's commands save the model's in several places."""
    entries = vars(options) if isinstance(options, Namespace) else options
    if not isinstance(entries, dict):
        return
    for name, value in entries.items():
        if name in HARMLESS:
            entries[name] = HARMLESS[name]
        elif name in ("arch", "_name") and str(value).startswith(prefix):
            entries[name] = value[len(prefix) :]
        else:
            _clean(value, prefix)
