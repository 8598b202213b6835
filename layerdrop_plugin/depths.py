"""Training at named depths: which depths one model is trained for, and which of them a forward pass runs.

One training that is good at several depths needs no luck with the drop rate: each forward pass runs full depth, or just
the layers that pruning to one of the depths will keep (Wang, Xiao, Zhu, "Training Flexible Depth Model by Multi-Task
Learning for Neural Machine Translation", Findings of EMNLP 2020, train several depths in one model, too).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from . import selection
from .masks import uniform
from .selection import Kept

FULL_SHARE = 0.4
"""Of the forward passes run full depth, where nothing else is said."""

GRAMMAR = (
    "depths as in '9,6,4' or, encoder+decoder, '6+3,4+4'; a K is every_other:K, 'first:K' or 'last:K' may stand for "
    "it, and a share of the forward passes may follow, as in '6+6=0.4,3+3'"
)
"""What a list of depths may look like, for help texts and errors."""


@dataclass(frozen=True)
class Depth:
    """One depth that is trained.

    Attributes:
        name: as in a list of depths, say '6+3' or 'first:2'.
        kept: the layers that run, by stack.
        share: of the forward passes, from 0 to 1.
    """

    name: str
    kept: Mapping[str, Kept]
    share: float


def parse(spec: str, depths: Mapping[str, int], option: str = "depths") -> tuple[Depth, ...]:
    """Return the depths that `spec` names, full depth among them, the largest first; their shares add up to 1.

    If full depth is not named, its share is 0.4, or the rest if every other depth has a share. Depths without a share
    have equal parts of the rest.

    Args:
        depths: how many layers each stack has, the encoder first.
        option: the name that an error gives to the value.

    Raises:
        ValueError: one line with the option, the rule and the value.

    >>> [(d.name, d.share) for d in parse("4,2=0.1", {"decoder": 6})]
    [('6', 0.4), ('4', 0.5), ('2', 0.1)]
    >>> parse("2+1=0.5", {"encoder": 4, "decoder": 2})[1].kept
    {'encoder': (0, 2), 'decoder': (0,)}
    """
    shares: dict[tuple[Kept, ...], float | None] = {}
    names: dict[tuple[Kept, ...], str] = {}
    for item in spec.split(","):
        name, _, share = item.partition("=")
        parts, kept = _kept(name, depths, option, spec)
        if kept in shares:
            raise ValueError(f"`{option}` must name each depth once, but names {name.strip()} twice in {spec!r}.")
        names[kept] = "+".join(parts)
        shares[kept] = _share(share, option, spec) if "=" in item else None
    full = tuple(tuple(range(depth)) for depth in depths.values())
    names[full] = "+".join(map(str, depths.values()))
    if full not in shares:
        shares[full] = _share_of_full(list(shares.values()), names[full], option, spec)
    filled = _filled(shares, option, spec)
    largest_first = sorted(filled, key=lambda kept: (-sum(map(len, kept)), [-len(layers) for layers in kept]))
    return tuple(Depth(names[kept], dict(zip(depths, kept)), filled[kept]) for kept in largest_first)


def draw(trained: Sequence[Depth], *, seed: int, update: int, forward_pass: int, factor: float = 1.0) -> Depth:
    """Return the depth that a forward pass runs: each with the probability of its share.

    A pure function of its arguments, so it is the same for both stacks, on every worker and after a restart.

    Args:
        trained: as `parse` returns them, full depth first.
        forward_pass: counts the passes of one update from 0.
        factor: of the shares of all depths but the full one, from 0 to 1, which has the rest.
    """
    point = uniform(seed=seed, update=update, forward_pass=forward_pass, name="depth")
    for depth in trained[:0:-1]:
        point -= depth.share * factor
        if point < 0.0:
            return depth
    return trained[0]


def with_full_depth(trained: tuple[Depth, ...]) -> tuple[Depth, ...]:
    """Return the depths with the usual share for full depth, if it has none: else layers might never be trained.

    >>> describe(with_full_depth(parse("6=0,4,2", {"decoder": 6})))
    '6=0.4,4=0.3,2=0.3'
    """
    if not trained or trained[0].share > 0.0:
        return trained
    full, *smaller = trained
    return (
        replace(full, share=FULL_SHARE),
        *(replace(depth, share=depth.share * (1.0 - FULL_SHARE)) for depth in smaller),
    )


def spec(trained: Sequence[Depth]) -> str:
    """Write the list that `parse` reads as these depths."""
    return written({depth.name: depth.share for depth in trained})


def written(shares: Mapping[str, float]) -> str:
    """Write the list of these names and shares; `parse` wants the shares to be 1 together, up to 1e-9."""
    return ",".join(f"{name}={share:.12g}" for name, share in shares.items())


def describe(trained: Sequence[Depth]) -> str:
    """Write depths with their shares, as short as it can be read.

    >>> describe(parse("4,2=0.1", {"decoder": 6}))
    '6=0.4,4=0.5,2=0.1'
    """
    return ",".join(f"{depth.name}={depth.share:.4g}" for depth in trained)


def _kept(name: str, depths: Mapping[str, int], option: str, spec: str) -> tuple[tuple[str, ...], tuple[Kept, ...]]:
    parts = tuple(part.strip() for part in name.split("+"))
    if len(parts) == 1:
        parts *= len(depths)
    if len(parts) != len(depths):
        wanted = f"one depth, of the {next(iter(depths))}" if len(depths) == 1 else "depths of " + " + ".join(depths)
        raise ValueError(f"`{option}` must name {wanted}, but has {name.strip()!r} in {spec!r}.")
    stacks = zip(parts, depths.items())
    return parts, tuple(_layers(part, stack, depth, option, spec) for part, (stack, depth) in stacks)


def _layers(part: str, stack: str, depth: int, option: str, spec: str) -> Kept:
    match = re.fullmatch(r"(?:(every_other|first|last):)?([0-9]{1,9})", part, re.ASCII)
    if match is None:
        raise ValueError(f"`{option}` must be {GRAMMAR}, but has {part!r} in {spec!r}.")
    keep = int(match[2])
    if not 1 <= keep <= depth:
        wanted = f"1 to {depth} {stack} layers" if depth > 1 else f"the one {stack} layer"
        raise ValueError(f"`{option}` must keep {wanted}, but has {part!r} in {spec!r}.")
    return selection.BY_COUNT[match[1] or "every_other"](depth, keep)


def _share(text: str, option: str, spec: str) -> float:
    if not re.fullmatch(r"\s*([0-9]+\.?[0-9]*|\.[0-9]+)(e-?[0-9]+)?\s*", text, re.ASCII) or float(text) > 1.0:
        raise ValueError(f"`{option}` must have shares from 0 to 1, but has {text.strip()!r} in {spec!r}.")
    return float(text)


def _share_of_full(shares: Sequence[float | None], name: str, option: str, spec: str) -> float:
    given = [share for share in shares if share is not None]
    if len(given) < len(shares):
        return FULL_SHARE
    left = 1.0 - math.fsum(given)
    if left < 1e-9:
        raise ValueError(
            f"`{option}` must leave a share for full depth, or have '{name}=0', but the shares are "
            f"{math.fsum(given):.6g} together in {spec!r}."
        )
    return left


def _filled(shares: Mapping[tuple[Kept, ...], float | None], option: str, spec: str) -> dict[tuple[Kept, ...], float]:
    given = math.fsum(share for share in shares.values() if share is not None)
    unsaid, left = sum(share is None for share in shares.values()), 1.0 - given
    if unsaid and left < 1e-9:
        raise ValueError(
            f"`{option}` must leave a share for each depth that names none, but the shares are {given:.6g} "
            f"together, full depth's among them, in {spec!r}."
        )
    if not unsaid and abs(left) > 1e-9:
        raise ValueError(f"`{option}` must have shares that are 1 together, but they are {given:.6g} in {spec!r}.")
    total = given if not unsaid else 1.0  # off by 1e-9 at most
    return {kept: left / unsaid if share is None else share / total for kept, share in shares.items()}
