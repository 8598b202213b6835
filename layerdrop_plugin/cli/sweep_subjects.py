"""Load what a sweep measures: checkpoints with their data, labels and depths."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from os.path import realpath
from typing import TYPE_CHECKING

from .. import message, sweep, sweep_sets
from ..fingerprint import fingerprint
from .command import Parser

if TYPE_CHECKING:
    from ..fairseq_adapter.evaluation.evaluation import Evaluation
    from ..fairseq_adapter.evaluation.sweep import Subject

OPTIONS = ("--depths", "--strategies")


def subjects_of(parser: Parser, args: Namespace, fairseq_argv: list[str]) -> tuple[list[Subject], list[str]]:
    """Load each checkpoint and its data once; return them, and which stacks lose layers."""
    from ..fairseq_adapter.evaluation import evaluation, generation
    from ..fairseq_adapter.evaluation import sweep as layer_sweep
    from ..fairseq_adapter.reading import reader

    for path in args.compare:  # before anything is loaded
        reader.check_file(path, "--compare")
    models = {
        label: evaluation.load(path, args.model_overrides, fairseq_argv, parser.error)
        for label, path in zip(args.labels, [args.path, *args.compare])
    }
    _warn_of_others(parser, args)
    for model in models.values() if args.bleu else ():
        generation.check(model)
    swept = layer_sweep.swept({label: _depths(model) for label, model in models.items()}, args.stack)
    points = _points(parser, args, models, swept)
    subjects = [
        layer_sweep.Subject(
            label, model, layer_sweep.some_batches(model, args.gen_subset, args.num_batches), points[label]
        )
        for label, model in models.items()
    ]
    layer_sweep.check_same_data(subjects)
    if args.num_batches is not None and len(subjects[0].batches) < args.num_batches:
        batches = message.counted(len(subjects[0].batches), "batch", "batches")
        parser.warn(f"{args.gen_subset} has only {batches}")
    return subjects, swept


def _warn_of_others(parser: Parser, args: Namespace) -> None:
    """Warn of sets that were found on another checkpoint."""
    if any(one.fingerprint for one in args.search_sets):
        fingerprints = {label: fingerprint(path) for label, path in zip(args.labels, [args.path, *args.compare])}
        for line in sweep_sets.of_others(args.search_sets, fingerprints):
            parser.warn(line)


def _points(
    parser: Parser, args: Namespace, models: Mapping[str, Evaluation], swept: list[str]
) -> dict[str, list[sweep.Point]]:
    """Return what to measure of each model, by depth; warn of what is left out."""
    from ..fairseq_adapter.modeling import stacks

    depths = {label: _depths(model) for label, model in models.items()}
    learned = {label: stacks.learned_rates_of(model.stacks) for label, model in models.items()}
    needed = {label: model.needed for label, model in models.items()}
    held = {label: model.held for label, model in models.items()}
    before = {label: model.pruned_before for label, model in models.items()}
    sets = [*args.search_sets, *(sweep_sets.parse(text, swept, "--sets") for text in args.sets)]
    alone, without_sets = sweep_sets.points_of(sets, depths, held, learned, needed, before)
    first = next(label for label in depths if alone[label] or not sets)
    wanted = args.depths or sweep_sets.depths_of(alone[first], depths[first], swept)
    wanted = wanted or _default_depths(parser, models[args.labels[0]], swept)
    points, left_out = sweep.plan(depths, swept, wanted, args.strategies, learned, needed, OPTIONS)
    for line in (*left_out, *without_sets):
        parser.warn(line)
    return {label: sweep_sets.by_depth([*points[label], *alone[label]]) for label in points}


def _depths(model: Evaluation) -> dict[str, int]:
    return {name: len(stack) for name, stack in model.stacks.items()}


def _default_depths(parser: Parser, model: Evaluation, swept: list[str]) -> list[sweep.Depths]:
    from ..fairseq_adapter.evaluation import sweep as layer_sweep

    trained, left_out = layer_sweep.trained_depths(model.stacks, swept)
    for line in left_out:
        parser.warn(line)
    return trained or sweep.default_depths(_depths(model), swept)


def labels_of(args: Namespace) -> list[str]:
    """Return a name for each checkpoint: those of --labels, or the part of the paths that differs.

    Raises:
        ValueError: one line: two checkpoints are the same, or there is not a name for each.
    """
    paths = [args.path, *args.compare]
    if len(set(map(realpath, paths))) < len(paths):
        raise ValueError(
            f"`--compare` must be other checkpoints, each once, but two of {' '.join(paths)} are the same."
        )
    if args.labels is None:
        return sweep.labels(paths)
    if len(set(args.labels)) != len(paths) or len(args.labels) != len(paths):
        raise ValueError(
            f"`--labels` must be a name of its own for each checkpoint, here {len(paths)}, but is "
            f"{' '.join(map(repr, args.labels))}."
        )
    return list(args.labels)
