"""Results of a command: a table on standard output and, with --json or --csv, data in a file."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from os.path import realpath
from typing import Any, Callable

from .. import atomic, message

Row = Mapping[str, Any]

WIDTH = 80
"""The most characters of a line of a table, without --wide."""

LEAST = 8
"""Text is not wrapped to fewer characters."""


def add_options(parser: ArgumentParser) -> None:
    """Add --json, --csv and --force to a command."""
    group = parser.add_argument_group("results as data")
    group.add_argument("--json", metavar="FILE", help="write the results to FILE as JSON")
    group.add_argument("--csv", metavar="FILE", help="write the table to FILE as CSV")
    group.add_argument("--force", action="store_true", help="replace files that exist")


def check(args: Namespace, *others: str) -> None:
    """Refuse, before long work, files that can't be written.

    Args:
        others: what else the command reads or writes, which must not be lost, even with --force.

    Raises:
        ValueError: as `atomic.check_file`; or both are the same file, or one of the others.
    """
    taken = {realpath(path): path for path in others}
    given: dict[str, str] = {}
    for option in ("json", "csv", "report"):
        path = getattr(args, option, None)
        if path is not None:
            atomic.check_file(path, args.force, f"--{option}")
            if realpath(path) in taken:
                raise ValueError(f"`--{option}` must be another file than {taken[realpath(path)]}, but is {path}.")
            if realpath(path) in given:
                other = given[realpath(path)]
                raise ValueError(f"`--{option}` must be another file than --{other}, but is {path} too.")
            given[realpath(path)] = option


def write(args: Namespace, data: Any, rows: Sequence[Row]) -> None:
    """Write the requested files: all of `data` as JSON, `rows` as CSV."""
    if args.json is not None:
        text = json.dumps(finite(data), indent=2, allow_nan=False) + "\n"
        with atomic.write_file(args.json, args.force, "--json") as file:
            file.write(text.encode())
    if args.csv is not None:
        with atomic.write_file(args.csv, args.force, "--csv") as file:
            file.write(as_csv(rows).encode())


def finite(data: Any) -> Any:
    """Return the data with None in the place of numbers that JSON does not have."""
    if isinstance(data, Mapping):
        return {name: finite(value) for name, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def as_csv(rows: Sequence[Row]) -> str:
    """Return rows with a header; a value that a row lacks, or None, is empty.

    >>> as_csv([{"depth": 6, "loss": 2.5}, {"depth": 3}]).splitlines()
    ['depth,loss', '6,2.5', '3,']
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, columns(rows), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def add_wide(parser: ArgumentParser) -> None:
    """Add --wide to a command whose table may have more columns than a terminal shows."""
    parser.add_argument("--wide", action="store_true", help=f"all columns of the table (default: {WIDTH} characters)")


def fitting(
    rows: Sequence[Row], show: Mapping[str, Callable[[Any], str]], spare: Sequence[str]
) -> tuple[str, list[str]]:
    """Return a table of at most `WIDTH` characters, and which columns were left out for that.

    Args:
        spare: columns that may be left out, the first of them first. Where that is not enough, text is wrapped.

    >>> print(*fitting([{"kept": "0,2", "loss": 2.5, "more": 1}], {}, ["more"]), sep=chr(10))
    kept  loss  more
    0,2    2.5     1
    []
    """

    def without(names: Sequence[str], width: int | None = None) -> str:
        return table([{n: value for n, value in row.items() if n not in names} for row in rows], show, width)

    spared = [name for name in spare if name in columns(rows)]
    left_out = next((spared[:i] for i in range(len(spared)) if _width(without(spared[:i])) <= WIDTH), spared)
    for name in reversed(left_out):  # a narrow one may go back in the place of a wide one
        fewer = [other for other in left_out if other != name]
        left_out = fewer if _width(without(fewer)) <= WIDTH else left_out
    return without(left_out, WIDTH), left_out


def table(rows: Sequence[Row], show: Mapping[str, Callable[[Any], str]], width: int | None = None) -> str:
    """Return aligned columns, numbers to the right; `show` formats a column's values, None is a dash.

    Args:
        width: wrap text so that no line is longer, as far as that goes.

    >>> print(table([{"kept": "0,2", "loss": 2.5}, {"kept": "0", "loss": None}], {"loss": "{:.2f}".format}))
    kept  loss
    0,2   2.50
    0        -
    """
    names = columns(rows)

    cells = [list(names), *([cell(row, name, show) for name in names] for row in rows)]
    numeric = [any(isinstance(row.get(n), (int, float)) for row in rows) for n in names]
    text = _aligned(cells, numeric)
    if width is not None and _width(text) > width:
        text = _aligned(_wrapped(cells, _narrower(cells, numeric, _width(text) - width)), numeric)
    return text


def _width(text: str) -> int:
    return max(map(len, text.splitlines()), default=0)


def _aligned(cells: Sequence[Sequence[str]], numeric: Sequence[bool]) -> str:
    widths = [max(map(len, column)) for column in zip(*cells)]

    def line(values: Sequence[str]) -> str:
        placed = (v.rjust(w) if right else v.ljust(w) for v, w, right in zip(values, widths, numeric))
        return "  ".join(placed).rstrip()

    return "\n".join(map(line, cells))


def _narrower(cells: Sequence[Sequence[str]], numeric: Sequence[bool], too_wide: int) -> list[int]:
    """Return the widths of columns, by that many characters less in all: those of the widest columns of text."""
    widths = [max(map(len, column)) for column in zip(*cells)]
    for _ in range(too_wide):
        text = [place for place, is_number in enumerate(numeric) if not is_number and widths[place] > LEAST]
        if text:
            widths[max(text, key=lambda place: widths[place])] -= 1
    return widths


def _wrapped(cells: Sequence[Sequence[str]], widths: Sequence[int]) -> list[list[str]]:
    """Return the lines of a table, more of them where text goes on below, if possible after a comma."""
    lines: list[list[str]] = []
    for row in cells:
        parts = [_pieces(text, width) for text, width in zip(row, widths)]
        lines += [list(line) for line in itertools.zip_longest(*parts, fillvalue="")]
    return lines


def _pieces(text: str, width: int) -> list[str]:
    """Cut text into pieces that are not longer.

    >>> _pieces("10,11,12,13", 7), _pieces("checkpoint", 7)
    (['10,11,', '12,13'], ['checkpo', 'int'])
    """
    pieces = []
    while len(text) > width:
        end = text.rfind(",", 0, width) + 1 or width
        pieces.append(text[:end])
        text = text[end:]
    return [*pieces, text]


def cell(row: Row, name: str, show: Mapping[str, Callable[[Any], str]]) -> str:
    """Return a value as a table shows it."""
    return "-" if row.get(name) is None else message.printable(show.get(name, str)(row[name]))


def columns(rows: Sequence[Row]) -> Sequence[str]:
    """Return the names of all columns, in the order of their first appearance."""
    return list(dict.fromkeys(name for row in rows for name in row))
