"""Times training steps of several workers whose masks agree, and of workers that each draw their own.

Example: python scripts/benchmarks/workers.py --processes 2 4 --rates 0.2 0.5 --rounds 10 --steps 10
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from report import (
    Parser,
    at_least_two,
    cores_here,
    drop_rate,
    had_they_run,
    head,
    positive,
    ratio,
    say,
    straight_line,
    table,
)
from torch import distributed, multiprocessing, nn

from layerdrop_plugin.dropping import Dropping, LayerDropStack, dropped_groups

WORDS = 1000
KINDS = ("same", "independent")


class Step(NamedTuple):
    """One training step, as the first worker saw it; `layers` is how many the slowest worker ran."""

    rate: float
    kind: str
    round: int
    layers: int
    seconds: float


class LanguageModel(nn.Module):
    """A small causal transformer in plain torch, its layers in this package's stack."""

    def __init__(self, layers: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, width)
        options = {"batch_first": True, "norm_first": True}
        one = (nn.TransformerEncoderLayer(width, 4, 4 * width, **options) for _ in range(layers))
        self.layers = LayerDropStack(one, name="decoder")
        self.output = nn.Linear(width, WORDS)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        x = self.embedding(words)
        mask = torch.full((words.shape[1],) * 2, -math.inf).triu(1)
        for layer in self.layers:
            x = layer(x, mask)
        return nn.functional.cross_entropy(self.output(x[:, :-1]).flatten(0, 1), words[:, 1:].flatten())


def main() -> None:
    args = parse_args()
    steps = {workers: measure(workers, args) for workers in args.processes}
    alike = [s for s in steps[args.processes[0]] if s.kind == "same"]
    fixed, per_layer = straight_line([s.layers for s in alike], [s.seconds for s in alike])
    rows = []
    for rate in args.rates:
        for workers in (*args.processes, *args.simulated):
            measured = compare([s for s in steps.get(workers, []) if s.rate == rate], workers, rate, args.layers)
            same, slowest = (fixed + per_layer * most_layers(n, args.layers, rate) for n in (1, workers))
            layers = f"{most_layers(workers, args.layers, rate):.1f}"
            rows.append((workers, rate, *measured, f"{slowest / same:.3f}", f"{args.layers * (1 - rate):.1f}", layers))
    print(head("A step with the same masks on all workers, and with independent ones", args.command))
    print(
        table(
            ("workers", "p", "same (ms)", "independent (ms)", "independent / same (middle half of the rounds)",
             "predicted", "layers run: same", "independent"), rows,
        )
    )  # fmt: skip
    print(explanation(args, fixed, per_layer))


def parse_args() -> argparse.Namespace:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--command", default="python scripts/benchmarks/workers.py", help="what the table says made it")
    parser.add_argument("--processes", type=positive, nargs="+", default=[2, 4], help="numbers of workers to measure")
    parser.add_argument("--simulated", type=positive, nargs="*", default=[8, 64, 512], help="numbers to work out")
    parser.add_argument("--rates", type=drop_rate, nargs="+", default=[0.2, 0.5])
    parser.add_argument("--layers", type=positive, default=16)
    parser.add_argument("--width", type=positive, default=128, help="a multiple of 4; of the FFN, a quarter")
    parser.add_argument("--tokens", type=positive, default=512, help="what a worker reads in a step")
    parser.add_argument("--rounds", type=at_least_two, default=10, help="at least 2")
    parser.add_argument("--steps", type=positive, default=10, help="of either kind in a round")
    return parser.parse_args()


def most_layers(workers: int, layers: int, rate: float) -> float:
    """How many layers the worker that kept the most runs on average, when each draws its own mask.

    The expectation of the maximum of `workers` draws from Binomial(layers, 1 - rate), worked out exactly.
    """
    chances = [math.comb(layers, k) * (1 - rate) ** k * rate ** (layers - k) for k in range(layers)]
    return sum(1 - math.fsum(chances[: k + 1]) ** workers for k in range(layers))


def compare(steps: Sequence[Step], workers: int, rate: float, layers: int) -> tuple[str, str, str]:
    """Milliseconds of a step with the same and with independent masks, and the one through the other."""
    if not steps:
        return "", "", ""
    times = {}
    for kind in KINDS:
        mine = [s for s in steps if s.kind == kind]
        expected = most_layers(workers if kind == "independent" else 1, layers, rate)
        per_layer = straight_line([s.layers for s in mine], [s.seconds for s in mine])[1]
        rounds = [[s for s in mine if s.round == number] for number in sorted({s.round for s in mine})]
        times[kind] = [had_they_run(expected, [s.layers for s in r], [s.seconds for s in r], per_layer) for r in rounds]
    same, independent = (f"{1000 * sorted(times[kind])[len(times[kind]) // 2]:.1f}" for kind in KINDS)
    return same, independent, ratio(times["independent"], times["same"])


def explanation(args: argparse.Namespace, fixed: float, per_layer: float) -> str:
    lines = [
        f"{args.layers} layers of width {args.width}, {args.tokens} tokens per worker and step, one thread per worker, "
        f"gloo; {args.rounds} rounds of {args.steps} steps of either kind, turn and turn about. Times are those at the "
        "expected number of layers.",
        f"Predicted: {1000 * fixed:.1f} ms + {1000 * per_layer:.2f} ms per layer (fitted to the steps of "
        f"{args.processes[0]} workers with the same masks) times the layers that the slowest worker runs, on average "
        "over all masks, each worker having a core of its own. The time to add up gradients is taken to be that of "
        f"{args.processes[0]} workers; more would make the ratio smaller.",
    ]
    crowded = [str(n) for n in args.processes if n > cores_here()]
    if crowded:
        lines.append(
            f"Here {' and '.join(crowded)} workers share {cores_here()} cores: one that waits leaves its core to the "
            "others, so that waiting costs less than it would on a core each, and less than predicted."
        )
    return "\n".join(lines)


def measure(workers: int, args: argparse.Namespace) -> list[Step]:
    say(f"{workers} workers, {len(args.rates)} rates, {args.rounds} rounds of {args.steps} steps of either kind")
    with tempfile.TemporaryDirectory() as folder:
        # Forked workers need not import torch and fairseq again; this process has not computed anything yet.
        multiprocessing.start_processes(work, (workers, args, folder), nprocs=workers, start_method="fork")
        return [Step(*step) for step in json.loads(Path(folder, "steps").read_text(encoding="utf-8"))]


def work(rank: int, workers: int, args: argparse.Namespace, folder: str) -> None:
    """One worker; the first one writes its steps."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=workers)
    torch.manual_seed(1)
    model = nn.parallel.DistributedDataParallel(LanguageModel(args.layers, args.width))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    length = min(64, args.tokens)
    words = torch.randint(WORDS, (args.tokens // length, length), generator=torch.Generator().manual_seed(rank))
    steps: list[Step] = []
    for number in range(-1, args.rounds):  # the first round warms up
        for rate in args.rates:
            for kind in KINDS if number % 2 else reversed(KINDS):
                steps += take_steps(model, optimizer, words, args.steps, number, rate, kind)
        if rank == 0 and number >= 0:
            say(f"{workers} workers: {number + 1} of {args.rounds} rounds")
    if rank == 0:
        Path(folder, "steps").write_text(json.dumps([s for s in steps if s.round >= 0]), encoding="utf-8")
    distributed.destroy_process_group()


def take_steps(
    model: nn.parallel.DistributedDataParallel, optimizer: torch.optim.Optimizer, words: torch.Tensor,
    count: int, number: int, rate: float, kind: str,
) -> list[Step]:  # fmt: skip
    """Both kinds take the same update numbers, so that the first worker drops the same layers in both."""
    stack = model.module.layers
    workers = distributed.get_world_size() if kind == "independent" else 1
    stack.dropping = Dropping(rate, seed=distributed.get_rank() if kind == "independent" else 0)
    stack.set_num_updates(0)  # or it would count on from what the other kind did in the same update
    steps = []
    distributed.barrier()
    for update in range(1 + (number + 1) * count, 1 + (number + 2) * count):
        start = time.perf_counter()
        stack.set_num_updates(update)
        optimizer.zero_grad()
        model(words).backward()
        optimizer.step()
        seconds = time.perf_counter() - start
        kept = max(
            len(stack)
            - sum(dropped_groups((rate,) * len(stack), seed=s, update=update, forward_pass=0, name=stack.name))
            for s in range(workers)
        )
        steps.append(Step(rate, kind, number, kept, seconds))
    return steps


if __name__ == "__main__":
    main()
