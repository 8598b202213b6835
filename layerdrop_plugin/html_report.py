"""A report as one HTML file that needs nothing else: tables, plots, commands, and the data themselves."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Union

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .9rem; }
th, td { padding: .25rem .75rem; border-bottom: 1px solid #ddd; text-align: left; white-space: nowrap; }
th.number, td.number { text-align: right; font-variant-numeric: tabular-nums; }
tr.chosen td { font-weight: bold; background: #eef4fb; }
pre { background: #f6f6f6; padding: .75rem; white-space: pre-wrap; overflow-wrap: anywhere; }
img { max-width: 100%; height: auto; }
"""


@dataclass(frozen=True)
class Table:
    """Rows of cells, as they are shown.

    Attributes:
        numbers: the columns that are numbers.
        chosen: the index of the row that is recommended, None for none.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: Sequence[str] = ()
    chosen: int | None = None


@dataclass(frozen=True)
class Plot:
    """A PNG, and what it shows, for those who can't see it."""

    png: bytes
    text: str


@dataclass(frozen=True)
class Commands:
    """Lines of shell."""

    text: str


Part = Union[str, Table, Plot, Commands]
"""What a section is made of; a string is a paragraph."""


def page(title: str, sections: Mapping[str, Sequence[Part]], data: Any) -> str:
    """Return the report as HTML.

    Args:
        sections: by heading.
        data: what the report shows, as JSON has it, no number of which is infinite or none; the page carries it.
    """
    parts = [f"<h1>{html.escape(title)}</h1>"]
    for heading, section in sections.items():
        parts += [f"<h2>{html.escape(heading)}</h2>", *map(_part, section)]
    meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    head = f"<head>{meta}<title>{html.escape(title)}</title><style>{STYLE}</style></head>"
    plain = json.dumps(data, indent=1, allow_nan=False).replace("<", "\\u003c")  # nothing in it ends the element
    body = "\n".join([*parts, f'<script type="application/json" id="data">\n{plain}\n</script>'])
    return f'<!DOCTYPE html>\n<html lang="en">\n{head}\n<body>\n{body}\n</body>\n</html>\n'


def _part(part: Part) -> str:
    if isinstance(part, str):
        return f"<p>{html.escape(part)}</p>"
    if isinstance(part, Commands):
        return f"<pre>{html.escape(part.text)}</pre>"
    if isinstance(part, Plot):
        image = base64.b64encode(part.png).decode()
        return f'<p><img src="data:image/png;base64,{image}" alt="{html.escape(part.text)}"></p>'
    return _table(part)


def _table(table: Table) -> str:
    rows = [_row(table, "th", table.header)]
    rows += [_row(table, "td", row, chosen=number == table.chosen) for number, row in enumerate(table.rows)]
    return '<div class="wide"><table>\n' + "\n".join(rows) + "\n</table></div>"


def _row(table: Table, cell: str, texts: Sequence[str], chosen: bool = False) -> str:
    kinds = [" class=number" if name in table.numbers else "" for name in table.header]
    cells = "".join(f"<{cell}{kind}>{html.escape(text)}</{cell}>" for kind, text in zip(kinds, texts))
    return f"<tr{' class=chosen' if chosen else ''}>{cells}</tr>"
