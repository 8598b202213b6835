"""`layerdrop-search`: choose the layers to keep by their scores on validation data."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from ..budget import Budget
from ..message import counted
from . import budget_options, budget_search, pages, results, search_page, search_state, search_text
from .command import BLEU, Parser, add_evaluation_options, at_least_1, evaluating, parse_evaluation, progress
from .workers import workers

DESCRIPTION = """\
Find the layers to keep: score sets of K layers on validation data, as the paper's Search on Valid does.
DATA comes first. It and every option that is not listed here are fairseq's: --max-tokens, --batch-size, --cpu, --fp16,
--seed, --tokens-per-sample, --source-lang, --beam, ...
Ctrl-C prints the best set so far and keeps a state file. The same command with --resume continues from there."""

EXAMPLES = """\
  layerdrop-search data-bin/wikitext-103 --path checkpoint_best.pt --keep 8 --report-subset test
  layerdrop-search data-bin/wmt16 --path checkpoint_best.pt --keep 6+3 --strategy racing --bleu --beam 5
  layerdrop-search data-bin/wmt16 --path checkpoint_best.pt --speedup 2 --batch-size 32 --plot front.png
  layerdrop-search data-bin/RTE --path checkpoint_best.pt --keep 6 --strategy greedy --metric accuracy
  python -m torch.distributed.run --nproc_per_node 4 -m layerdrop_plugin.cli.search DATA --path CKPT --keep 8
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Search on validation data, and print the best sets of layers."""
    parser = _parser()
    args, fairseq_argv = parse_evaluation(parser, argv)
    args.command = pages.command(parser.prog, argv)
    with parser.errors(), workers("--cpu" in fairseq_argv) as first:
        budget = _check(args)
        with evaluating(parser, fairseq_argv):
            _search(parser, args, budget, [*fairseq_argv, "--gen-subset", args.gen_subset], first)


def _check(args: Namespace) -> Budget | None:
    results.check(args, args.path)
    pages.check(args)
    budget = budget_options.check(args)
    search_state.check(args)
    if args.report_subset == args.gen_subset:
        raise ValueError(f"`--report-subset` must be another split than is searched, but is {args.gen_subset!r}.")
    return budget


def _search(parser: Parser, args: Namespace, budget: Budget | None, fairseq_argv: list[str], first: bool) -> None:
    from ..fairseq_adapter.evaluation import evaluation, generation, search_report
    from ..fairseq_adapter.evaluation import search as layer_search

    model = evaluation.load(args.path, args.model_overrides, fairseq_argv, parser.error)
    batches = layer_search.chosen_batches(model, args.gen_subset, args.num_batches)
    second = model.batches(args.report_subset, option="--report-subset") if args.report_subset else ()
    if args.bleu:
        generation.check(model)
    if first and args.num_batches is not None and len(batches) < args.num_batches:
        parser.warn(f"{args.gen_subset} has only {counted(len(batches), 'batch', 'batches')}")
    if budget is not None:
        budget_search.search(parser, args, budget, model, batches, second, first)
        return
    plan = layer_search.plan(model, args.stack, args.keep, args.strategy, args.metric, len(batches))
    scoring = layer_search.Scoring(model, plan, batches)
    settings = layer_search.settings(plan, model, args.path, args.model_overrides, args.gen_subset, batches)
    measure = search_state.measuring(args, settings, scoring)
    if first:
        parser.say(search_text.estimate(plan.strategy, plan.estimates, counted(len(batches), "batch", "batches")))
    with search_state.interruptible(parser, plan, measure, first):
        with progress(layer_search.work(plan, len(batches)), "set", args.quiet or not first) as bar:
            measure.progress = bar.update if first else measure.progress
            ranked = layer_search.run(plan, measure, len(batches))
        if first:
            cost = measure.counted()
            split = args.report_subset
            with progress(search_report.work(plan, ranked, args.bleu, bool(split)), "set", args.quiet) as bar:
                report = search_report.report(plan, scoring, ranked, cost, args.bleu, split, second, bar.update)
            data = {**search_state.origin(args, settings, plan), **report.as_json()}
            try:
                results.write(args, data, [row.as_json() for row in report.ranking])
                if args.report is not None:
                    pages.write(args, args.command, search_page.sections(args, report), data)
            finally:
                search_text.show(parser, report, args.wide)
            search_state.finish(args, measure)


def _keep(text: str) -> tuple[int, ...]:
    return tuple(at_least_1(part) for part in text.replace("+", ",").split(","))


def _parser() -> Parser:
    parser = Parser("layerdrop-search", DESCRIPTION, EXAMPLES)
    add_evaluation_options(parser)
    parser.add_argument(
        "--keep",
        type=_keep,
        metavar="K",
        help="how many layers to keep in each stack: 3, or 6+3 for encoder and decoder",
    )
    parser.add_argument(
        "--stack", choices=("encoder", "decoder", "both"), help="which stacks lose layers (default: all of the model)"
    )
    parser.add_argument(
        "--strategy",
        choices=("exhaustive", "greedy", "racing"),
        help="exhaustive: all sets; greedy: drop the layer that is missed least, again and again; racing: all sets on "
        "a few batches, the better half on twice as many, and so on (default: racing if exhaustive is long and racing "
        "takes less than half of it, else exhaustive). The cost of each is printed at the start",
    )
    parser.add_argument(
        "--metric",
        choices=("loss", "perplexity", "accuracy"),
        default="loss",
        help="what to rank by (default: loss); at equal accuracy, the lower loss comes first",
    )
    parser.add_argument("--gen-subset", default="valid", metavar="SPLIT", help="data to search on (default: valid)")
    parser.add_argument("--num-batches", type=at_least_1, metavar="N", help="search on N batches, drawn by --seed")
    parser.add_argument(
        "--report-subset",
        metavar="SPLIT",
        help="also score the winner on this split, beside Every Other, the learned set and full depth",
    )
    parser.add_argument("--bleu", action="store_true", help=f"also compute the BLEU of the shown sets: {BLEU}")
    parser.add_argument(
        "--state",
        metavar="FILE",
        help="keep all scores in FILE, also after the search; a search with another K, budget or strategy uses them "
        "again (default: a file that only an interrupted search leaves)",
    )
    parser.add_argument("--resume", action="store_true", help="resume a search that was interrupted")
    budget_options.add_options(parser)
    results.add_wide(parser)
    pages.add_option(parser)
    results.add_options(parser)
    return parser


if __name__ == "__main__":
    main()
