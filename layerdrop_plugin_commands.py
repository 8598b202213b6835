"""The commands `layerdrop` and `layerdrop-...` start here: they import fairseq, two seconds, only where they need it.

`import layerdrop_plugin` registers the models with fairseq in any other program, whatever that is called.
"""

from __future__ import annotations

from importlib import import_module

started = False
"""Whether one of the functions below has started this process's command."""


def average() -> None:
    """Start `layerdrop-average`."""
    _start("average")


def describe() -> None:
    """Start `layerdrop-describe`."""
    _start("describe")


def export() -> None:
    """Start `layerdrop-export`."""
    _start("export")


def main() -> None:
    """Start `layerdrop`, which starts the others."""
    _start("umbrella")


def prune() -> None:
    """Start `layerdrop-prune`."""
    _start("prune")


def search() -> None:
    """Start `layerdrop-search`."""
    _start("search")


def sweep() -> None:
    """Start `layerdrop-sweep`."""
    _start("sweep")


def _start(name: str) -> None:
    global started
    started = True
    try:
        import_module(f"layerdrop_plugin.cli.{name}").main()
    finally:
        started = False  # in a program that calls it
