"""Turns the JSON log of fairseq-train on standard input into a progress bar on standard error.

Example: fairseq-train ... --max-update 2000 --log-format json | python scripts/demo/watch.py 2000
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator

from tqdm import tqdm


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("updates", type=int, help="how many updates the training makes")
    parser.add_argument("--name", help="what is trained, where several are at once: lines instead of a bar")
    args = parser.parse_args()
    if args.name is None and sys.stderr.isatty():
        _bar(progress(sys.stdin), args.updates)
    else:
        _lines(progress(sys.stdin), args.updates, f"{args.name}: " if args.name else "")


def progress(log: Iterable[str]) -> Iterator[tuple[int, float]]:
    """Yields (updates done, loss) from the lines of a log; lines of any other kind are passed over."""
    for line in log:
        match = re.search(r"\| train_inner \| (\{.*\})", line)
        if match:
            stats = json.loads(match[1])
            yield int(stats["num_updates"]), float(stats["loss"])


def _bar(steps: Iterator[tuple[int, float]], total: int) -> None:
    bar = None
    for done, loss in steps:
        bar = bar or tqdm(total=total, initial=done, unit=" updates", file=sys.stderr)
        bar.set_postfix(loss=f"{loss:.2f}", refresh=False)
        bar.update(done - bar.n)
    if bar:
        bar.close()


def _lines(steps: Iterator[tuple[int, float]], total: int, name: str) -> None:
    """Write a line for every tenth of the way."""
    shown = 0
    for done, loss in steps:
        if done * 10 // total > shown:
            shown = done * 10 // total
            print(f"demo:   {name}{done} of {total} updates, loss {loss:.2f}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:  # the whole pipeline was stopped; demo.sh says so
        sys.exit(130)
