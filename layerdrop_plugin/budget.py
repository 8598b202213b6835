"""A budget: what a model may cost, given in place of the number of layers to keep."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import NamedTuple

NUMBER = r"(?P<number>[0-9]{1,12}(?:\.[0-9]{1,9})?)"


class Kind(NamedTuple):
    """What may be limited: its units, each with what it stands for, and examples for errors."""

    units: dict[str, Decimal]
    rule: str


KINDS = {
    "speedup": Kind({"": Decimal(1)}, "a number above 1 such as 2 or 1.5"),
    "latency": Kind({"ms": Decimal("0.001"), "s": Decimal(1)}, "a time above 0 such as 10ms or 0.5s"),
    "params": Kind(
        {"": Decimal(1), "K": Decimal(10) ** 3, "M": Decimal(10) ** 6, "B": Decimal(10) ** 9},
        "a whole number of parameters such as 20M or 1.5B",
    ),
    "size": Kind(
        {
            **dict.fromkeys(("", "B"), Decimal(1)),
            **dict.fromkeys(("K", "kB", "KB"), Decimal(10) ** 3),
            **dict.fromkeys(("M", "MB"), Decimal(10) ** 6),
            **dict.fromkeys(("G", "GB"), Decimal(10) ** 9),
        },
        "a size above 0, in bytes or with kB, MB or GB (10^3, 10^6, 10^9 bytes), such as 30MB or 1.5GB",
    ),
    "max_loss_increase": Kind({"%": Decimal("0.01")}, "a percentage above 0 such as 2% or 0.5%"),
}
"""By name; `units` are in seconds, parameters, bytes, and shares of 1."""

SPEED = ("speedup", "latency")
"""The kinds that are about time."""

COUNTED = ("params", "size")
"""The kinds that need no timing: what they limit is counted."""


class Cost(NamedTuple):
    """What a model costs.

    Attributes:
        seconds: for a sentence.
        bytes: of its file; 0 where nobody asked for it.
    """

    seconds: float
    parameters: int
    bytes: int = 0


class Budget(NamedTuple):
    """A kind of `KINDS`, its amount in the kind's first unit, and how it was written."""

    kind: str
    amount: float
    text: str

    def is_met(self, cost: Cost, full: Cost) -> bool:
        """Return whether a model is within the budget; of a largest loss increase, its cost says nothing."""
        if self.kind == "speedup":
            return full.seconds >= self.amount * cost.seconds
        if self.kind == "latency":
            return cost.seconds <= self.amount
        return self.kind == "max_loss_increase" or {"params": cost.parameters, "size": cost.bytes}[self.kind] <= int(
            self.amount
        )

    def allows(self, loss: float, full_loss: float) -> bool:
        """Return whether a loss is at most so much above that of the full model.

        >>> parse("max_loss_increase", "2%").allows(5.1, 5.0), parse("max_loss_increase", "2%").allows(5.2, 5.0)
        (True, False)
        """
        return loss <= full_loss * (1.0 + self.amount)


def parse(kind: str, text: str, option: str | None = None) -> Budget:
    """Return the budget that an option's value stands for.

    Args:
        option: the name that an error gives to the value; the kind's, if it is None.

    Raises:
        ValueError: one line: no such number, or another unit.

    >>> parse("latency", "10ms").amount, parse("params", "1.5B").amount, parse("size", "30MB").amount
    (0.01, 1500000000.0, 30000000.0)
    """
    units, rule = KINDS[kind]
    found = re.fullmatch(f"{NUMBER}(?P<unit>{'|'.join(map(re.escape, units))})", text)
    amount = Decimal(found["number"]) * units[found["unit"]] if found else Decimal(0)
    whole = kind != "params" or amount == int(amount)
    if amount <= (1 if kind == "speedup" else 0) or not whole:
        raise ValueError(f"`{option or kind}` must be {rule}, but is {text!r} instead.")
    return Budget(kind, float(amount), text)
