"""What the budgets of layerdrop-search are worth.

promise   the speed-up that the costs of the parts promise, for ten budgets, and the one that is measured
quality   BLEU and sentences per second at some budgets: the best split, and Every Other with equal numbers

Examples:
  python scripts/benchmarks/budget.py promise demo/bin --path demo/models/with/checkpoint_last.pt --cpu --batch-size 32
  python scripts/benchmarks/budget.py quality demo/bin --path demo/models/with/checkpoint_last.pt --cpu --batch-size 32
    --budgets 1.5,2,3 --num-batches 20 --folder results/budget

Without Every Other's luck with the lengths of its translations: "same way" is measured while beam search goes the way
of the full model. `--cpu-time` measures the process's time: for a machine with other work, and one thread.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

from report import table

from layerdrop_plugin import budget
from layerdrop_plugin.cli import search as layerdrop_search
from layerdrop_plugin.cli.command import load_fairseq
from layerdrop_plugin.cost_model import Split
from layerdrop_plugin.fairseq_adapter.evaluation import (
    budget_search,
    evaluation,
    generation,
    part_costs,
    running_cost,
    split_costs,
)
from layerdrop_plugin.fairseq_adapter.evaluation import search as layer_search
from layerdrop_plugin.sweep import name_of

CLOSE = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("promise", "quality"))
    parser.add_argument("data", help="the binarized data")
    parser.add_argument("--path", required=True, help="a checkpoint")
    parser.add_argument("--budgets", help="speed-ups to ask for, with commas (default: ten over all that are promised)")
    parser.add_argument("--num-batches", type=int, default=8, help="batches to search on (default: 8)")
    parser.add_argument("--folder", type=Path, default=Path(), help="of quality: where results and scores are kept")
    parser.add_argument("--cpu-time", action="store_true", help="measure the time of the process, not of the clock")
    args, argv = parser.parse_known_args()
    if args.cpu_time:
        for module in (generation, running_cost):
            module.time = SimpleNamespace(perf_counter=time.process_time)  # type: ignore[attr-defined]
    if args.what == "promise":
        load_fairseq()
        promise(evaluation.load(args.path, "{}", [args.data, *argv], fail), args.num_batches, args.budgets)
    else:
        quality(args, argv)


def fail(message: str) -> NoReturn:
    sys.exit(f"budget.py: {message}")


def promise(model: evaluation.Evaluation, number: int, budgets: str | None) -> None:
    """Print what is promised and measured at each budget, and how many of them are within 5%."""
    batches = layer_search.chosen_batches(model, "valid", number)
    whole = layer_search.plan(model, None, [1], "greedy", "loss", len(batches))
    parts = part_costs.measure(model, whole.stacks, batches)
    costs = split_costs.costs(model, whole, parts.in_use, None)
    full = costs.of(whole.depths)
    asked = []
    for place, amount in enumerate(amounts(costs, whole.depths, budgets)):
        of = budget.parse("speedup", f"{amount:.3f}")
        splits = budget_search.fitting(
            budget_search.Asked(model, of, "--speedup", whole, "greedy", len(batches), costs)
        )
        asked.append((amount, splits[place % len(splits)]))  # the search would choose one of them
    splits = [whole.depths, *dict.fromkeys(split for _, split in asked)]
    own, same = speedups(model, splits, batches)
    rows = []
    for amount, split in asked:
        promised = full.seconds / costs.of(split).seconds
        off = [measured[split] / promised - 1 for measured in (own, same)]
        cells = (f"{promised:.2f}", f"{own[split]:.2f}", f"{100 * off[0]:+.1f}%", f"{100 * off[1]:+.1f}%")
        rows.append((f"{amount:.2f}", name_of(split), *cells, *off))
    print(table(["budget", "layers", "promised", "measured", "off", "off, same way"], [row[:6] for row in rows]))
    for name, column in (("measured", 6), ("measured, same way", 7)):
        close = sum(abs(float(row[column])) <= CLOSE for row in rows)
        print(f"{name}: {close} of {len(rows)} budgets are within {100 * CLOSE:.0f}%")


def amounts(costs: split_costs.SplitCosts, depths: Split, budgets: str | None) -> list[float]:
    """Return the speed-ups to ask for: those given, or ten, each as many times the one before."""
    if budgets is not None:
        return [float(text) for text in budgets.split(",")]
    most = costs.of(depths).seconds / costs.of((1,) * len(depths)).seconds
    return [most ** ((i + 1) / 10.5) for i in range(10)]


def speedups(
    model: evaluation.Evaluation, splits: Sequence[Split], batches: Sequence[evaluation.Sample]
) -> list[dict[Split, float]]:
    """Return the speed-up of each split of Every Other: with its own translations, and on the full model's way."""
    timed = batches[: part_costs.TIMED]
    candidates = [part_costs.every_other(model, split) for split in splits]
    own = [sum(one.seconds) for one in part_costs.in_use(model, candidates, timed)]
    same = part_costs.seconds(model, candidates, timed, part_costs.translates(model))
    return [{split: times[0] / taken for split, taken in zip(splits, times)} for times in (own, same)]


def quality(args: argparse.Namespace, argv: Sequence[str]) -> None:
    """Search at each budget, with the same scores, and print the best split beside Every Other."""
    args.folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for amount in (args.budgets or "1.5,2,3").split(","):
        found, scores = args.folder / f"speedup-{amount}.json", args.folder / "scores.json"
        options = ["--speedup", amount, "--num-batches", str(args.num_batches), "--bleu", "--force"]
        options += ["--state", str(scores), "--json", str(found), "--report-subset", "test"]
        layerdrop_search.main([args.data, "--path", args.path, *options, *argv])
        result = json.loads(found.read_text(encoding="utf-8"))
        full, *others = result["ranking"]
        chosen = next(row for row in others if all(row[stack] == kept for stack, kept in result["best"].items()))
        equal = [row for row in others if row["choice"] == "every_other"]
        for name, row in (("all layers", full), ("best split", chosen), *(("Every Other", row) for row in equal)):
            numbers = (f"{row['bleu']:.2f}", f"{row['loss']:.4f}", f"{row['sentences_per_second']:,.0f}")
            rows.append((amount, name, row["split"], *numbers, f"{row['speedup']:.2f}"))
    print(table(["budget", "layers", "split", "BLEU", "loss", "sentences/s", "speedup"], rows))


if __name__ == "__main__":
    main()
