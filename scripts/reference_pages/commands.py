"""The page of the `layerdrop-` commands, from their parsers."""

from __future__ import annotations

import argparse
import re
from importlib import import_module
from pathlib import Path

from .markdown import table

ROOT = Path(__file__).resolve().parents[2]
OF_ALL = ("help", "quiet", "version")
"""Options of every command, of which the page speaks once."""

TEXT = """\
# Commands

`layerdrop` lists the commands, and also starts them: `layerdrop search ...` is `layerdrop-search ...`. A command prints
results on standard output, and progress and warnings on standard error. `-q` hides progress and warnings. A user's
error ends the command in one line with exit status 2. `--help` shows the same text as this page, and `--version` shows
the version.

"""


def page() -> str:
    scripts = (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("[project.scripts]")[2]
    names = re.findall(r"^layerdrop-(\w+) = ", scripts.partition("\n[")[0], re.MULTILINE)
    return TEXT + "\n".join(_command(import_module(f"layerdrop_plugin.cli.{name}")._parser()) for name in names)


def _command(parser: argparse.ArgumentParser) -> str:
    rows = [
        (f"`{_usage(action)}`", _help(action))
        for action in parser._actions
        if action.help != argparse.SUPPRESS and action.dest not in OF_ALL
    ]
    examples = (parser.epilog or "").partition("\n")[2].rstrip("\n")
    return "\n".join(
        [
            f"## {parser.prog}\n",
            f"```text\n{(parser.description or '').rstrip()}\n```\n",
            table(("argument", "what it is"), rows),
            f"```sh\n{re.sub('^  ', '', examples, flags=re.MULTILINE)}\n```\n",
        ]
    )


def _usage(action: argparse.Action) -> str:
    """Return how an argument is written, alike on every Python."""
    value = action.metavar or (",".join(action.choices) if action.choices else action.dest.upper())
    if action.nargs == 0:
        value = ""
    elif action.nargs in ("+", "*"):
        value = f"{value} ..."
    if not action.option_strings:
        return str(value)
    return f"{', '.join(action.option_strings)} {value}".rstrip()


def _help(action: argparse.Action) -> str:
    required = "; required" if action.option_strings and action.required else ""
    return (action.help or "").replace("%%", "%") + required
