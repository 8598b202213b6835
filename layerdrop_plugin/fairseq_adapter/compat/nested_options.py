"""A wav2vec 2.0 that was fine-tuned before 2021 can't be loaded: "Could not override 'model.w2v_args.common...'".

fairseq 0.12.2 and main with hydra 1.1 and newer. Such a checkpoint holds the options of the pretrained model as a
Namespace in `w2v_args`. fairseq passes them to hydra one by one. hydra 1.1 refuses an option that a configuration
lacks, unless its name has a sign before it.
"""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from ..hooks import wrap


def needed() -> str | None:
    """Return the reason, where hydra wants a sign before a new option."""
    import hydra

    if tuple(map(int, hydra.__version__.split(".")[:2])) >= (1, 1):
        return "hydra refuses the options of a model inside another, as fairseq gives them"
    return None


def apply() -> None:
    """Put the sign before the options that fairseq takes out of a Namespace in a Namespace."""
    from fairseq.dataclass import utils

    wrap(utils, "_override_attr", _override_attr)


def _override_attr(original: Any, sub_node: str, data_class: Any, args: Namespace) -> list[str]:
    overrides: list[str] = original(sub_node, data_class, args)
    inner = tuple(f"{sub_node}.{name}." for name, value in vars(args).items() if isinstance(value, Namespace))
    return [f"++{option}" if option.startswith(inner) else option for option in overrides]
