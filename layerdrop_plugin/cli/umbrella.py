"""`layerdrop`: the other commands by their short names, `layerdrop search ...`."""

from __future__ import annotations

import importlib
import itertools
import sys
from argparse import REMAINDER, SUPPRESS
from collections.abc import Sequence

from .. import message
from .command import Parser

COMMANDS = {
    "average": "the mean of several checkpoints as one",
    "describe": "what is in a checkpoint: architecture, layers, rates, sizes",
    "export": "a model, pruned or whole, for CTranslate2 or Hugging Face's transformers",
    "prune": "a checkpoint with fewer layers, as a file of its own",
    "search": "which layers to keep, measured on data",
    "sweep": "quality, speed and size over depth",
}
DESCRIPTION = "Work on checkpoints of fairseq by their layers. The commands, also as layerdrop-NAME:\n" + "\n".join(
    f"  {name:10}{what}" for name, what in COMMANDS.items()
)
EXAMPLES = """\
  layerdrop describe checkpoints/checkpoint_best.pt
  layerdrop prune checkpoint_best.pt -o small.pt --encoder every_other:3 --decoder every_other:3
  layerdrop search --help
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Start the command that the first argument names, with the others."""
    words = _quiet_last(list(sys.argv[1:] if argv is None else argv))
    if words and words[0] in COMMANDS:
        importlib.import_module(f".{words[0]}", __package__).main(words[1:])
        return
    parser = Parser("layerdrop", DESCRIPTION, EXAMPLES)
    parser.usage = "layerdrop COMMAND [arguments of the command]"
    parser.add_argument("command", nargs="?", help=SUPPRESS)
    parser.add_argument("arguments", nargs=REMAINDER, help=SUPPRESS)
    name = parser.parse_args(words).command
    if name is not None:
        near = message.did_you_mean(name, COMMANDS) or f"; there are {', '.join(COMMANDS)}."
        parser.error(f"`COMMAND` must be one of layerdrop's, but is {name!r} instead{near}")
    parser.print_help()


def _quiet_last(words: list[str]) -> list[str]:
    """Return the arguments with a --quiet before COMMAND among those of the command: `layerdrop -q describe a.pt`."""
    quiet = list(itertools.takewhile(("-q", "--quiet").__contains__, words))
    rest = words[len(quiet) :]
    place = next((i for i, word in enumerate(rest) if word.startswith("-")), len(rest))  # DATA CKPT come first
    return [*rest[:place], *quiet, *rest[place:]]


if __name__ == "__main__":
    main()
