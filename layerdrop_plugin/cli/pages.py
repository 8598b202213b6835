"""`--report FILE.html` of a command: one page to keep, with what was asked, the results, and how to go on."""

from __future__ import annotations

import contextlib
import datetime
import platform
import shlex
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Callable

from .. import __version__, atomic, html_report, message
from ..html_report import Commands, Part, Table
from . import results
from .results import Row

PNG = "plot.png"
"""Stands for a file, whose format is that of plots in pages."""

PACKAGES = ("fairseq", "fairseq-fixed", "torch")


def add_option(parser: ArgumentParser) -> None:
    """Add --report to a command."""
    parser.add_argument(
        "--report", metavar="FILE.html", help="write a page to keep: tables, plots, next commands, the data"
    )


def check(args: Namespace) -> None:
    """Refuse, before long work, a page that can't be written.

    Raises:
        ValueError: one line.
    """
    if args.report is not None and not args.report.endswith(".html"):
        raise ValueError(f"`--report` must be a file that ends in .html, but is {args.report!r} instead.")


def command(prog: str, argv: Sequence[str] | None) -> str:
    """Return the command line as one types it.

    Args:
        argv: its arguments; None for those of this process.
    """
    return shlex.join([prog, *(sys.argv[1:] if argv is None else map(str, argv))])


def write(args: Namespace, command: str, sections: Mapping[str, Sequence[Part]], data: Any) -> None:
    """Write the page that --report asks for.

    Args:
        command: the command line.
        sections: by heading, what the command found.
        data: what --json writes.
    """
    today = datetime.date.today().isoformat()
    asked: dict[str, Sequence[Part]] = {"What was asked": [Commands(command), f"{today}, {_versions()}."]}
    title = f"{command.partition(' ')[0]}: {message.printable(args.path)}"
    page = html_report.page(title, {**asked, **sections}, results.finite(data))
    with atomic.write_file(args.report, args.force, "--report") as file:
        file.write(page.encode())


def _versions() -> str:
    found = {"layerdrop_plugin": __version__, "Python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):  # fairseq is there under one of two names
            found[package] = version(package)
    return ", ".join(f"{name} {number}" for name, number in found.items())


def warning(line: str) -> str:
    """Return a paragraph that warns of what it stands above."""
    return f"Warning: {line}"


def prune(path: str, kept: Mapping[str, str], scores: str | None = None) -> str:
    """Return the command that writes the smaller checkpoint.

    Args:
        scores: what --json of a search has written, for the model card.

    >>> prune("full.pt", {"decoder": "0,2"})
    'layerdrop-prune full.pt --output small.pt --decoder 0,2 --card'
    """
    layers = (word for stack, spec in kept.items() for word in (f"--{stack}", spec))
    of_search = [] if scores is None else ["--scores", scores]
    return shlex.join(["layerdrop-prune", path, "--output", "small.pt", *layers, "--card", *of_search])


def scores(args: Namespace) -> str | None:
    """Return the file of scores that a model card takes: none of a search among layers that overrides have left."""
    return None if "layers_to_keep" in args.model_overrides else args.json


def table(rows: Sequence[Row], show: Mapping[str, Callable[[Any], str]], chosen: int | None = None) -> Table:
    """Return a table as `results.table` formats its cells.

    Args:
        chosen: the row that is recommended.
    """
    names = results.columns(rows)
    numbers = [name for name in names if any(isinstance(row.get(name), (int, float)) for row in rows)]
    return Table(names, [[results.cell(row, name, show) for name in names] for row in rows], numbers, chosen)
