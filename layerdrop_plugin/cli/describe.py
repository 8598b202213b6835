"""`layerdrop-describe`: what checkpoints hold, their weights not read."""

from __future__ import annotations

from argparse import SUPPRESS
from collections.abc import Sequence
from typing import TYPE_CHECKING

from . import description_text, results
from .command import Parser, add_user_dir, load_fairseq, needing_fairseq, with_user_dir

if TYPE_CHECKING:
    from ..fairseq_adapter.checkpoints.description import Description

DESCRIPTION = """\
Show what is in checkpoints: architecture, task, stacks of layers with their drop rates and sizes, parameters, training,
which layers a pruned checkpoint holds, and what takes how much of the file. The weights themselves are not read."""

EXAMPLES = """\
  layerdrop-describe checkpoints/checkpoint_best.pt
  layerdrop-describe checkpoints/checkpoint_best.pt pruned.pt --csv sizes.csv
  layerdrop-describe pruned.pt --json pruned.json --force
  layerdrop-describe checkpoints/checkpoint_best.pt --options
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Print what is in each checkpoint."""
    parser = _parser()
    args = parser.parse_intermixed_args(argv)
    args.checkpoints = [*args.checkpoints, *args.path]
    if not args.checkpoints:
        parser.error("the following arguments are required: CKPT")
    with parser.errors(), with_user_dir(parser, args):
        results.check(args, *args.checkpoints)
        with needing_fairseq():
            from ..fairseq_adapter.checkpoints.describe import describe  # torch takes a second to import

        if args.options:
            load_fairseq()
        found: list[Description] = []
        for path in args.checkpoints:
            description = describe(path, args.options)
            print(("\n" if found else "") + description_text.text(description))
            found.append(description)
        results.write(args, [description.as_json() for description in found], list(map(description_text.row, found)))


def _parser() -> Parser:
    parser = Parser("layerdrop-describe", DESCRIPTION, EXAMPLES)
    parser.usage = f"{parser.prog} CKPT [CKPT ...] [options]"
    parser.add_argument("checkpoints", nargs="*", metavar="CKPT", help="a checkpoint of fairseq")
    parser.add_argument("--path", nargs="+", default=[], help=SUPPRESS)  # its name in fairseq's commands
    parser.add_argument(
        "--options",
        action="store_true",
        help="also print the options of fairseq-train that build this model again, say to finetune it; takes some "
        "seconds more, to import fairseq",
    )
    add_user_dir(parser)
    results.add_options(parser)
    return parser


if __name__ == "__main__":
    main()
