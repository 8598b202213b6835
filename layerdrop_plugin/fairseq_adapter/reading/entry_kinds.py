"""The kinds that the entries of a checkpoint must have, and the errors for those that do not."""

from __future__ import annotations

import reprlib
from argparse import Namespace
from collections.abc import Mapping
from numbers import Real
from typing import Any, Callable, NamedTuple

import torch
from torch import Tensor

from ..errors.one_line import Malformed
from ..options.declared import DROPS, KEEP

PROVENANCE = "layerdrop"
"""The entry that says where a pruned checkpoint came from."""


class Kind(NamedTuple):
    """A kind of entry: its name, and a check. None is allowed for each kind."""

    name: str
    holds: Callable[[Any], bool]


def _is_number(value: Any) -> bool:
    if isinstance(value, Tensor):  # a metric that was never rounded is one of a single number
        return value.numel() == 1 and value.layout is torch.strided and not value.is_complex()
    return isinstance(value, Real) and not isinstance(value, bool) and (type(value) is not int or abs(value) < 2**63)


def _are_whole(value: Any) -> bool:
    listed: list[Any] = list(value) if isinstance(value, (list, tuple)) else [value]
    return {*map(type, listed)} <= {int}


DICT = Kind("a dict", lambda value: isinstance(value, dict))
LIST = Kind("a list", lambda value: isinstance(value, list))
NAMESPACE = Kind("a Namespace", lambda value: isinstance(value, Namespace))
OPTIONS = Kind("a Namespace or a dict", lambda value: isinstance(value, (Namespace, dict)))
TEXT = Kind("text", lambda value: isinstance(value, str))
WHOLE = Kind("a whole number", lambda value: type(value) is int and abs(value) < 2**63)
NUMBER = Kind("a number", _is_number)
RATE = Kind("a number or text", lambda value: isinstance(value, str) or _is_number(value))
LAYERS = Kind("text or whole numbers", lambda value: isinstance(value, str) or _are_whole(value))

STATE = {
    **{"args": NAMESPACE, "optimizer_history": LIST},
    **dict.fromkeys(("cfg", "model", "criterion", "extra_state", "last_optimizer_state", "task_state"), DICT),
}
CFG = dict.fromkeys(("model", "task", "criterion", "checkpoint", "common", "dataset", "generation"), OPTIONS)
NAMED = dict.fromkeys(("arch", "_name", "task", "best_checkpoint_metric"), TEXT)
EXTRA_STATE = {
    **dict.fromkeys(("best", "val_loss", "previous_training_time"), NUMBER),
    **dict.fromkeys(("epoch", "batch_offset"), WHOLE),
    **dict.fromkeys(("train_iterator", "ema", "ema_fp32_params"), DICT),
}
TRAIN_ITERATOR = dict.fromkeys(("epoch", "iterations_in_epoch"), WHOLE)
HISTORY = {"num_updates": WHOLE, "lr_scheduler_state": DICT}
OPTIMIZER = {"state": DICT, "param_groups": LIST}
GROUP = {"params": LIST}


def of_stack(stack: str) -> dict[str, Kind]:
    """Return the kinds of a model's options of one stack."""
    kinds = {f"{stack}_layers": WHOLE, f"{stack}_attention_heads": WHOLE, KEEP[stack]: LAYERS}
    return {**kinds, **{f"{stack}_{kind}": RATE for kind in DROPS}}


def check(entries: Any, kinds: Mapping[str, Kind], where: str = "") -> None:
    """Check a dict or Namespace, `where` in the checkpoint, say `cfg.model.`: names are text, entries of their kinds.

    Raises:
        Malformed: one is not.
    """
    entries = vars(entries) if isinstance(entries, Namespace) else entries
    for name in entries:
        if not isinstance(name, str):
            raise Malformed(f"has the name {shown(name)} in {where[:-1] or 'it'}, where names must be text")
    for name, kind in kinds.items():
        value = entries.get(name)
        if value is not None and not kind.holds(value):
            raise Malformed(f"has {shown(value)} as `{where}{name}`, which must be {kind.name}")


def check_each(entries: Any, kinds: Mapping[str, Kind], where: str) -> None:
    """Check a list of dicts, `where` in the checkpoint, as `check` checks one; None is an empty list.

    Raises:
        Malformed: one is no dict, or wrong in itself.
    """
    for number, entry in enumerate(entries or ()):
        if not isinstance(entry, dict):
            raise Malformed(f"has {shown(entry)} as `{where}[{number}]`, which must be a dict")
        check(entry, kinds, f"{where}[{number}].")


def shown(value: Any) -> str:
    """Return a value for an error; its type, if the value itself says little.

    >>> shown("4"), shown([1, 2])
    ("'4'", 'a list')
    """
    if isinstance(value, (str, int, float)):
        return reprlib.repr(value)
    return f"a {type(value).__name__}"
