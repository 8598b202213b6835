"""Masks of structured dropout (paper, section 3.2): which groups one forward pass drops, a pure function of a key."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence

Mask = tuple[bool, ...]
"""True where a group is dropped."""


def dropped_groups(rates: Sequence[float], *, seed: int, update: int, forward_pass: int, name: str) -> Mask:
    """Return for each group whether it is dropped: True with the probability of its rate, independently.

    This is a pure function of its arguments, so the mask is the same on every worker and after a restart. It leaves
    every random generator alone. Group i is dropped when a number hashed from (seed, update, forward pass, name, i),
    uniform in [0, 1), is below its rate. So a mask does not depend on how many groups there are, and a higher rate
    drops the same groups and more.

    Args:
        rates: one for each group, from 0 to 1.
        forward_pass: counts the passes of one update from 0: with `--update-freq 2` there are two.
        name: sets one kind of group apart from others; the layers of a stack go by the stack's,
            "encoder" or "decoder".
    """
    key = _key(seed, update, forward_pass, name)
    return tuple(rate > 0.0 and _uniform(key, i) < rate for i, rate in enumerate(rates))


def uniform(*, seed: int, update: int, forward_pass: int, name: str) -> float:
    """Return a number, uniform in [0, 1), that is a pure function of its arguments as a mask is."""
    return _uniform(_key(seed, update, forward_pass, name), 0)


def _key(seed: int, update: int, forward_pass: int, name: str) -> bytes:
    return hashlib.blake2b(struct.pack("<qqq", seed, update, forward_pass) + name.encode(), digest_size=32).digest()


def _uniform(key: bytes, group: int) -> float:
    digest = hashlib.blake2b(struct.pack("<q", group), key=key, digest_size=8).digest()
    return (int.from_bytes(digest, "little") >> 11) * 2.0**-53
