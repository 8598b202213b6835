"""Prints the accuracy of each depth on GLUE's tasks beside the paper's, from what fairseq-validate printed.

Example: python scripts/recipes/accuracies.py results/roberta --layers 12 --tasks MNLI MRPC --kept full every_other:6
The folder holds score/TASK/KEPT.txt and, for a model that was pretrained there, evaluate/KEPT.txt.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

TASKS = ("MNLI", "MRPC", "QNLI", "SST-2")
PAPER = {  # (layers, of so many): accuracies in the order of TASKS; all on Books+Wiki but for 48 layers, on more
    (48, 48): (90.4, 90.9, 94.8, 96.9),
    (24, 24): (89.2, 90.2, 94.2, 95.4),
    (6, 12): (82.9, 85.3, 89.4, 92.5),
    (3, 12): (78.6, 75.1, 86.0, 90.5),
}

LAYERS = r"encoder_layers=(\d+)"
ACCURACY = r"\| accuracy ([\d.]+)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--layers", type=int, required=True, help="of the model before it is pruned")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, required=True)
    parser.add_argument("--kept", nargs="+", required=True, help="`full`, and specifications of kept layers")
    args = parser.parse_args()
    rows = [
        (
            read(args.folder / "evaluate" / f"{kept}.txt"),
            {task: scored(args.folder / "score" / task / f"{kept}.txt") for task in args.tasks},
        )
        for kept in args.kept
    ]
    print(table(rows, args.layers))
    print("\nAccuracy in % on GLUE's dev sets (MNLI: matched), best epoch; in brackets the paper's, pretrained on")
    print("Books+Wiki (48 layers: on more). Perplexity of masked tokens: pretrained model, valid, not finetuned.")


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def scored(path: Path) -> str:
    log = read(path)
    for pattern in (LAYERS, ACCURACY):
        if not re.search(pattern, log):
            sys.exit(f"accuracies.py: {path} must hold what fairseq-validate prints, but has no '{pattern}'.")
    return log


def table(rows: list[tuple[str, dict[str, str]]], layers: int) -> str:
    """A line for each depth, from the log of its perplexity and the logs of the tasks."""
    tasks = list(rows[0][1])
    lines = ["| layers | perplexity | " + " | ".join(tasks) + " |", "|---" * (2 + len(tasks)) + "|"]
    for perplexity, logs in rows:
        kept = int(last(LAYERS, logs[tasks[0]]))
        cells = [f"{kept} of {layers}", last(r"\| ppl (\S+)", perplexity)]
        for task, log in logs.items():
            paper = PAPER.get((kept, layers))
            cells.append(last(ACCURACY, log) + (f" ({paper[TASKS.index(task)]})" if paper else ""))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def last(pattern: str, log: str) -> str:
    return (re.findall(pattern, log) or ["-"])[-1]


if __name__ == "__main__":
    main()
