"""`layerdrop-sweep`: quality, speed and size over depth, of one checkpoint or several."""

import sys
from argparse import Namespace
from os.path import realpath
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Tuple

from .. import layer_spec, sweep, whole_files
from . import plots, results, sweep_tables
from .command import Parser, add_evaluation_options, at_least_1, evaluating, progress

if TYPE_CHECKING:
    from ..fairseq_adapter.evaluation.sweep import Subject

DESCRIPTION = """\
Measure a checkpoint at several depths: parameters, loss in bits and perplexity (or accuracy), BLEU, tokens per
second, peak memory, each with its ratio to full depth, which is always measured too. Every checkpoint is loaded
once; a depth only says which of its layers run, counted as --model-overrides leaves them. DATA comes first; it and
every option that is not listed here are fairseq's: --max-tokens, --batch-size, --cpu, --fp16, --seed, --beam,
--tokens-per-sample, --remove-bpe, ...

Speed is of the model alone and measured last, when all is warm: all depths take turns on each batch, and for each
batch the median of --repeats times counts. Tokens are target tokens (RoBERTa: input tokens); with --bleu they are
the generated ones, and the time is that of generation.

Peak memory estimates what a process needs that evaluates (with --bleu: generates with) the pruned checkpoint alone.
All layers of all checkpoints stay loaded here, so the weights that do not run are subtracted from the most that was
in use: on a GPU by tensors, on the CPU by the whole process, Python and its libraries and the data included."""

EXAMPLES = """\
  layerdrop-sweep data-bin/wikitext-103 --path checkpoint_best.pt --depths 12,8,4 --plot depths.png
  layerdrop-sweep data-bin/wmt16 --path with/checkpoint_best.pt --compare without/checkpoint_best.pt \\
    --depths 5,4,3,2 --strategies every_other,last --bleu --beam 5 --remove-bpe --csv depths.csv --plot depths.png
  layerdrop-sweep data-bin/wmt16 --path 12+6.pt --depths 12+3,6+6,6+3 --gen-subset valid --num-batches 50
  layerdrop-sweep data-bin/wikitext-103 --path checkpoint_best.pt --importance layers.png --samples 50
"""


OPTIONS = ("--depths", "--strategies")


def main(argv: Optional[Sequence[str]] = None) -> None:
    parser = _parser()
    args, words = parser.parse_known_args(argv)
    with parser.errors():
        _check_files(args)
        args.depths = None if args.depths is None else sweep.parse_depths(args.depths, "--depths")
        args.strategies = sweep.parse_strategies(args.strategies, "--strategies")
        args.labels = _labels(args)
        with evaluating(parser, words):
            found = _measure(parser, args, [*words, "--gen-subset", args.gen_subset])
        print(sweep_tables.text(found))
        if found["rows"][0]["peak_memory_mib"] is None:
            print(f"{parser.prog}: warning: this system does not tell peak memory (only Linux does)", file=sys.stderr)
        results.write(args, found, found["rows"])
        _draw(args, found)


def _measure(parser: Parser, args: Namespace, words: List[str]) -> Dict[str, Any]:
    from ..fairseq_adapter.evaluation import importance as layer_importance
    from ..fairseq_adapter.evaluation import sweep as layer_sweep

    subjects, swept = _subjects(parser, args, words)
    with progress(layer_sweep.work(subjects, args.repeats, args.bleu), "batch") as bar:
        found = layer_sweep.measure(subjects, args.repeats, args.bleu, bar.update)
    if args.importance is not None:
        with progress(layer_importance.work(subjects, swept, args.samples), "batch") as bar:
            found["importance"] = layer_importance.measure(subjects, swept, args.samples, bar.update)
    checkpoints = dict(zip(args.labels, [args.path, *args.compare]))
    return {"checkpoints": checkpoints, "split": args.gen_subset, "repeats": args.repeats, **found}


def _subjects(parser: Parser, args: Namespace, words: List[str]) -> "Tuple[List[Subject], List[str]]":
    """Load each checkpoint and its data once; return them, and which stacks lose layers."""
    from ..fairseq_adapter.evaluation import evaluation, generation
    from ..fairseq_adapter.evaluation import sweep as layer_sweep
    from ..fairseq_adapter.reading import reader

    for path in args.compare:  # before anything is loaded
        reader.check_file(path, "--compare")
    models = {
        label: evaluation.load(path, args.model_overrides, words, parser.error)
        for label, path in zip(args.labels, [args.path, *args.compare])
    }
    for model in models.values() if args.bleu else ():
        generation.check(model)
    depths = {label: {name: len(stack) for name, stack in model.stacks.items()} for label, model in models.items()}
    swept = layer_sweep.swept(depths, args.stack)
    wanted = args.depths or sweep.default_depths(depths[args.labels[0]], swept)
    learned = {label: evaluation.learned_rates_of(model.stacks) for label, model in models.items()}
    needed = {label: model.needed for label, model in models.items()}
    points, left_out = sweep.plan(depths, swept, wanted, args.strategies, learned, needed, OPTIONS)
    for line in left_out:
        print(f"{parser.prog}: warning: {line}", file=sys.stderr)
    subjects = [
        layer_sweep.Subject(
            label, model, layer_sweep.some_batches(model, args.gen_subset, args.num_batches), points[label]
        )
        for label, model in models.items()
    ]
    layer_sweep.check_same_data(subjects)
    if args.num_batches is not None and len(subjects[0].batches) < args.num_batches:
        print(f"{parser.prog}: warning: {args.gen_subset} has {len(subjects[0].batches)} batches only", file=sys.stderr)
    return subjects, swept


def _labels(args: Namespace) -> List[str]:
    paths = [args.path, *args.compare]
    if len(set(map(realpath, paths))) < len(paths):
        raise ValueError(
            f"`--compare` must be other checkpoints, each once, but two of {' '.join(paths)} are the same."
        )
    if args.labels is None:
        return sweep.labels(paths)
    if len(set(args.labels)) != len(paths) or len(args.labels) != len(paths):
        raise ValueError(
            f"`--labels` must be a name for each checkpoint, here {len(paths)}, but is {' '.join(args.labels)}."
        )
    return list(args.labels)


def _check_files(args: Namespace) -> None:
    """Refuse, before long work, what can't be written or drawn."""
    results.check(args, args.path, *args.compare)
    seen = {realpath(path): path for path in (args.path, *args.compare, args.json, args.csv) if path is not None}
    for option in ("plot", "importance"):
        path = getattr(args, option)
        if path is None:
            continue
        whole_files.check(path, args.force, f"--{option}")
        plots.check(path, f"--{option}")
        if realpath(path) in seen:
            raise ValueError(f"`--{option}` must be another file than {seen[realpath(path)]}, but is {path}.")
        seen[realpath(path)] = path
    if args.importance is None and args.samples is not None:
        raise ValueError("`--samples` must go with --importance, which is missing.")
    args.samples = args.samples or 20


def _draw(args: Namespace, found: Dict[str, Any]) -> None:
    title = f"{found['split']}, {found['tokens']:,} tokens"
    if len(found["checkpoints"]) == 1:
        title = f"{args.labels[0]} on {title}"
    if args.plot is not None:
        of = "generation" if found["bleu_signature"] else "evaluation"
        with whole_files.writing(args.plot, args.force, "--plot") as file:
            file.write(plots.sweep(found["rows"], title, f"{of} on {found['device']}"))
    if args.importance is not None:
        with whole_files.writing(args.importance, args.force, "--importance") as file:
            file.write(plots.importance(found["importance"], title))


def _parser() -> Parser:
    parser = Parser("layerdrop-sweep", DESCRIPTION, EXAMPLES)
    add_evaluation_options(parser)
    parser.add_argument(
        "--compare", nargs="+", default=[], metavar="CKPT", help="more checkpoints, on the same data; a line each"
    )
    parser.add_argument(
        "--labels", nargs="+", metavar="NAME", help="names of all checkpoints (default: where their paths differ)"
    )
    parser.add_argument(
        "--depths",
        metavar="LIST",
        help="numbers of layers, for each stack alike (12,6,3) or for encoder and decoder (12+6,6+3); a checkpoint "
        "that has not so many is left out there (default: 3/4, 1/2 and 1/4 of the depth)",
    )
    parser.add_argument(
        "--strategies",
        default="every_other",
        metavar="LIST",
        help=f"which layers to keep: some of {','.join(layer_spec.STRATEGIES)} (default: every_other)",
    )
    parser.add_argument(
        "--stack",
        choices=("both", "encoder", "decoder"),
        help="which loses layers; the other stays whole (default: all that the model has)",
    )
    parser.add_argument("--bleu", action="store_true", help="translate too, and score that with sacrebleu")
    parser.add_argument("--gen-subset", default="test", metavar="SPLIT", help="data to measure on (default: test)")
    parser.add_argument("--num-batches", type=at_least_1, metavar="N", help="take N batches, drawn by --seed")
    parser.add_argument("--repeats", type=at_least_1, default=3, metavar="N", help="timings of each depth (default: 3)")
    parser.add_argument("--plot", metavar="FILE.png", help="draw quality over depth and quality over speed")
    group = parser.add_argument_group("importance of layers")
    group.add_argument(
        "--importance",
        metavar="FILE.png",
        help="draw for each layer the loss when only it is left out, the mean loss of random sub-networks with it and "
        "without it, and the cosine distance between its input and output at full depth; also a table, and in --json",
    )
    group.add_argument(
        "--samples",
        type=at_least_1,
        metavar="N",
        help="different random sub-networks with half of the layers of each stack, drawn by --seed (default: 20)",
    )
    results.add_options(parser)
    return parser


if __name__ == "__main__":
    main()
