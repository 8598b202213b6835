"""Tell whether checkpoints are of one training: the mean of weights that were trained apart is of no use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .message import cut

ALWAYS = ("seed", "arch")
"""The options that a training keeps when it is continued; others may change then."""


class Training(NamedTuple):
    """What a checkpoint says of the training that it is of.

    Attributes:
        options: all options by name.
        continued_from: for each time that the training was continued, or a model finetuned: from which update, and
            the best value until then.
    """

    options: Mapping[str, Any]
    continued_from: Sequence[tuple[Any, Any]] = ()


def difference(first: str, its: Training, path: str, other: Training) -> str | None:
    """Return a clause on why two checkpoints are of two trainings, None where nothing speaks against one.

    Options stay the same until a training is continued. Trainings that were continued from one checkpoint have
    weights in common, whatever their options.

    Args:
        first, path: the names of the checkpoints.

    >>> difference("a.pt", Training({"seed": 1, "lr": 2}), "b.pt", Training({"seed": 2, "lr": 3}))
    '`seed` is 1 in a.pt and 2 in b.pt, and 1 more option differs'
    """
    both = list(zip(its.continued_from, other.continued_from))
    for one, two in both:
        if one != two:
            where = [f"from update {update} with a best value of {best}" for update, best in (one, two)]
            return f"{first} continues {where[0]}, and {path} {where[1]}"
    if both:
        return None
    names = ALWAYS if its.continued_from or other.continued_from else dict.fromkeys((*ALWAYS, *its.options))
    differ = [
        name
        for name in names
        if name in its.options and name in other.options and repr(its.options[name]) != repr(other.options[name])
    ]
    if not differ:
        return None
    values = [cut(repr(one.options[differ[0]]), 40) for one in (its, other)]
    more = len(differ) - 1
    others = f", and {more} more option{' differs' if more == 1 else 's differ'}" if more else ""
    return f"`{differ[0]}` is {values[0]} in {first} and {values[1]} in {path}{others}"
