"""What the pages share: tables, and docstrings of Google's style as Markdown."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence

ITEM = re.compile(r"^(\w[\w, ]*): (.*)$", re.DOTALL)
"""Of a list in a docstring: a name, and what is said of it."""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table whose cells hold no line breaks."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(cell, line)) + " |" for line in lines) + "\n"


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def docstring(text: str) -> str:
    """Return a docstring as Markdown: sections as lists, examples and indented code as blocks."""
    return "\n\n".join(map(_paragraph, _paragraphs(text))) + "\n"


def _paragraphs(text: str) -> list[str]:
    """Split at empty lines; a section keeps its items."""
    parts: list[str] = []
    for part in re.split(r"\n\s*\n", text.strip("\n")):
        continues = parts and part.startswith("    ") and re.match(r"\w+:\n", parts[-1])
        if continues:
            parts[-1] += "\n" + part
        else:
            parts.append(part)
    return parts


def _paragraph(text: str) -> str:
    if text.lstrip().startswith(">>>"):
        return f"```pycon\n{textwrap.dedent(text)}\n```"
    if text.startswith("    "):
        return f"```text\n{textwrap.dedent(text)}\n```"
    title, _, body = text.partition("\n")
    if title in ("Args:", "Attributes:", "Raises:", "Returns:"):
        return f"{title}\n\n" + "\n".join(map(_item, _items(body)))
    return text


def _items(body: str) -> list[str]:
    lines = textwrap.dedent(body).splitlines()
    starts = [i for i, line in enumerate(lines) if line and not line.startswith(" ")]
    if not any(line.startswith(" ") or ITEM.match(line) for line in lines):
        return [" ".join(lines)]  # one sentence, as under `Returns:`
    return [" ".join(map(str.strip, lines[i:j])) for i, j in zip(starts, [*starts[1:], len(lines)])]


def _item(text: str) -> str:
    named = ITEM.match(text)
    return f"- `{named[1]}`: {named[2]}" if named else f"- {text}"
