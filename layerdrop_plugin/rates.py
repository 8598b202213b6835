"""Drop rates over depth and over time, and the rate for a target depth (paper, section 3.2.2)."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from numbers import Real
from typing import NamedTuple, Union

RateSpec = Union[float, str, Sequence[float]]
Rates = tuple[float, ...]

GRAMMAR = (
    "a rate P with 0 <= P < 1 as in '0.2', one for each layer as in '0.1,0.2,0.3', "
    "'linear:A:B' from the first layer to the last, or 'target:K' for P = 1 - K/N"
)
"""What rates may look like, for help texts and errors."""

NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|[+-]?(inf|nan)", re.IGNORECASE)


def parse(spec: RateSpec, depth: int, option: str = "rate", groups: int | None = None) -> Rates:
    """Return the drop rate of each of `depth` layers.

    Args:
        option: the name that an error gives to the value.
        groups: the N of 'target:K', if it is not the depth.

    Raises:
        ValueError: one line with the option, the rule and the value.

    >>> parse("linear:0:0.5", depth=3)
    (0.0, 0.25, 0.5)
    >>> parse("target:3", depth=4)
    (0.25, 0.25, 0.25, 0.25)
    """
    if isinstance(spec, str) and spec.strip().startswith("linear:"):
        first, last = _ends(spec, option)
        steps = max(1, depth - 1)
        between = (first * (1 - i / steps) + last * (i / steps) for i in range(depth))
        return tuple(sorted((first, rate, last))[1] for rate in between)  # rounding must not lead outside, to -4e-19
    if isinstance(spec, str) and spec.strip().startswith("target:"):
        return (_of_target(spec, groups or depth, option),) * depth
    rates = _listed(spec, option)
    if len(rates) == 1:
        return rates * depth
    if len(rates) != depth:
        each = f"a rate for each of {depth} layers" if depth > 1 else "one rate for one layer"
        raise ValueError(f"`{option}` must have {each}, but has {len(rates)} in {spec!r}.")
    return rates


def check(spec: RateSpec, option: str = "rate") -> None:
    """Refuse a specification that is wrong at any depth, before the depth is known.

    Raises:
        ValueError: as `parse`.
    """
    text = spec.strip() if isinstance(spec, str) else ""
    if text.startswith("linear:"):
        _ends(text, option)
    elif text.startswith("target:"):
        _target(text, option)
    else:
        _listed(spec, option)


def check_rate(value: float | str, option: str = "rate") -> float:
    """Return `value` as a drop rate p, 0 <= p < 1.

    Raises:
        ValueError: one line with the option, the rule and the value.

    >>> check_rate("0.2")
    0.2
    """
    if not _is_number(value):
        raise ValueError(f"`{option}` must be a number, but is {value!r} instead.")
    try:
        rate = float(value)
    except OverflowError:  # a whole number of hundreds of digits
        rate = math.inf
    if not 0.0 <= rate < 1.0:
        raise ValueError(f"`{option}` must be at least 0 and below 1, but is {value} instead.")
    return rate


def describe(rates: Sequence[float]) -> float | str:
    """Write the rates of a stack's layers in the shortest form that `parse` reads back to the same floats.

    >>> describe((0.2, 0.2))
    0.2
    >>> describe((0.0, 0.1))
    '0.0,0.1'
    """
    return rates[0] if len(set(rates)) == 1 else ",".join(map(repr, rates))


def rate_for_depth(depth: int, keep: int) -> float:
    """Return the rate p* = 1 - keep / depth that leaves `keep` of `depth` layers on average.

    Raises:
        ValueError: `keep` is not between 1 and `depth`.

    >>> rate_for_depth(depth=16, keep=12)
    0.25
    """
    if not 1 <= keep <= depth:
        raise ValueError(f"`keep` must be between 1 and {depth}, but is {keep} instead.")
    return 1.0 - keep / depth


def expected_depth(depth: int, rate: float) -> float:
    """Return how many of `depth` layers run on average at drop rate `rate`.

    >>> expected_depth(depth=6, rate=0.5)
    3.0
    """
    return depth * (1.0 - check_rate(rate))


class Schedule(NamedTuple):
    """Rates over time: they rise from 0 at the start of training, and fall to 0 at its end, linearly.

    The updates of a run are counted from 0 to `max_update` - 1.

    >>> rising = Schedule(warmup=10)
    >>> rising.factor(0), rising.factor(5), rising.factor(10)
    (0.0, 0.5, 1.0)
    >>> falling = Schedule(cooldown=10, max_update=100)
    >>> falling.factor(89), falling.factor(94), falling.factor(99)
    (1.0, 0.5, 0.0)
    """

    warmup: int = 0
    cooldown: int = 0
    max_update: int = 0

    def factor(self, update: int) -> float:
        """Return what the rates are multiplied by in an update, from 0 to 1."""
        risen = min(1.0, update / self.warmup) if self.warmup else 1.0
        left = min(1.0, max(0, self.max_update - 1 - update) / self.cooldown) if self.cooldown else 1.0
        return min(risen, left)

    def check(self, options: Sequence[str] = ("warmup", "cooldown", "max_update")) -> Schedule:
        """Return the schedule if training is long enough for it; `options` name the three numbers in errors.

        Raises:
            ValueError: one line with the options, the rule and the values.
        """
        warmup, cooldown, max_update = options
        if self.cooldown and self.max_update <= 0:
            raise ValueError(
                f"`{cooldown}` must be left out where `{max_update}` is not set, but is {self.cooldown} instead."
            )
        if 0 < self.max_update < self.warmup + self.cooldown:
            raise ValueError(
                f"`{warmup}` and `{cooldown}` must fit into `{max_update}`, "
                f"but are {self.warmup} and {self.cooldown} of {self.max_update}."
            )
        return self


ALWAYS = Schedule()
"""The same rates from the first update to the last."""


def _ends(spec: str, option: str) -> tuple[float, float]:
    parts = spec.split(":")
    if len(parts) != 3:
        raise ValueError(f"`{option}` must be {GRAMMAR}, but is {spec!r} instead.")
    return check_rate(parts[1], option), check_rate(parts[2], option)


def _target(spec: str, option: str) -> int:
    keep = spec.split(":", 1)[1].strip()
    if not (keep.isascii() and keep.isdigit() and len(keep) < 10 and int(keep) >= 1):
        raise ValueError(
            f"`{option}`: the K of 'target:K' must be a whole number of at least 1, but is {keep!r} in {spec!r}."
        )
    return int(keep)


def _of_target(spec: str, groups: int, option: str) -> float:
    keep = _target(spec, option)
    if keep > groups:
        raise ValueError(f"`{option}` must not aim for more than there are, but {spec!r} keeps {keep} of {groups}.")
    return rate_for_depth(groups, keep)


def _listed(spec: RateSpec, option: str) -> Rates:
    if isinstance(spec, str):
        items: Sequence[float | str] = re.sub(r"^\s*\[(.*)\]\s*$", r"\1", spec).split(",")  # a list as a string
    elif isinstance(spec, Sequence):
        items = spec
    else:
        items = [spec]
    if not items or (len(items) == 1 and isinstance(items[0], str) and not _is_number(items[0])):
        raise ValueError(f"`{option}` must be {GRAMMAR}, but is {spec!r} instead.")
    return tuple(check_rate(item, option) for item in items)


def _is_number(value: float | str) -> bool:
    """Return whether a value is a number; in text, plain ASCII: `float` also takes 1_0, and digits of all scripts."""
    return NUMBER.fullmatch(value.strip()) is not None if isinstance(value, str) else isinstance(value, Real)
