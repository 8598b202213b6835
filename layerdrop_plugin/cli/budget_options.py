"""The options of layerdrop-search that name a budget in place of a number of layers."""

from __future__ import annotations

from argparse import Namespace
from os.path import realpath

from .. import atomic, budget
from . import plots
from .command import Parser

OPTIONS = {kind: f"--{kind.replace('_', '-')}" for kind in budget.KINDS}
"""By the kind of budget."""

DESCRIPTION = """\
give one of these in place of --keep. The cost of the model's parts is measured on this device, with these batches, in
beam search if the model translates. --strategy then searches each split over encoder and decoder that meets the budget,
unless another such split has at least as many layers in each stack."""

MORE_ONLY = {"dry_run": "--dry-run", "plot": "--plot"}
"""What goes with a budget only."""


def add_options(parser: Parser) -> None:
    """Add the budgets and what goes with them."""
    group = parser.add_argument_group("budgets", DESCRIPTION)
    group.add_argument("--speedup", metavar="N", help="in place of --keep: N times as fast as with all layers, e.g. 2")
    group.add_argument("--latency", metavar="TIME", help="in place of --keep: the most time for a sentence, e.g. 10ms")
    group.add_argument("--params", metavar="N", help="in place of --keep: at most N parameters, e.g. 20M or 300K")
    group.add_argument(
        "--size",
        metavar="SIZE",
        help="in place of --keep: the most bytes of the pruned file, e.g. 30MB (1 MB is 10^6 bytes), with the "
        "checkpoint's type of weights",
    )
    group.add_argument(
        "--max-loss-increase",
        metavar="P%",
        help="in place of --keep: the fastest model whose loss is at most P%% above that of all layers, e.g. 2%%. The "
        "search starts at full depth, and takes off decoder layers until the loss is above the limit. It then takes "
        "off one encoder layer after another, and puts decoder layers back as needed. It skips what is no faster than "
        "the best so far",
    )
    group.add_argument(
        "--dry-run",
        action="store_true",
        help="with a budget: only print the splits and about how long the search would take",
    )
    group.add_argument(
        "--plot", metavar="FILE", help="with a budget: draw quality over measured speed (.png, .svg or .pdf)"
    )


def check(args: Namespace) -> budget.Budget | None:
    """Return the budget, None where the number of layers is given.

    Raises:
        ValueError: one line: not exactly one of them is given, or a value is wrong.
    """
    given = [kind for kind in OPTIONS if getattr(args, kind) is not None]
    names = [*(["--keep"] if args.keep is not None else []), *(OPTIONS[kind] for kind in given)]
    if len(names) != 1:
        among = ", ".join(["--keep", *OPTIONS.values()])
        found = "none is" if not names else f"{' and '.join(names)} are"
        raise ValueError(f"one of {among} must be given, but {found}.")
    if not given:
        for name, option in MORE_ONLY.items():
            if getattr(args, name):
                raise ValueError(f"`{option}` must go with a budget ({', '.join(OPTIONS.values())}), but has --keep.")
        return None
    (kind,) = given
    asked = budget.parse(kind, getattr(args, kind), OPTIONS[kind])
    _check_plot(args)
    if args.dry_run:
        for option in ("json", "csv", "plot", "report"):
            if getattr(args, option) is not None:
                raise ValueError(f"`--{option}` must be left out with --dry-run, but is {getattr(args, option)!r}.")
    return asked


def _check_plot(args: Namespace) -> None:
    if args.plot is None:
        return
    atomic.check_file(args.plot, args.force, "--plot")
    plots.check(args.plot, "--plot")
    for other in (args.path, args.json, args.csv, args.state):
        if other is not None and realpath(args.plot) == realpath(other):
            raise ValueError(f"`--plot` must be another file than {other}, but is {args.plot}.")
