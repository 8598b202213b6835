"""What layerdrop-search costs: sharing prefixes against one set after another, and racing against exhaustive.

Example: python scripts/benchmarks/search.py data-bin/lm --path checkpoint_last.pt --keep 8 --max-tokens 512

The first table holds, for the sets of the first `--batches` batches, the measured seconds and those that the numbers
of layer evaluations and the measured cost of a layer and of the rest (embedding, output layer, loss) predict.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
from collections.abc import Iterator
from typing import Any, Callable, NoReturn

import torch
from tqdm import tqdm

from layerdrop_plugin import prefixes
from layerdrop_plugin.cli.command import load_fairseq
from layerdrop_plugin.fairseq_adapter.evaluation import evaluation
from layerdrop_plugin.fairseq_adapter.evaluation import search as layer_search
from layerdrop_plugin.measuring import Measuring

TURN = 250
"""So many sets are scored one way, then the other."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--path", required=True, help="a checkpoint; with one stack, for the first table")
    parser.add_argument("--keep", type=int, required=True, help="layers to keep")
    parser.add_argument("--batches", type=int, default=1, help="batches of the first table; 0 leaves it out")
    parser.add_argument("--race-batches", type=int, default=128, help="batches of the second table; 0 leaves it out")
    args, argv = parser.parse_known_args()
    load_fairseq()
    model = evaluation.load(args.path, "{}", [*argv, "--cpu"], fail)
    if args.batches and len(model.stacks) != 1:
        fail("--path must be a model with one stack, or --batches 0.")
    if args.batches:
        sharing(model, args.keep, args.batches)
    if args.race_batches:
        race(model, args.keep, args.race_batches)


def fail(message: str) -> NoReturn:
    sys.exit(f"search.py: {message}")


def sharing(model: evaluation.Evaluation, keep: int, number: int) -> None:
    """Score all sets both ways, a batch at a time, and compare with what the costs of the parts predict."""
    batches = layer_search.chosen_batches(model, "valid", number)
    plan = layer_search.plan(model, None, [keep], "exhaustive", "loss", number)
    scoring = layer_search.Scoring(model, plan, batches)
    counts = {
        "shared": prefixes.layer_evaluations(plan.candidates),
        "one by one": prefixes.layer_evaluations_apart(plan.candidates),
    }
    seconds = dict.fromkeys(counts, 0.0)
    parts = []
    sets = len(plan.candidates)
    bar = tqdm(total=2 * sets * number, unit="set", disable=None, leave=False)
    for i, batch in enumerate(batches):
        ways = {"shared": scoring(i, plan.candidates), "one by one": one_by_one(model, plan, batch)}
        for _ in range(0, sets, TURN):  # in turns, so that a slow moment of the machine falls on all
            losses = {}
            for way, scores in ways.items():
                parts.append(cost_of_parts(model, batch))
                losses[way], taken = timed(lambda scores=scores: [s[0] for s in itertools.islice(scores, TURN)])
                seconds[way] += taken
                bar.update(len(losses[way]))
            assert losses["shared"] == losses["one by one"], "the two ways must give the same losses"
    bar.close()
    layer, rest = (statistics.mean(times) for times in zip(*parts))
    predicted = {way: number * (count * layer + sets * rest) for way, count in counts.items()}
    print(f"a layer takes {1e3 * layer:.3f} ms, the rest of the model {1e3 * rest:.3f} ms")
    print(
        f"\n| {sets:,} sets of {keep} layers | layer evaluations a batch | seconds | predicted | measured / predicted |"
    )
    print("|---|---|---|---|---|")
    for way, count in counts.items():
        print(
            f"| {way} | {count:,} | {seconds[way]:.3g} | {predicted[way]:.3g} | {seconds[way] / predicted[way]:.3f} |"
        )
    print(f"\nshared / one by one: {seconds['shared'] / seconds['one by one']:.3f} measured, ", end="")
    print(f"{predicted['shared'] / predicted['one by one']:.3f} predicted\n")


def one_by_one(model: evaluation.Evaluation, plan: layer_search.Plan, batch: Any) -> Iterator[evaluation.Tally]:
    for (kept,) in plan.candidates:
        with model.running({plan.stacks[0]: kept}):
            tally = model.tally(batch)
        yield tally


@torch.no_grad()
def cost_of_parts(model: evaluation.Evaluation, batch: Any, repeats: int = 32) -> tuple[float, float]:
    """Mean seconds of a layer, and of all else: the model with layers that do nothing."""
    (stack,) = model.stacks.values()
    calls = []

    def note(x: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        calls.append((x, args, kwargs))
        return (x, None, None) if stack.extra_outputs else x

    with stack.instead([note]):
        _, rest = timed(lambda: [model.tally(batch) for _ in range(repeats)])
    x, args, kwargs = calls[0]
    layers = [stack[i % len(stack)] for i in range(repeats)]
    _, layer = timed(lambda: [one(x, *args, **kwargs) for one in layers])
    return layer / repeats, rest / repeats


def race(model: evaluation.Evaluation, keep: int, number: int) -> None:
    """Search the same batches exhaustively and by racing."""
    batches = layer_search.chosen_batches(model, "valid", number)
    rows = {}
    for strategy in ("racing", "exhaustive"):
        plan = layer_search.plan(model, None, [keep], strategy, "loss", len(batches))
        scoring = layer_search.Scoring(model, plan, batches)
        with tqdm(total=layer_search.work(plan, len(batches)), desc=strategy, disable=None, leave=False) as bar:
            best = layer_search.run(plan, Measuring(scoring, progress=bar.update), len(batches))[0]
        rows[strategy] = (best, scoring.counters)
    loss, cost = rows["exhaustive"][0].loss, rows["exhaustive"][1]
    print(f"| {len(batches)} batches | best set | loss | above exhaustive's | layer evaluations | of | seconds | of |")
    print("|---|---|---|---|---|---|---|---|")
    for strategy, (best, used) in rows.items():
        kept = " + ".join(",".join(map(str, layers)) for layers in best.candidate)
        evaluations, seconds = used["layer_evaluations"], used["seconds"]
        print(
            f"| {strategy} | {kept} | {best.loss:.4f} | {100 * (best.loss / loss - 1):.3f}% | {evaluations:,} ", end=""
        )
        print(f"| {evaluations / cost['layer_evaluations']:.3f} | {seconds:.1f} | {seconds / cost['seconds']:.3f} |")


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    started = time.perf_counter()
    return work(), time.perf_counter() - started


if __name__ == "__main__":
    main()
