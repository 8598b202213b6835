"""`layerdrop-prune`: a checkpoint with fewer layers, as a file of its own."""

from __future__ import annotations

from argparse import ArgumentTypeError, Namespace
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .. import atomic
from . import card, description_text, results
from .command import (
    Parser,
    add_checkpoint,
    add_stack_options,
    add_user_dir,
    load_fairseq,
    needing_fairseq,
    parse_with_checkpoint,
    stack_specs,
    with_user_dir,
)

if TYPE_CHECKING:
    from ..fairseq_adapter.checkpoints.description import Description

DESCRIPTION = """\
Write a smaller checkpoint, which fairseq's commands and from_pretrained load like any other. It has the weights of the
kept layers, a configuration that agrees, and a note of where they came from. It has no optimizer state: train it with
fairseq-train --finetune-from-model, or keep the state by --keep-optimizer."""

EXAMPLES = """\
  layerdrop-prune checkpoint_best.pt --output small.pt --encoder every_other:3 --decoder 0,2,4
  layerdrop-prune checkpoint_best.pt --output small.pt --decoder drop:0.5 --stock --dtype float16
  layerdrop-prune checkpoint_last.pt --output small.pt --decoder 0-3,8 --keep-optimizer --json small.json
  layerdrop-prune checkpoint_best.pt --output small.pt --decoder 0,2,5 --card --scores search.json
"""
DTYPES = ("float32", "float16", "bfloat16")


def main(argv: Sequence[str] | None = None) -> None:
    """Write the smaller checkpoint, and print it beside the one that it was made of."""
    parser = _parser()
    args = parse_with_checkpoint(parser, argv)
    with parser.errors(), with_user_dir(parser, args):
        specs = stack_specs(args)
        search = _check(args, specs)
        with needing_fairseq():
            from ..fairseq_adapter.checkpoints.describe import describe  # torch takes a second to import
            from ..fairseq_adapter.checkpoints.write_pruned import prune_checkpoint

        before = describe(args.checkpoint)
        scores = card.scores(args, search, specs, before.stacks)
        load_fairseq()
        how = (args.stock, args.dtype, args.keep_optimizer, args.force, parser.warn)
        prune_checkpoint(args.checkpoint, args.output, specs, *how)
        after = describe(args.output)
        rows = _rows(before, after)
        print(results.table(rows, dict.fromkeys(("before", "after"), _shown)))
        data = {"before": before.as_json(), "after": after.as_json()}
        results.write(args, data, [description_text.row(before), description_text.row(after)])
        properties = {row[""]: (_shown(row["before"]), _with_kept(row)) for row in rows}
        card.write(args, parser.prog, argv, args.output, properties, scores)


def _check(args: Namespace, specs: Mapping[str, str]) -> Any:
    """Refuse what is wrong with any checkpoint; return the search of `--scores`."""
    if not specs and not args.stock and args.dtype is None:
        raise ValueError("one of `--encoder`, `--decoder`, `--stock` and `--dtype` must be given, but none is.")
    atomic.check_file(args.output, args.force)
    results.check(args, args.checkpoint, args.output)
    return card.check(args, args.output)


def _rows(before: Description, after: Description) -> list[dict[str, Any]]:
    """Return a row for each property to compare."""
    rows = [
        {
            "": f"{stack} layers",
            "before": before.stacks[stack].depth,
            "after": s.depth,
            "kept": description_text.kept(s),
        }
        for stack, s in after.stacks.items()
    ]
    values = {name: (getattr(before, name), getattr(after, name)) for name in ("architecture", "dtype")}
    rows.extend({"": name, "before": old, "after": new} for name, (old, new) in values.items() if old != new)
    rows.append({"": "parameters", "before": before.parameters, "after": after.parameters})
    rows.append({"": "bytes", "before": before.bytes.file, "after": after.bytes.file})
    if before.bytes.optimizer:  # else a file without it seems to have been pruned by that much
        optimizer = (before.bytes.optimizer, after.bytes.optimizer)
        rows.append({"": "of which optimizer", **dict(zip(("before", "after"), optimizer))})
    return rows


def _dtype(text: str) -> str:
    if text not in DTYPES:
        raise ArgumentTypeError(f"must be one of {', '.join(DTYPES)}, but is {text!r} instead.")
    return text


def _shown(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _with_kept(row: Mapping[str, Any]) -> str:
    kept = row.get("kept")
    return _shown(row["after"]) + (f" ({kept})" if kept else "")


def _parser() -> Parser:
    parser = Parser("layerdrop-prune", DESCRIPTION, EXAMPLES)
    add_checkpoint(parser, "the new checkpoint")
    add_stack_options(parser)
    parser.add_argument(
        "--stock",
        action="store_true",
        help="name fairseq's own architecture in it, for fairseq 0.12.2 without this package (which needs torch before "
        "2.6)",
    )
    parser.add_argument(
        "--dtype", type=_dtype, metavar="TYPE", help=f"convert the weights to one of {', '.join(DTYPES)}"
    )
    parser.add_argument(
        "--keep-optimizer",
        action="store_true",
        help="keep the optimizer's state and the moving average (EMA), to continue the training",
    )
    card.add_options(parser)
    add_user_dir(parser)
    results.add_options(parser)
    return parser


if __name__ == "__main__":
    main()
