"""What the benchmarks share: a table's head with hardware and date, tables, progress, and fair comparisons of times.

Imports neither torch nor fairseq, so that a process which starts the measured ones stays small.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import statistics
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with the options."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}\n")


def positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, but is {text!r} instead.")
    return int(text)


def at_least_two(text: str) -> int:
    if positive(text) < 2:
        raise argparse.ArgumentTypeError(f"must be at least 2, but is {text} instead.")
    return int(text)


def drop_rate(text: str) -> float:
    if not re.fullmatch(r"0?\.\d+|0", text):
        raise argparse.ArgumentTypeError(f"must be a drop rate, 0 <= P < 1, but is {text!r} instead.")
    return float(text)


def head(title: str, command: str) -> str:
    """What stands above a table: what it is, how it was made, on what and when."""
    return f"### {title}\n\n`{command}`\n\n{hardware()}; {software()}; {date.today()}.\n"


def hardware() -> str:
    """The processor and how many of its cores this process may use."""
    cores = cores_here()
    return f"{cores} core{'s' if cores > 1 else ''} of {processor(_text('/proc/cpuinfo'))}{_memory()}"


def cores_here() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor(cpuinfo: str) -> str:
    """The processor's name as Linux says it, else as Python does."""
    names = [line.partition(":")[2].strip() for line in cpuinfo.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _memory() -> str:
    total = [line.split()[1] for line in _text("/proc/meminfo").splitlines() if line.startswith("MemTotal")]
    return f", {int(total[0]) / 2**20:.0f} GB" if total else ""


def _text(path: str) -> str:
    return Path(path).read_text(encoding="utf-8") if Path(path).exists() else ""


def software() -> str:
    found = [f"Python {platform.python_version()}"]
    for package in ("torch", "fairseq", "fairseq-fixed"):
        with suppress(PackageNotFoundError):
            found.append(f"{package} {version(package)}")
    return ", ".join(found)


def table(names: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table in Markdown."""
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def say(text: str) -> None:
    print(f"benchmark: {text}", file=sys.stderr, flush=True)


def ratio(first: Sequence[float], second: Sequence[float]) -> str:
    """First through second, measured side by side in rounds: the median of the rounds, and their middle half.

    >>> ratio([2.0, 3.0, 4.0], [2.0, 2.0, 2.0])
    '1.500 (1.250 to 1.750)'
    """
    ratios = [a / b for a, b in zip(first, second)]
    if len(ratios) == 1:
        return f"{ratios[0]:.3f}"
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


def straight_line(layers: Sequence[float], seconds: Sequence[float]) -> tuple[float, float]:
    """The least squares line through the times of steps that ran so many layers: fixed time, time per layer.

    >>> straight_line([1, 2, 4], [3.0, 5.0, 9.0])
    (1.0, 2.0)
    """
    x, y = statistics.fmean(layers), statistics.fmean(seconds)
    spread = sum((a - x) ** 2 for a in layers)
    per_layer = sum((a - x) * (b - y) for a, b in zip(layers, seconds)) / spread if spread else 0.0
    return y - per_layer * x, per_layer


def had_they_run(expected: float, layers: Sequence[float], seconds: Sequence[float], per_layer: float) -> float:
    """The median time of steps, had each run `expected` layers.

    Which layers are dropped is chance, and in a few steps it moves the time by more than what is compared.
    """
    return statistics.median(s - per_layer * (n - expected) for n, s in zip(layers, seconds))
