"""The values of our options for one model: checked and read once, where its architecture is."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from ... import depths as trained
from ... import depths_left, layer_spec, rates
from ...depths import Depth
from .config import ModelConfig, get, has, put, root_option
from .declared import DEPTHS, DROPS, KEEP, LAYERS, OPTIONS, RATES, STACKS, Option, flag_of
from .family import architecture, depths_of, family_of, name_in, why_not


@dataclass(frozen=True)
class StackOptions:
    """What is asked for of one stack: the rates of each layer, named as the options, and which layers to keep."""

    layerdrop: rates.Rates
    headdrop: rates.Rates
    ffndrop: rates.Rates
    sublayerdrop: rates.Rates
    layerdrop_learned: bool
    layers_to_keep: layer_spec.LayerSpec | None

    def pruned(self, kept: tuple[int, ...]) -> StackOptions:
        """Return the options of the layers that are kept; nothing is left to prune."""
        rates_of_kept: dict[str, Any] = {kind: tuple(getattr(self, kind)[i] for i in kept) for kind in DROPS}
        return replace(self, **rates_of_kept, layers_to_keep=None)


@dataclass(frozen=True)
class ModelOptions:
    """What is asked for of a model: of each of its stacks, of the rates over time, and the seed of the masks."""

    stacks: Mapping[str, StackOptions]
    depths: Mapping[str, int]
    schedule: rates.Schedule
    seed: int
    trained_depths: tuple[Depth, ...] = ()
    validate_depths: bool = False

    @property
    def layers_to_keep(self) -> dict[str, layer_spec.LayerSpec]:
        """The specification of each stack that is to be pruned."""
        specs = {stack: options.layers_to_keep for stack, options in self.stacks.items()}
        return {stack: spec for stack, spec in specs.items() if spec is not None}

    def check_training(self) -> None:
        """Check what matters only to a model that is trained.

        Raises:
            ValueError: one line with the option, the rule and the value.
        """
        self.schedule.check(("--layerdrop-warmup-updates", "--layerdrop-cooldown-updates", "--max-update"))
        for stack, options in self.stacks.items():
            if options.layerdrop_learned and not any(options.layerdrop):
                rate = f"--{stack}-layerdrop"
                raise ValueError(f"`{rate}-learned` must go with a `{rate}` above 0, the mean of the rates.")

    def pruned(self, kept: Mapping[str, tuple[int, ...]]) -> ModelOptions:
        """Return the options of the model that has only the layers `kept` of these stacks."""
        stacks = {s: o.pruned(kept[s]) if s in kept else o for s, o in self.stacks.items()}
        depths = {**self.depths, **{s: len(layers) for s, layers in kept.items()}}
        left = depths_left.pruned(self.trained_depths, kept) if self.trained_depths else None
        smaller = () if left is None else trained.parse(left, depths, "--layerdrop-depths")
        return replace(self, stacks=stacks, depths=depths, trained_depths=smaller)


class _BeingBuilt(NamedTuple):
    """A model that fairseq builds now: its configuration, what that held when it was read, and what was read."""

    cfg: ModelConfig
    values: dict[str, Any]
    options: ModelOptions


_being_built: ContextVar[_BeingBuilt | None] = ContextVar("being_built", default=None)


@contextlib.contextmanager
def being_built(cfg: ModelConfig, options: ModelOptions) -> Iterator[None]:
    """Let `of` return these options of `cfg` inside, where fairseq builds the model, as long as nobody changes them."""
    token = _being_built.set(_BeingBuilt(cfg, _values(cfg), options))
    try:
        yield
    finally:
        _being_built.reset(token)


def is_building() -> bool:
    """Return whether a model is being built: another one is then a part of it."""
    return _being_built.get() is not None


def known(cfg: ModelConfig) -> ModelOptions | None:
    """Return the options of a model that is being built; None for any other, or where its configuration was changed.

    It may be a copy: fairseq completes the configuration of a model with a dataclass in another object.
    """
    built = _being_built.get()
    same = built is not None and built.values == _values(cfg)
    return built.options if built is not None and same else None


def of(cfg: ModelConfig, depths: Mapping[str, int]) -> ModelOptions:
    """Return the options of a model that fairseq has just built, with stacks of these depths.

    A model that another one is made of has the seed and the schedule of that one.

    Raises:
        ValueError: as `read`.
    """
    options, built = known(cfg), _being_built.get()
    if options is None:
        options = _read(cfg, depths, keep=False)  # fairseq has carried out what is to be kept
        if built is not None and built.cfg is not cfg:
            options = replace(options, seed=built.options.seed, schedule=built.options.schedule)
    return options


def read(cfg: ModelConfig, depths: Mapping[str, int] | None = None) -> ModelOptions:
    """Check the options in a complete configuration of a model, put their values in order, in place, and return them.

    Args:
        depths: how many layers each stack has, where the configuration does not say it.

    Raises:
        ValueError: one line with the option, the rule and the value.
    """
    return _read(cfg, depths_of(cfg) if depths is None else depths)


def _read(cfg: ModelConfig, depths: Mapping[str, int], keep: bool = True) -> ModelOptions:
    names = {option.name: name_in(cfg, option.name) for option in OPTIONS if keep or option.kind is not LAYERS}
    values = {option: get(cfg, name) for option, name in names.items()}
    for option in OPTIONS if keep else ():
        value, name = values[option.name], names[option.name]
        if option.stack is not None and option.stack not in depths:
            if value or (option.kind is LAYERS and value is not None):
                raise ValueError(f"`{option.name}` must be left out: {_without(cfg, option)} (got {value!r}).")
        elif value is not None:
            values[option.name] = option.kind.read(value, flag_of(name))
            if option.kind is not LAYERS:
                put(cfg, name, values[option.name])
        elif option.kind is RATES and has(cfg, name):
            put(cfg, name, 0.0)  # fairseq compares it with 0
    warmup, cooldown = (int(values[f"layerdrop_{time}_updates"] or 0) for time in ("warmup", "cooldown"))
    max_update = int(root_option(cfg, "optimization", "max_update") or 0)
    return ModelOptions(
        {stack: _stack_options(cfg, stack, depth, values) for stack, depth in depths.items()},
        depths,
        rates.Schedule(warmup, cooldown, max_update),
        int(root_option(cfg, "common", "seed") or 0),
        _trained_depths(cfg, values, depths),
        bool(values["layerdrop_validate_depths"]),
    )


def _values(cfg: ModelConfig) -> dict[str, Any]:
    """Return all that `read` takes from a model's configuration, to compare it; what else is in it may not resolve."""
    heads = [f"{stack}_attention_heads" for stack in STACKS]
    ours = [name_in(cfg, option.name) for option in OPTIONS]
    return {**{name: get(cfg, name) for name in [*ours, *heads, "_name", "arch"]}, "depths": depths_of(cfg)}


def _trained_depths(cfg: ModelConfig, values: Mapping[str, Any], depths: Mapping[str, int]) -> tuple[Depth, ...]:
    spec, option = values["layerdrop_depths"], "--layerdrop-depths"
    if spec is None:
        return ()
    if int(get(cfg, "base_layers") or 0):  # fairseq puts them between the decoder's others
        raise ValueError(f"`{option}` must be left out with --base-layers, but is {spec!r}.")
    for stack in depths:
        if values[f"{stack}_layerdrop_learned"]:
            raise ValueError(f"`{option}` must be left out with --{stack}-layerdrop-learned, but is {spec!r}.")
    return trained.parse(DEPTHS.read(spec, option), depths, option)


def _without(cfg: ModelConfig, option: Option) -> str:
    stack, model = str(option.stack), str(architecture(cfg))
    row = family_of(cfg).stacks.get(stack)
    if row is not None and "." in row.depth[0] and option.kind is LAYERS:
        return f"the {stack} of {model} is that of its `w2v_path`, which `layerdrop-prune` prunes"
    if model.startswith("layerdrop_"):
        return f"{model} has no {stack}"
    why = why_not(stack, model) if option.kind is LAYERS else None
    return why or f"{model} has no `{row.depth[0] if row else f'{stack}_layers'}`"


def _stack_options(cfg: ModelConfig, stack: str, depth: int, values: Mapping[str, Any]) -> StackOptions:
    spec = values.get(KEEP[stack])
    if spec is not None:
        layer_spec.check(spec, "--" + KEEP[stack].replace("_", "-"), depth)
    return StackOptions(
        **{kind: drop_rates(cfg, stack, kind, depth, values[f"{stack}_{kind}"]) for kind in DROPS},
        layerdrop_learned=bool(values[f"{stack}_layerdrop_learned"]),
        layers_to_keep=spec,
    )


def drop_rates(cfg: ModelConfig, stack: str, kind: str, depth: int, spec: rates.RateSpec | None) -> rates.Rates:
    """Return the rate of each of a stack's layers, for one kind of group of `DROPS`.

    Raises:
        ValueError: one line with the option, the rule and the value.
    """
    if not spec:
        return (0.0,) * depth
    heads = int(get(cfg, f"{stack}_attention_heads") or 0) if kind == "headdrop" else None
    return rates.parse(spec, depth, flag_of(name_in(cfg, f"{stack}_{kind}")), heads)


def check_depths(cfg: ModelConfig) -> None:
    """Refuse a stack without layers.

    Raises:
        ValueError: one line with the option, the rule and the value.
    """
    for stack in STACKS:
        layers = get(cfg, f"{stack}_layers")
        if layers is not None and not re.fullmatch("0*[1-9][0-9]*", str(layers)):
            raise ValueError(f"`--{stack}-layers` must be a whole number of at least 1, but is {layers!r} instead.")


def check_stock(cfg: ModelConfig) -> None:
    """Refuse for a model of fairseq's own what only ours can do; it would ignore it, or fail on a rate that is text.

    Raises:
        ValueError: one line with the option, the rule and the value.
    """
    for option in OPTIONS:
        value = get(cfg, option.name)
        known = option.kind is LAYERS or (option.name.endswith("_layerdrop") and not isinstance(value, str))
        if value and not known:
            wanted = "one number" if option.name.endswith("_layerdrop") else "left out"
            model = get(cfg, "_name") or get(cfg, "arch")
            raise ValueError(f"`{option.flag}` must be {wanted} for {model}, which is fairseq's, but is {value!r}.")
