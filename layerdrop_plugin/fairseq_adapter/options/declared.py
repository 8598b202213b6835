"""The options of structured dropout and pruning: declared once, for the command line, YAML and `--model-overrides`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Callable, NamedTuple

from ... import depths, layer_spec, rates
from ..errors.one_line import one_line

STACKS = ("encoder", "decoder")


class Kind(NamedTuple):
    """What an option takes.

    Attributes:
        read: turns the command line's string, or what YAML holds, into the value that the configuration keeps.
            Raises ValueError.
        off: what stands in the configuration of a model that was not asked for it.
    """

    read: Callable[[Any, str], Any]
    metavar: str | None  # None for a switch
    off: Any


class Option(NamedTuple):
    """One option, of one stack or of all."""

    name: str  # with underscores, as in YAML
    stack: str | None
    kind: Kind
    help: str

    @property
    def flag(self) -> str:
        """The name on the command line: `--encoder-layerdrop`."""
        return flag_of(self.name)


def flag_of(name: str) -> str:
    """Return an option's name on the command line.

    >>> flag_of("encoder_layerdrop")
    '--encoder-layerdrop'
    """
    return "--" + name.replace("_", "-")


def _read_rates(value: Any, option: str) -> Any:
    """A float where one number stands for all layers, as fairseq has it; else the text."""
    rates.check(value, option)
    if isinstance(value, (list, tuple)):
        value = ",".join(map(str, value))
    try:
        return float(value)
    except ValueError:
        return value


def _read_layers(value: Any, option: str) -> Any:
    layer_spec.check(value, option)
    return value


def _read_switch(value: Any, option: str) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"`{option}` must be true or false, but is {value!r} instead.")
    return value


def _read_updates(value: Any, option: str) -> int:
    text = str(value)
    if isinstance(value, bool) or not (text.isascii() and text.isdigit()):
        raise ValueError(f"`{option}` must be a whole number of at least 0, but is {value!r} instead.")
    return int(text)


def _read_depths(value: Any, option: str) -> str:
    """The text; a number or a list where YAML or `--model-overrides` has one."""
    if isinstance(value, (list, tuple)):
        value = ",".join(map(str, value))
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ValueError(f"`{option}` must be {depths.GRAMMAR}, but is {value!r} instead.")
    return str(value)


RATES = Kind(_read_rates, "P", 0.0)
LAYERS = Kind(_read_layers, "LAYERS", None)
SWITCH = Kind(_read_switch, None, False)
UPDATES = Kind(_read_updates, "N", 0)
DEPTHS = Kind(_read_depths, "DEPTHS", None)


def _of_stack(stack: str) -> tuple[Option, ...]:
    parts = "self-attention, cross-attention, FFN" if stack == "decoder" else "self-attention, FFN"
    return (
        Option(
            f"{stack}_layerdrop",
            stack,
            RATES,
            f"drop each {stack} layer with this probability while training; 0.1 to 0.2 for quality, 0.5 to prune half "
            f"of the layers or more. It takes {rates.GRAMMAR} (e.g. 0.2)",
        ),
        Option(
            f"{stack}_layerdrop_learned",
            stack,
            SWITCH,
            f"learn the drop rate of each {stack} layer while training; --{stack}-layerdrop gives their mean. "
            f"'learned:K' then keeps the K layers of the lowest rates (e.g. with --{stack}-layerdrop 0.2)",
        ),
        Option(
            f"{stack}_headdrop",
            stack,
            RATES,
            f"drop each head of the {stack}'s attentions with this probability while training. It takes "
            f"{rates.GRAMMAR}; N is the number of heads of an attention (e.g. 0.2)",
        ),
        Option(
            f"{stack}_ffndrop",
            stack,
            RATES,
            f"skip each FFN of the {stack} with this probability while training. It takes {rates.GRAMMAR} "
            "(e.g. linear:0:0.4)",
        ),
        Option(
            f"{stack}_sublayerdrop",
            stack,
            RATES,
            f"skip each sub-layer of the {stack} ({parts}) with this probability while training. It takes "
            f"{rates.GRAMMAR} (e.g. 0.2)",
        ),
        Option(
            f"{stack}_layers_to_keep",
            stack,
            LAYERS,
            f"{stack} layers to keep when pruning: {layer_spec.GRAMMAR} (e.g. every_other:3)",
        ),
    )


OPTIONS: tuple[Option, ...] = (
    *_of_stack("encoder"),
    *_of_stack("decoder"),
    Option(
        "layerdrop_warmup_updates",
        None,
        UPDATES,
        "raise all drop rates, and the shares of the smaller depths of --layerdrop-depths, linearly from 0 over the "
        "first N updates (e.g. 4000)",
    ),
    Option(
        "layerdrop_cooldown_updates",
        None,
        UPDATES,
        "lower the same rates and shares linearly to 0 over the last N updates before --max-update (e.g. 4000)",
    ),
    Option(
        "layerdrop_depths",
        None,
        DEPTHS,
        "train one model to be good at these depths, too. Each forward pass runs full depth (0.4 of the passes, unless "
        "the shares say otherwise), or just the layers that pruning to one of these depths keeps. It takes "
        f"{depths.GRAMMAR}; 'learned:K' is refused (e.g. 6+3,4+4,2+2)",
    ),
    Option(
        "layerdrop_validate_depths",
        None,
        SWITCH,
        "validate each depth of --layerdrop-depths, not only full depth: valid@3+3 in the log is the subset valid at "
        "3+3 layers. --best-checkpoint-metric loss@3+3 then chooses the best checkpoint by the loss there",
    ),
)
KEEP: dict[str, str] = {stack: f"{stack}_layers_to_keep" for stack in STACKS}
DROPS = ("layerdrop", "headdrop", "ffndrop", "sublayerdrop")
"""What follows the stack in the names of the options that are rates."""


Refused = Mapping[str, str]
"""Options that a model with a stack does not take, each with what is said of the model."""

NONE: Refused = MappingProxyType({})
WHOLE: Refused = {f"{stack}_{kind}": "drops its layers as a whole only" for stack in STACKS for kind in DROPS[1:]}


def options_of(stacks: tuple[str, ...], refused: Refused = NONE) -> list[Option]:
    """Return the options of a model with these stacks."""
    return [o for o in OPTIONS if (o.stack is None or o.stack in stacks) and o.name not in refused]


def add_options(
    parser: Any, model: str, stacks: tuple[str, ...], refused: Refused = NONE, further: tuple[Option, ...] = ()
) -> None:
    """Put our options in the place of fairseq's own; those of a stack the model lacks are refused, as others may be."""
    group = parser.add_argument_group() if isinstance(parser, argparse.ArgumentParser) else parser
    handler, group.conflict_handler = group.conflict_handler, "resolve"
    taken = (*options_of(stacks, refused), *further)
    for option in (*OPTIONS, *further):
        if option not in taken:
            nargs = "?" if option.kind is SWITCH else None
            refuse = _refused(option, f"{model} {refused.get(option.name, f'has no {option.stack}')}")
            group.add_argument(option.flag, type=refuse, action=_Refuse, nargs=nargs, help=argparse.SUPPRESS)
        elif option.kind is SWITCH:
            group.add_argument(option.flag, action="store_true", default=None, help=option.help)
        else:
            group.add_argument(option.flag, type=_checked(option), metavar=option.kind.metavar, help=option.help)
    group.conflict_handler = handler


def _checked(option: Option) -> Callable[[str], Any]:
    def parse(value: str) -> Any:
        with one_line():
            return option.kind.read(value, option.flag)

    return parse


def _refused(option: Option, why: str) -> Callable[[Any], Any]:
    def parse(value: Any) -> Any:
        with one_line():
            raise ValueError(f"`{option.flag}` must be left out: {why} (got {value!r}).")

    return parse


class _Refuse(argparse.Action):
    """For a switch, whose missing value no type sees."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        assert self.type is not None
        self.type(True)  # type: ignore[operator, arg-type]
