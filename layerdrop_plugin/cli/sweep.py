"""`layerdrop-sweep`: quality, speed and size over depth, of one checkpoint or several."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence

from .. import layer_spec, sweep, sweep_sets
from ..sweep_report import SweepReport
from . import pages, results, sweep_page, sweep_plots, sweep_tables
from .command import BLEU, Parser, add_evaluation_options, at_least_1, evaluating, parse_evaluation, progress
from .sweep_subjects import labels_of, subjects_of

DESCRIPTION = """\
Measure a checkpoint at several depths: parameters, loss in bits and perplexity (or accuracy), BLEU, tokens per
second, peak memory. Each has its ratio to full depth, which is always measured too. Every checkpoint is loaded once,
and each depth runs some of its layers. If --model-overrides prunes, the layers that it leaves are the full depth, and
count from 0. DATA comes first. It and every option that is not listed here are fairseq's: --max-tokens, --batch-size,
--cpu, --fp16, --seed, --beam, --tokens-per-sample, --remove-bpe, ...

Speed is the speed of the model alone. It is measured last, when all is warm: all depths take turns on each batch, and
for each batch the median of --repeats times counts. Tokens are target tokens (RoBERTa: input tokens). With --bleu they
are the generated tokens, and the time is that of generation.

Peak memory estimates what a process needs to evaluate (with --bleu: to generate) if it has only the pruned checkpoint.
Here all layers of all checkpoints stay loaded. So the highest use of memory is measured, and the size of the weights
that did not run is subtracted. On a GPU this is the memory of tensors. On the CPU it is that of the whole process, with
Python, its libraries and the data."""

EXAMPLES = """\
  layerdrop-sweep data-bin/wikitext-103 --path checkpoint_best.pt --depths 12,8,4 --plot depths.png
  layerdrop-sweep data-bin/wmt16 --path with/checkpoint_best.pt --compare without/checkpoint_best.pt \\
    --depths 5,4,3,2 --strategies every_other,last --bleu --beam 5 --remove-bpe --csv depths.csv --plot depths.png
  layerdrop-sweep data-bin/wmt16 --path checkpoint_best.pt --search found.json --sets mine=0,1,5+0,3,4 --plot sets.png
  layerdrop-sweep data-bin/wmt16 --path 12+6.pt --depths 12+3,6+6,6+3 --gen-subset valid --num-batches 50
  layerdrop-sweep data-bin/wikitext-103 --path checkpoint_best.pt --importance layers.png --samples 50
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Measure each checkpoint at each depth, print tables, and draw the plots that are asked for."""
    parser = _parser()
    args, fairseq_argv = parse_evaluation(parser, argv)
    with parser.errors():
        sweep_plots.check(args)
        args.depths = None if args.depths is None else sweep.parse_depths(args.depths, "--depths")
        args.strategies = sweep.parse_strategies(args.strategies, "--strategies")
        for text in args.sets:
            sweep_sets.check(text, "--sets")
        args.search_sets = [sweep_sets.read_search(path, "--search") for path in args.search]
        args.labels = labels_of(args)
        args.repeats = args.repeats or (1 if args.bleu else 3)
        with evaluating(parser, fairseq_argv):
            report = _measure(parser, args, [*fairseq_argv, "--gen-subset", args.gen_subset])
        print(sweep_tables.text(report, args.wide))
        if report.measured.rows[0].measured.peak_memory is None:
            print(f"{parser.prog}: warning: this system does not tell peak memory (only Linux does)", file=sys.stderr)
        results.write(args, report.as_json(), [row.as_json() for row in report.measured.rows])
        sweep_plots.draw(args, report)
        if args.report is not None:
            command = pages.command(parser.prog, argv)
            pages.write(args, command, sweep_page.sections(args, report), report.as_json())


def _measure(parser: Parser, args: Namespace, fairseq_argv: list[str]) -> SweepReport:
    from ..fairseq_adapter.evaluation import importance as layer_importance
    from ..fairseq_adapter.evaluation import sweep as layer_sweep

    subjects, swept = subjects_of(parser, args, fairseq_argv)
    with progress(layer_sweep.work(subjects, args.repeats, args.bleu), "batch", args.quiet) as bar:
        measured = layer_sweep.measure(subjects, args.repeats, args.bleu, bar.update)
    warnings = layer_sweep.at_chance(subjects, measured.rows)
    for line in warnings:
        parser.warn(line)
    importance = None
    if args.importance is not None:
        with progress(layer_importance.work(subjects, swept, args.samples), "batch", args.quiet) as bar:
            importance = layer_importance.measure(subjects, swept, args.samples, bar.update)
    checkpoints = dict(zip(args.labels, [args.path, *args.compare]))
    return SweepReport(checkpoints, args.gen_subset, args.repeats, measured, importance, warnings)


def _parser() -> Parser:
    parser = Parser("layerdrop-sweep", DESCRIPTION, EXAMPLES)
    add_evaluation_options(parser)
    parser.add_argument(
        "--compare",
        nargs="+",
        default=[],
        metavar="CKPT",
        help="more checkpoints to measure on the same data; each is a line in the plots",
    )
    parser.add_argument(
        "--labels",
        nargs="+",
        metavar="NAME",
        help="names of all checkpoints in tables and plots (default: the part of their paths that differs)",
    )
    _add_points(parser)
    parser.add_argument("--bleu", action="store_true", help=f"also translate, and give BLEU: {BLEU}")
    parser.add_argument("--gen-subset", default="test", metavar="SPLIT", help="data to measure on (default: test)")
    parser.add_argument("--num-batches", type=at_least_1, metavar="N", help="take N batches, drawn by --seed")
    parser.add_argument(
        "--repeats",
        type=at_least_1,
        metavar="N",
        help="time each depth N times; losses and BLEU are computed once (default: 3; with --bleu 1, as each time "
        "translates the data once more)",
    )
    parser.add_argument("--plot", metavar="FILE", help="draw quality over depth and over speed (.png, .svg or .pdf)")
    _add_importance(parser)
    results.add_wide(parser)
    pages.add_option(parser)
    results.add_options(parser)
    return parser


def _add_points(parser: Parser) -> None:
    """Add the options that say which layers run."""
    parser.add_argument(
        "--depths",
        metavar="LIST",
        help="numbers of layers, the same for each stack (12,6,3) or for encoder and decoder (12+6,6+3); a checkpoint "
        "with fewer layers is left out at that depth (default: the depths of --sets and --search, else those of "
        "--layerdrop-depths in the training, else 3/4, 1/2 and 1/4 of the layers)",
    )
    parser.add_argument(
        "--strategies",
        default="every_other",
        metavar="LIST",
        help=f"which layers to keep: some of {','.join(layer_spec.STRATEGIES)} (default: every_other)",
    )
    parser.add_argument(
        "--sets",
        nargs="+",
        default=[],
        metavar="NAME=LAYERS",
        help="further layers to keep, beside those of --strategies: mine=0,1,5+0,3,4 for encoder and decoder, "
        "mine=0,2,4 for one stack; a name may come again with another number of layers",
    )
    parser.add_argument(
        "--search",
        nargs="+",
        default=[],
        metavar="FILE.json",
        help="also measure the best set in each of these files, which layerdrop-search --json wrote",
    )
    parser.add_argument(
        "--stack",
        choices=("both", "encoder", "decoder"),
        help="the stack that loses layers; the other keeps all (default: all stacks of the model)",
    )


def _add_importance(parser: Parser) -> None:
    group = parser.add_argument_group("importance of layers")
    group.add_argument(
        "--importance",
        metavar="FILE",
        help="draw how much each layer matters, with standard errors: the loss when only it is left out, the mean loss "
        "of random sub-networks with it and without it, and the cosine distance between its input and output at full "
        "depth (.png, .svg or .pdf). The numbers are printed, too, and written by --json",
    )
    group.add_argument(
        "--samples",
        type=at_least_1,
        metavar="N",
        help="for --importance: N different random sub-networks with half of the layers of each stack, drawn by --seed "
        "(default: 20)",
    )


if __name__ == "__main__":
    main()
