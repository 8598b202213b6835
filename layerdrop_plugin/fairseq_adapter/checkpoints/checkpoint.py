"""A checkpoint as a value: what fairseq's dict holds, under names. What changes it returns another one.

Tensors are passed on and never copied: they may be mapped to the file.
"""

from __future__ import annotations

import copy
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Callable

from ... import families, learned_rates, rates
from ... import state_dict as names
from ...families import Family
from ..options.config import ModelConfig, get, put
from ..options.family import architecture, known
from . import provenance
from .parameters import Weights
from .provenance import Origin

FIELDS = ("model", "args", "cfg", "last_optimizer_state")
"""The entries of fairseq's dict that are fields here."""

EMA = ("ema", "ema_fp32_params")
"""In `extra_state`: moving averages of the weights."""


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds.

    Attributes:
        weights: of the model, by name.
        args: all options as fairseq saved them before 2020; None in newer files.
        cfg: all options in groups, `model` and others: a dict in a file, a DictConfig as fairseq loads it.
        origins: of each pruned stack.
        optimizer: its state; None where it was not saved.
        rest: the other entries. Those that are fields here stand in it as None, which keeps their places.
    """

    weights: Weights
    args: Namespace | None = None
    cfg: Any = None
    origins: Mapping[str, Origin] = field(default_factory=dict)
    optimizer: Any = None
    rest: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Checkpoint:
        """Translate fairseq's dict.

        Raises:
            ValueError: one line: what it says of its origin is no such thing.
        """
        rest = {name: None if name in FIELDS else value for name, value in state.items()}
        _, args, cfg, optimizer = map(state.get, FIELDS)
        return cls(state["model"], args, cfg, provenance.read(state), optimizer, rest)

    def as_state(self) -> dict[str, Any]:
        """Return fairseq's dict: the entries that were there, also as None, in their order, and what is new."""
        fields = dict(zip(FIELDS, (self.weights, self.args, self.cfg, self.optimizer)))
        state = {**self.rest, **{k: value for k, value in fields.items() if value is not None or k in self.rest}}
        if self.origins != provenance.read(self.rest):
            state[provenance.KEY] = provenance.as_entry(self.origins)
        return state

    @property
    def configurations(self) -> tuple[ModelConfig, ...]:
        """The model's options: old files have `args`, newer ones `cfg.model`, which is a dict where it is from YAML."""
        found = [options for options in (self.args, _model_of(self.cfg)) if options is not None]
        return tuple(Namespace(**options) if isinstance(options, dict) else options for options in found)

    @property
    def architecture(self) -> str | None:
        """The architecture's name, None where there is none."""
        return next(filter(None, map(architecture, self.configurations)), None)

    @property
    def family(self) -> Family:
        """Where the model has its layers; of one that nobody knows, where the others have theirs."""
        return known(self.architecture) or families.PLAIN

    def option(self, group: str, name: str) -> Any:
        """Return an option, None where it is missing; in `args` there are no groups."""
        return get(get(self.cfg, group) if self.args is None else self.args, name)

    @property
    def depths(self) -> dict[str, int]:
        """How many layers each stack has."""
        return names.depths_or_none(self.weights)

    @property
    def learned_rates(self) -> dict[str, rates.Rates]:
        """The drop rates of the layers of each stack that learned them."""
        return learned_rates.saved(self.weights)

    @property
    def history(self) -> list[dict[str, Any]]:
        """What fairseq notes of each optimizer; the last is that of now."""
        return self.rest.get("optimizer_history") or []

    @property
    def extra_state(self) -> Mapping[str, Any]:
        """The state of the training, beside weights and optimizer."""
        return self.rest.get("extra_state") or {}

    def with_entries(self, **entries: Any) -> Checkpoint:
        """Return it with these of its other entries."""
        return replace(self, rest={**self.rest, **entries})

    def without_entries(self, *left_out: str) -> Checkpoint:
        """Return it without these of its other entries; of a field here, its place goes."""
        return replace(self, rest={name: value for name, value in self.rest.items() if name not in left_out})

    def with_weights(self, change: Callable[[Weights], Weights]) -> Checkpoint:
        """Return it with changed weights, and their moving averages changed alike."""
        averages = {name: self.extra_state.get(name) for name in EMA}
        new = {name: change(value) for name, value in averages.items() if isinstance(value, dict)}
        changed = replace(self, weights=change(self.weights))
        return changed.with_entries(extra_state={**self.extra_state, **new}) if new else changed

    def with_options(self, changes: Callable[[ModelConfig], Mapping[str, Any]]) -> Checkpoint:
        """Return it with other options of the model; `changes` returns them for each of `configurations`."""
        new = [changes(cfg) for cfg in self.configurations]
        args = self.args if self.args is None else _updated(self.args, new.pop(0))
        return replace(self, args=args, cfg=_with_model(self.cfg, new[0]) if new else self.cfg)


def _model_of(cfg: Any) -> Any:
    """Return `cfg.model` itself, None where there is none; omegaconf 2.0's `get` would raise then."""
    return cfg["model"] if cfg is not None and "model" in cfg else None


def _updated(options: Any, changes: Mapping[str, Any]) -> Any:
    new = copy.copy(options)
    for name, value in changes.items():
        put(new, name, value)
    return new


def _with_model(cfg: Any, changes: Mapping[str, Any]) -> Any:
    if not changes:
        return cfg
    if isinstance(cfg, dict):
        return {**cfg, "model": _updated(cfg["model"], changes)}
    new = copy.deepcopy(cfg)  # all of it: a group looks options up in others
    if isinstance(cfg["model"], Namespace):  # which omegaconf shares between copies, and lets nobody replace
        new._get_node("model")._val = _updated(cfg["model"], changes)
        return new
    for name, value in changes.items():
        put(new["model"], name, value)
    return new
