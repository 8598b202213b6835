"""Show the progress of long work: a bar on a terminal, else a line each minute."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Callable, NoReturn

from tqdm import tqdm

EVERY = 60.0
"""Seconds between lines."""


class Lines:
    """Progress as lines on standard error, as a log file or a scheduler keeps it; none for work of less than a minute.

    Args:
        total: how much there is to do.
        clock: returns seconds.
    """

    def __init__(self, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.total, self.clock = total, clock
        self.done, self.began = 0, clock()
        self._next = self.began + EVERY

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        pass

    def update(self, more: int = 1) -> None:
        """Count what was done; print a line if the last one is a minute old."""
        self.done += more
        now = self.clock()
        if now >= self._next and self.done < self.total:
            self._next = now + EVERY
            passed = now - self.began
            left = passed / self.done * (self.total - self.done)
            share = f"{100 * self.done / self.total:.0f}%"
            print(f"progress: {share} after {_time(passed)}, about {_time(left)} left", file=sys.stderr, flush=True)


def progress(total: int, unit: str, quiet: bool = False) -> tqdm[NoReturn] | Lines:
    """Return the progress of a command for a `with` statement; its `update` takes how much more was done.

    Args:
        quiet: show nothing.
    """
    if quiet or sys.stderr.isatty():
        return tqdm(total=total, unit=unit, leave=False, disable=quiet)
    return Lines(total)


def _time(seconds: float) -> str:
    """Return a time for a person.

    >>> _time(20), _time(90), _time(5400)
    ('20 s', '2 min', '1 h 30 min')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
