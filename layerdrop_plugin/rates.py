"""Drop rates: what is one, and the rate that suits a target depth (paper, section 3.2.2)."""

from typing import Union


def check_rate(value: Union[float, str], option: str = "rate") -> float:
    """Return `value` as a drop rate p, 0 <= p < 1.

    Raises:
        ValueError: one line with the option, the rule and the value.

    >>> check_rate("0.2")
    0.2
    """
    try:
        rate = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"`{option}` must be a number, but is {value!r} instead.") from None
    if not 0.0 <= rate < 1.0:
        raise ValueError(f"`{option}` must be at least 0 and below 1, but is {value} instead.")
    return rate


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
