"""`layerdrop-average`: the mean of several checkpoints' weights as one checkpoint."""

from __future__ import annotations

from argparse import SUPPRESS
from collections.abc import Sequence

from .. import message
from .command import Parser, at_least_1, needing_fairseq, progress

DESCRIPTION = """\
Average the weights of several checkpoints of one training run into a new checkpoint.
Everything else comes from the first of them, or from the newest one of a folder, without the optimizer's state.
To continue training from it with --restore-file, add --reset-optimizer."""

EXAMPLES = """\
  layerdrop-average --inputs checkpoints --num-epoch-checkpoints 5 --output checkpoints/average.pt
  layerdrop-average --inputs checkpoints --num-update-checkpoints 10 --checkpoint-upper-bound 50000 --output average.pt
  layerdrop-average --inputs checkpoint8.pt checkpoint9.pt checkpoint10.pt --output average.pt --force
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Average the checkpoints that the command line names, and print their paths."""
    parser = _parser()
    args = parser.parse_intermixed_args(argv)
    args.inputs = [*args.inputs, *args.places]
    if not args.inputs:
        parser.error("the following arguments are required: --inputs")
    with parser.errors():
        with needing_fairseq():
            from ..fairseq_adapter.checkpoints.write_average import average_checkpoints, choose  # torch takes a second

        paths = choose(
            args.inputs, args.num_epoch_checkpoints, args.num_update_checkpoints, args.checkpoint_upper_bound
        )
        with progress(len(paths), "file", args.quiet) as bar:
            apart = average_checkpoints(paths, args.output, args.force, bar.update)
        if apart is not None:
            parser.warn(f"checkpoints to average should be of one training, but {apart}.")
        print(message.printable(f"{args.output}: the average of {', '.join(paths)}"))


def _parser() -> Parser:
    parser = Parser("layerdrop-average", DESCRIPTION, EXAMPLES)
    parser.usage = f"{parser.prog} --inputs PATH [PATH ...] -o FILE [options]"
    parser.add_argument("places", nargs="*", help=SUPPRESS)
    parser.add_argument(
        "--inputs",
        nargs="+",
        default=[],
        metavar="PATH",
        help="checkpoints, or one folder together with --num-epoch-checkpoints or --num-update-checkpoints",
    )
    parser.add_argument("--path", dest="inputs", nargs="+", default=[], help=SUPPRESS)  # its name in other commands
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="the new checkpoint")
    number = parser.add_mutually_exclusive_group()
    number.add_argument(
        "--num-epoch-checkpoints", type=at_least_1, metavar="N", help="average the folder's last N checkpointEPOCH.pt"
    )
    number.add_argument(
        "--num-update-checkpoints",
        type=at_least_1,
        metavar="N",
        help="average the folder's last N checkpoint_EPOCH_UPDATE.pt",
    )
    parser.add_argument(
        "--checkpoint-upper-bound", type=at_least_1, metavar="N", help="leave out epochs, or updates, after N"
    )
    parser.add_argument("--force", action="store_true", help="replace FILE if it exists")
    return parser


if __name__ == "__main__":
    main()
