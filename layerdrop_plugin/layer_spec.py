"""The layer specification, "0,2,4" or "every_other:3", and the layers that it keeps."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Union

from . import selection
from .selection import Kept

LayerSpec = Union[str, int, Sequence[int]]

STRATEGIES = (*selection.BY_COUNT, "learned")
"""What may stand before the number of layers to keep."""

GRAMMAR = (
    "indices from 0 as in '0,2,4' or '0-3,8', "
    + ", ".join(f"'{name}:K'" for name in STRATEGIES)
    + ", or 'drop:P' with 0 < P <= 0.5"
)
"""What a specification may look like, for help texts and errors."""

WORDS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
NUMBERS = dict(enumerate(WORDS, start=2))


def parse(
    spec: LayerSpec, depth: int, option: str = "layers_to_keep", learned_rates: Sequence[float] | None = None
) -> Kept:
    """Return the kept layers of a stack that has `depth` layers, counted from 0, ascending.

    Args:
        option: the name that an error gives to the value.
        learned_rates: the drop rate of each layer, for 'learned:K'; None if none were learned.

    Raises:
        ValueError: one line with the option, the rule that is broken and the value.

    >>> parse("0-2,5", depth=6)
    (0, 1, 2, 5)
    >>> parse("every_other:3", depth=6)
    (0, 2, 4)
    >>> parse("drop:0.5", depth=6)
    (0, 2, 4)
    >>> parse("learned:2", depth=3, learned_rates=(0.1, 0.4, 0.1))
    (0, 2)
    """
    kept = _parse(spec, depth, option)
    if kept is None:  # only learned rates are left open
        if learned_rates is None:
            raise ValueError(
                f"`{option}` must not be {spec!r} where no drop rates were learned (with --*-layerdrop-learned)."
            )
        kept = selection.learned(learned_rates, keep=learned_count(spec))
    return kept


def check(spec: LayerSpec, option: str = "layers_to_keep", depth: int | None = None) -> None:
    """Refuse a specification that is wrong at this depth, or at any, before learned rates are known.

    Raises:
        ValueError: as `parse`.
    """
    _parse(spec, depth, option)


def is_learned(spec: LayerSpec | None) -> bool:
    """Return whether the kept layers depend on learned rates.

    >>> is_learned("learned:3"), is_learned("first:3")
    (True, False)
    """
    return isinstance(spec, str) and spec.partition(":")[0].strip() == "learned"


def learned_count(spec: LayerSpec) -> int:
    """Return the K of 'learned:K'.

    >>> learned_count("learned:3")
    3
    """
    return int(str(spec).partition(":")[2])


def describe(kept: Sequence[int]) -> str:
    """Write kept layers as a specification.

    >>> describe((0, 2, 4))
    '0,2,4'
    """
    return ",".join(map(str, kept))


def kept_of(kept: Sequence[int], depth: int) -> str:
    """Write which layers are kept of how many; the brackets tell indices from a number of layers.

    >>> kept_of((3,), 6)
    '[3] of 6'
    """
    return f"[{describe(kept)}] of {depth}"


def single_layer_note(spec: LayerSpec, depth: int) -> str | None:
    """Return a note on a specification that is one number, which may have been meant as a number of layers; else None.

    A list of one, '[3]', says that it is an index. No number of layers is 0.

    >>> single_layer_note("3", depth=6)
    'layer 3 of 6: one layer; for three layers, every_other:3'
    """
    text = str(spec).strip()
    if not re.fullmatch("[0-9]{1,9}", text) or int(text) == 0:
        return None
    layers = "one layer" if int(text) == 1 else f"{NUMBERS.get(int(text), int(text))} layers"
    return f"layer {int(text)} of {depth}: one layer; for {layers}, every_other:{int(text)}"


def _parse(spec: LayerSpec, depth: int | None, option: str) -> Kept | None:
    if isinstance(spec, str) and ":" in spec:
        return _by_strategy(spec, depth, option)
    return _by_index(_indices(spec, option), spec, depth, option)


def _by_strategy(spec: str, depth: int | None, option: str) -> Kept | None:
    name, _, value = (part.strip() for part in spec.partition(":"))
    if name == "drop":
        rate = _fraction(value)
        if rate is None or not 0 < rate <= Fraction(1, 2):
            raise ValueError(
                f"`{option}`: the rate P of 'drop:P' must be a number with 0 < P <= 0.5, but is {value!r} in {spec!r}."
            )
        return None if depth is None else selection.drop(depth, rate)
    if name not in STRATEGIES:
        raise ValueError(f"`{option}` must be {GRAMMAR}, but is {spec!r} instead.")
    if not re.fullmatch("[0-9]{1,9}", value) or int(value) < 1:
        raise ValueError(
            f"`{option}`: the K of '{name}:K' must be a whole number of at least 1, but is {value!r} in {spec!r}."
        )
    if depth is None:
        return None
    if int(value) > depth:
        raise ValueError(f"`{option}` must not keep more layers than there are, but {spec!r} keeps {value} of {depth}.")
    return None if name == "learned" else selection.BY_COUNT[name](depth, int(value))


def _fraction(text: str) -> Fraction | None:
    """Return the exact value of a decimal or a fraction: floor(1 / 0.2) must be 5."""
    known = re.fullmatch(r"[0-9]{0,9}\.?[0-9]{1,15}|[0-9]{1,9}/[1-9][0-9]{0,8}", text)
    return Fraction(text) if known else None


def _indices(spec: LayerSpec, option: str) -> list[int]:
    """Return the indices in their written order, with ranges expanded, not yet checked against the depth."""
    if isinstance(spec, (int, Sequence)) and not isinstance(spec, str):
        items = [spec] if isinstance(spec, int) else list(spec)
        if all(isinstance(i, int) and not isinstance(i, bool) for i in items):
            return items
    if not isinstance(spec, str):
        raise ValueError(f"`{option}` must be {GRAMMAR}, but is {spec!r} instead.")
    indices: list[int] = []
    listed = re.sub(r"^\s*\[(.*)\]\s*$", r"\1", spec)  # a Python list, as a string
    for item in listed.split(",") if listed.strip() else []:
        low, high = _range(item, spec, option)
        indices.extend(range(low, high + 1))
    return indices


def _range(item: str, spec: str, option: str) -> tuple[int, int]:
    match = re.fullmatch(r"\s*(-?[0-9]{1,9})\s*(?:-\s*([0-9]{1,9})\s*)?", item)
    if match is None:
        raise ValueError(f"`{option}` must be {GRAMMAR}, but is {spec!r} instead.")
    low = int(match[1])
    high = low if match[2] is None else int(match[2])
    if high < low:
        raise ValueError(f"`{option}` must have rising ranges, but has {item.strip()!r} in {spec!r}.")
    if high - low > 9999:
        raise ValueError(f"`{option}` must name existing layers, but has {item.strip()!r} in {spec!r}.")
    return low, high


def _by_index(indices: list[int], spec: LayerSpec, depth: int | None, option: str) -> Kept | None:
    if not indices:
        raise ValueError(f"`{option}` must keep at least one layer, but is {spec!r} instead.")
    for i in indices:
        if i < 0:
            raise ValueError(f"`{option}` must count layers from 0, but has {i} in {spec!r}.")
        if depth is not None and i >= depth:
            raise ValueError(f"`{option}` must name layers from 0 to {depth - 1}, but has {i} in {spec!r}.")
        if indices.count(i) > 1:
            raise ValueError(f"`{option}` must name a layer once, but has {i} twice in {spec!r}.")
    return tuple(sorted(indices))
