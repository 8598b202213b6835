"""Compares this package with stock fairseq, side by side: training, evaluation, loading. Started by speed.sh."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from report import (
    Parser,
    at_least_two,
    drop_rate,
    had_they_run,
    head,
    positive,
    ratio,
    say,
    straight_line,
    table,
)

HERE = Path(__file__).parent
SIDES = ("ours", "stock")
WARM_UP = 3  # steps, not measured


class Step(NamedTuple):
    seconds: float
    layers: int
    words: int


def main() -> None:
    args = parse_args()
    parts = {"training": training, "evaluation": evaluation, "loading": loading}
    for part in args.parts:
        print(parts[part](args), flush=True)


def parse_args() -> argparse.Namespace:
    parser = Parser(description=__doc__)
    parser.add_argument("--command", required=True, help="what the tables say made them")
    parser.add_argument("--parts", nargs="+", choices=["training", "evaluation", "loading"], required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder with data in bin/; gets checkpoints and logs")
    parser.add_argument("--rates", type=drop_rate, nargs="+", required=True)
    parser.add_argument("--layers", type=positive, required=True)
    parser.add_argument("--model", required=True, help="options of the language model that trains, and of its batches")
    parser.add_argument("--big", required=True, help="architecture and options of the language model that is loaded")
    parser.add_argument("--types", type=positive, required=True, help="words in its dictionary")
    parser.add_argument("--rounds", type=at_least_two, required=True, help="at least 2")
    parser.add_argument("--steps", type=positive, required=True, help="of each side in a round")
    parser.add_argument("--loads", type=positive, required=True, help="of each side")
    return parser.parse_args()


class Process:
    """fairseq on one side, which takes steps when told to."""

    def __init__(self, log: Path, *argv: object) -> None:
        self.log = log
        with log.open("w") as file:
            self.popen = subprocess.Popen(
                side(*argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file, text=True
            )

    def take(self, count: int) -> list[Step]:
        assert self.popen.stdin
        assert self.popen.stdout
        try:
            print(count, file=self.popen.stdin, flush=True)
        except BrokenPipeError:
            give_up(self.log)
        return [Step(*step) for step in json.loads(self.popen.stdout.readline() or give_up(self.log))]

    def stop(self) -> None:
        self.popen.communicate()
        if self.popen.returncode:
            give_up(self.log)


def side(*argv: object) -> list[str]:
    return ["python", "-W", "ignore", str(HERE / "fairseq_side.py"), *map(str, argv)]


def give_up(log: Path) -> str:
    raise SystemExit(f"speed.py: {log.stem} ended early:\n" + "".join(log.read_text().splitlines(True)[-20:]))


def in_turns(args: argparse.Namespace, jobs: Mapping[str, Sequence[object]]) -> dict[str, list[list[Step]]]:
    """The steps of each job in each round. All stand ready and one works; every second round has them backwards."""
    running = {name: Process(args.work / f"{name}.log", *argv) for name, argv in jobs.items()}
    for process in running.values():
        process.take(WARM_UP)
    steps: dict[str, list[list[Step]]] = {name: [] for name in jobs}
    for number in range(args.rounds):
        for name in list(jobs) if number % 2 else reversed(list(jobs)):
            steps[name].append(running[name].take(args.steps))
    for process in running.values():
        process.stop()
    return steps


def words_per_second(rounds: Sequence[Sequence[Step]], expected: float) -> list[float]:
    """Of each round, had each step run as many layers as are expected."""
    steps = [step for steps in rounds for step in steps]
    per_layer = straight_line([s.layers for s in steps], [s.seconds for s in steps])[1]
    words = statistics.median(s.words for s in steps)
    return [words / had_they_run(expected, [s.layers for s in r], [s.seconds for s in r], per_layer) for r in rounds]


def ideal_speed_up(rate: float, full: float, half: float) -> float:
    """How much faster training is when the layers that are dropped cost nothing.

    Args:
        full: time of a step with all layers.
        half: the same of a model with half as many, which tells what the layers' share of the time is.

    >>> ideal_speed_up(0.5, full=10.0, half=6.0)
    1.6666666666666667
    """
    return 1 / (1 - rate * 2 * (1 - half / full))


def training(args: argparse.Namespace) -> str:
    rows = []
    half = {"half": training_job(args, "stock", 0, args.layers // 2)}
    for rate in sorted({0.0, *args.rates}):  # 0 first: the ideal starts from there
        say(f"training at p = {rate:g}: {args.rounds} rounds of {args.steps} updates")
        jobs = {name: training_job(args, name, rate, args.layers) for name in SIDES}
        steps = in_turns(args, jobs if rate else {**jobs, **half})
        if rate == 0:
            full_time, half_time = (median_time(steps[name]) for name in ("stock", "half"))
            words = statistics.median(step.words for round in steps["stock"] for step in round)
        ours, stock = (words_per_second(steps[name], args.layers * (1 - rate)) for name in SIDES)
        ideal = words / full_time * ideal_speed_up(rate, full_time, half_time)
        rows.append((f"{rate:g}", *speeds(ours, stock), f"{ideal:,.0f}", f"{statistics.median(ours) / ideal:.2f}"))
    share = 2 * (1 - half_time / full_time)
    return "\n".join(
        (
            head("Training speed, ours against stock fairseq's LayerDropModuleList", args.command),
            table(("p", *SPEEDS, "ideal, words/s", "ours / ideal"), rows),
            f"{about(args, 'updates')}. Words/s are those at the expected number of layers. Ideal: stock at p = 0, "
            f"less p times the time of its layers, which is {100 * share:.0f}% of an update (from {args.layers} layers "
            f"against {args.layers // 2}).\n",
        )
    )


def median_time(rounds: Sequence[Sequence[Step]]) -> float:
    return statistics.median(step.seconds for round in rounds for step in round)


SPEEDS = ("ours, words/s", "stock, words/s", "ours / stock (middle half of the rounds)")


def speeds(ours: Sequence[float], stock: Sequence[float]) -> tuple[str, str, str]:
    return f"{statistics.median(ours):,.0f}", f"{statistics.median(stock):,.0f}", ratio(ours, stock)


def about(args: argparse.Namespace, steps: str) -> str:
    return (
        f"Language model of {args.layers} layers, `{' '.join(args.model.split())}`; {args.rounds} rounds of "
        f"{args.steps} {steps} of either side, turn and turn about; same data, same seed; above 1 ours is faster"
    )


def training_job(args: argparse.Namespace, name: str, rate: float, layers: int) -> list[object]:
    return [name, "run", "fairseq-train", *model_options(args, name, layers), "--decoder-layerdrop", rate, "--no-save",
            "--save-dir", args.work / "unused", "--disable-validation", "--max-update", 100000]  # fmt: skip


def model_options(args: argparse.Namespace, name: str, layers: int) -> list[object]:
    return [args.work / "bin", "--task", "language_modeling", "--arch", ARCH[name] + "transformer_lm",
            "--decoder-layers", layers, *args.model.split(), "--optimizer", "adam", "--lr", "1e-4", "--clip-norm", 1,
            "--seed", 1, "--cpu", "--num-workers", 0, "--no-progress-bar", "--log-interval", 10]  # fmt: skip


ARCH = {"ours": "layerdrop_", "stock": ""}


def evaluation(args: argparse.Namespace) -> str:
    for name in SIDES:
        once(args, name, "save", args.work / f"{name}.pt", *model_options(args, name, args.layers))
    rows = []
    for kept in ("", every_other(args.layers)):
        layers = len(kept.split(",")) if kept else args.layers
        say(f"evaluation of {layers} layers: {args.rounds} rounds of {args.steps} batches")
        overrides = {"decoder_layers_to_keep": kept} if kept else {}
        steps = in_turns(
            args,
            {
                name: [name, "run", "fairseq-eval-lm", args.work / "bin", "--path", args.work / f"{name}.pt", "--cpu",
                       "--gen-subset", "train", "--model-overrides", overrides, *batches(args),
                       "--num-workers", 0, "--no-progress-bar"]
                for name in SIDES
            },
        )  # fmt: skip
        rows.append((f"{layers} of {args.layers}", *speeds(*(words_per_second(steps[name], layers) for name in SIDES))))
    return "\n".join(
        (
            head("Evaluation speed (fairseq-eval-lm), ours against stock fairseq", args.command),
            table(("layers", *SPEEDS), rows),
            f"{about(args, 'batches')}. Half the layers through `--model-overrides`.\n",
        )
    )


def batches(args: argparse.Namespace) -> list[str]:
    """Those of the model's options that an evaluation takes too."""
    argv = args.model.split()
    return [word for name in ("--tokens-per-sample", "--batch-size") for word in (name, argv[argv.index(name) + 1])]


def every_other(layers: int) -> str:
    return ",".join(map(str, range(0, layers, 2)))


def once(args: argparse.Namespace, *argv: object) -> str:
    """What a process that ends by itself answers."""
    log = args.work / f"{argv[0]}.log"
    with log.open("w") as file:
        process = subprocess.run(side(*argv), stdout=subprocess.PIPE, stderr=file, text=True)
    return process.stdout if process.returncode == 0 else give_up(log)


def loading(args: argparse.Namespace) -> str:
    data = args.work / "big"
    data.mkdir()
    data.joinpath("dict.txt").write_text("".join(f"word{i} 1\n" for i in range(args.types - 4)))  # and <s>, <pad>, ...
    for name in SIDES:
        say(f"a checkpoint of {args.types:,} words, {name}")
        task = [data, "--task", "language_modeling", "--arch", *(ARCH[name] + args.big).split()]
        model = json.loads(
            once(args, name, "save", data / f"{name}.pt", *task, "--cpu", "--batch-size", 1, "--optimizer", "nag")
        )
    rows = []
    for kept in ("", every_other(model["layers"])):
        found: dict[str, list[dict[str, float]]] = {name: [] for name in SIDES}
        for number in range(args.loads):
            for name in SIDES if number % 2 else reversed(SIDES):
                read_through(data / f"{name}.pt")
                found[name].append(json.loads(once(args, name, "load", data / f"{name}.pt", *filter(None, [kept]))))
        rows.append((f"{found['ours'][0]['layers']} of {model['layers']}", *compared(found, "seconds", ".2f"),
                     *compared(found, "peak", ",.0f")))  # fmt: skip
    before = ", ".join(f"{statistics.median(load['before'] for load in found[name]):,.0f} {name}" for name in SIDES)
    return "\n".join(
        (
            head("Loading and pruning a checkpoint, ours against stock fairseq", args.command),
            table(("layers", "ours (s)", "stock (s)", "ours / stock", "ours, peak (MB)", "stock, peak (MB)",
                   "ours / stock"), rows),
            f"`{' '.join(args.big.split())}` with {args.types:,} words: {model['parameters']:,} parameters, "
            f"{data.joinpath('ours.pt').stat().st_size / 1e9:.2f} GB without the optimizer's state. Each time a new "
            f"process, {args.loads} of either side, turn and turn about, the file in the page cache; medians; below 1 "
            f"ours is better. Peak of the whole process, of which before it loads (MB): {before}.\n",
        )
    )  # fmt: skip


def read_through(file: Path) -> None:
    """So that the page cache holds it, for either side alike."""
    with file.open("rb") as f:
        while f.read(2**24):
            pass


def compared(found: dict[str, list[dict[str, float]]], key: str, form: str) -> tuple[str, str, str]:
    ours, stock = ([load[key] for load in found[name]] for name in SIDES)
    return f"{statistics.median(ours):{form}}", f"{statistics.median(stock):{form}}", ratio(ours, stock)


if __name__ == "__main__":
    main()
