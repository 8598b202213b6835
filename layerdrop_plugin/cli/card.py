"""`--card` of the commands that write a model: a model card beside it."""

from __future__ import annotations

import datetime
import json
import os
import shlex
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from typing import Any

from .. import __version__, atomic, layer_spec, model_card
from ..fingerprint import fingerprint
from ..model_card import Card, Cell


def add_options(parser: ArgumentParser) -> None:
    """Add --card and --scores to a command."""
    group = parser.add_argument_group("model card")
    group.add_argument("--card", action="store_true", help="also write a model card, OUT.md (small.md for small.pt)")
    group.add_argument(
        "--scores", metavar="FILE", help="with --card: adds scores from this file, which layerdrop-search --json wrote"
    )


def path(out: str) -> str:
    """Return where the card of an output goes.

    >>> path("models/small.pt"), path("exported/")
    ('models/small.md', 'exported.md')
    """
    plain = out.rstrip(os.sep)
    return (plain[: -len(".pt")] if plain.endswith(".pt") else plain) + ".md"


def check(args: Namespace, out: str) -> Any:
    """Return what the search wrote, None for none; refuse a card that can't be written.

    Raises:
        ValueError: one line.
    """
    if not args.card:
        if args.scores is not None:
            raise ValueError(f"`--scores` must go with `--card`, but is {args.scores!r} without it.")
        return None
    atomic.check_file(path(out), args.force, "--card")
    if args.scores is None:
        return None
    try:
        with open(args.scores, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{_rule()}, but {args.scores} can't be read: {error}.") from None


def scores(args: Namespace, search: Any, specs: Mapping[str, str], stacks: Mapping[str, Any]) -> list[dict[str, Cell]]:
    """Return the scores that a search gave to these layers, and to all.

    Args:
        specs: what is kept, by stack.
        stacks: of the checkpoint, as it is described.

    Raises:
        ValueError: one line: the search has none.
    """
    if search is None:
        return []
    kept = {
        stack: layer_spec.parse(spec, stacks[stack].depth, f"--{stack}", stacks[stack].learned_rates)
        for stack, spec in specs.items()
        if stack in stacks
    }
    try:
        return model_card.scores(
            search, fingerprint(args.checkpoint), kept, {stack: s.depth for stack, s in stacks.items()}
        )
    except ValueError as error:
        raise ValueError(f"{_rule()}, but {args.scores} {error}.") from None


def _rule() -> str:
    return "`--scores` must be what layerdrop-search wrote with --json for this checkpoint and these layers"


def write(
    args: Namespace,
    prog: str,
    argv: Sequence[str] | None,
    out: str,
    properties: Mapping[str, tuple[str, str]],
    scored: Sequence[Mapping[str, Cell]],
) -> None:
    """Write the card if it was asked for."""
    if not args.card:
        return
    line = shlex.join([prog, *(sys.argv[1:] if argv is None else argv)])
    made_by = f"{line}  # layerdrop_plugin {__version__}"
    name = os.path.basename(out.rstrip(os.sep))
    card = Card(name, args.checkpoint, made_by, datetime.date.today().isoformat(), properties, scored)
    with atomic.write_file(path(out), args.force, "--card") as file:
        file.write(model_card.markdown(card).encode())
