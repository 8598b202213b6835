"""Let beam search go the same way again, with other layers: what differs in time is then the layers' doing alone.

Shallower models translate otherwise: with more words, or with endless repetitions. The number of steps, and how many
sentences are left at each, would hide what a layer costs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

Steps = list[tuple[Any, ...]]
"""What the search has chosen at each step: fairseq's scores, tokens and beams of the candidates."""


def record(generator: Any, steps: Steps) -> None:
    """Note, in `steps`, what the search of one of fairseq's generators chooses."""
    if not hasattr(generator, "search"):  # a user's own task
        return
    search, step = generator.search, generator.search.step

    def noting(*args: Any, **kwargs: Any) -> Any:
        chosen = step(*args, **kwargs)
        steps.append(_copied(chosen))
        return chosen

    search.step = noting


def replay(generator: Any, steps: Steps) -> None:
    """Let the search do its work at each step, but choose what `steps` says."""
    if not steps:
        return
    search, step = generator.search, generator.search.step
    noted: Iterator[tuple[Any, ...]] = iter(steps)

    def again(*args: Any, **kwargs: Any) -> Any:
        step(*args, **kwargs)
        return _copied(next(noted))

    search.step = again


def _copied(chosen: Any) -> tuple[Any, ...]:
    return tuple(value.clone() if isinstance(value, Tensor) else value for value in chosen)
