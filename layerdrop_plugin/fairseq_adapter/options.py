"""The four LayerDrop options: declared once, for the command line, YAML and `--model-overrides`."""

import argparse
from typing import Any, Callable, Dict, NamedTuple, Tuple

from .. import layer_spec, rates
from .config import depths_of, get, has, put
from .errors import one_line

STACKS = ("encoder", "decoder")


class Option(NamedTuple):
    """One option of one stack."""

    name: str  # with underscores, as in YAML
    stack: str
    check: Callable[[Any, str], Any]  # raises ValueError; what it returns is not used
    metavar: str
    help: str

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")


OPTIONS: Tuple[Option, ...] = tuple(
    option
    for stack in STACKS
    for option in (
        Option(
            f"{stack}_layerdrop",
            stack,
            rates.check_rate,
            "P",
            f"drop each {stack} layer with this probability while training, 0 <= P < 1; 0.1 to 0.2 "
            "for quality, 0.5 to prune half of the layers or more (e.g. 0.2)",
        ),
        Option(
            f"{stack}_layers_to_keep",
            stack,
            layer_spec.check,
            "LAYERS",
            f"{stack} layers to keep when pruning: {layer_spec.GRAMMAR} (e.g. every_other:3)",
        ),
    )
)
KEEP: Dict[str, str] = {stack: f"{stack}_layers_to_keep" for stack in STACKS}


def add_options(parser: Any, model: str, stacks: Tuple[str, ...]) -> None:
    """Put our options in the place of fairseq's own; those of a stack the model lacks are refused."""
    group = parser.add_argument_group() if isinstance(parser, argparse.ArgumentParser) else parser
    handler, group.conflict_handler = group.conflict_handler, "resolve"
    for option in OPTIONS:
        if option.stack in stacks:
            group.add_argument(option.flag, type=_checked(option), metavar=option.metavar, help=option.help)
        else:
            group.add_argument(option.flag, type=_refused(option, model), help=argparse.SUPPRESS)
    group.conflict_handler = handler


def _checked(option: Option) -> Callable[[str], Any]:
    def parse(value: str) -> Any:
        with one_line():
            option.check(value, option.flag)
        return value if option.check is layer_spec.check else float(value)

    return parse


def _refused(option: Option, model: str) -> Callable[[str], Any]:
    def parse(value: str) -> Any:
        with one_line():
            raise ValueError(f"`{option.flag}` must be left out: {model} has no {option.stack} (got {value!r}).")

    return parse


def check_options(cfg: Any) -> None:
    """Check all four in a model configuration that is complete, and make its rates floats, in place.

    Raises:
        ValueError: one line with the option, the rule and the value.
    """
    depths = depths_of(cfg)
    for option in OPTIONS:
        value = get(cfg, option.name)
        if option.stack not in depths:
            if value:
                raise ValueError(
                    f"`{option.name}` must be left out: "
                    f"{get(cfg, '_name') or get(cfg, 'arch')} has no {option.stack} (got {value!r})."
                )
        elif option.check is rates.check_rate:
            if value is not None or has(cfg, option.name):
                put(cfg, option.name, rates.check_rate(value or 0.0, option.flag))
        elif value is not None:
            layer_spec.parse(value, depths[option.stack], option.flag)
