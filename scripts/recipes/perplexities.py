"""Prints the perplexity per word at each depth, from what fairseq-eval-lm printed.

Example: python scripts/recipes/perplexities.py results/wikitext103/evaluate --context-window 2560
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with SUBSET-KEPT.txt")
    parser.add_argument("--context-window", type=int, required=True, help="that was used, in tokens")
    args = parser.parse_args()
    logs = {path.stem: path.read_text(encoding="utf-8") for path in sorted(args.folder.glob("*-*.txt"))}
    if not logs:
        sys.exit(f"perplexities.py: {args.folder} must hold the output of fairseq-eval-lm, but holds none.")
    for name in logs:
        if last(r"Evaluated ([\d,]+) tokens", logs, name) == "0":
            sys.exit(f"perplexities.py: {args.folder}/{name}.txt must have evaluated tokens, but evaluated none.")
    print(table(logs))
    print(f"\nPerplexity per word; each has {args.context_window} tokens of context or all that there are.")


def table(logs: dict[str, str]) -> str:
    """A row per depth, the largest first; perplexities of valid and test, tokens/s on test."""
    kept = {name.partition("-")[2]: parameters(logs, name) for name in logs}
    rows = ["| layers | parameters | valid | test | tokens/s |", "|---|---|---|---|---|"]
    for layers, count in sorted(kept.items(), key=lambda item: -item[1]):
        values = [float(last(r"Perplexity: (\S+)", logs, f"{subset}-{layers}")) for subset in ("valid", "test")]
        speed = float(last(r"([\d.]+) tokens/s", logs, f"test-{layers}"))
        rows.append(f"| {layers} | {count:,} | {values[0]:.2f} | {values[1]:.2f} | {speed:.0f} |")
    return "\n".join(rows)


def parameters(logs: dict[str, str], name: str) -> int:
    """The count that the evaluation logs for the model that it runs."""
    return int(last(r"num\. model params: ([\d,]+)", logs, name).replace(",", ""))


def last(pattern: str, logs: dict[str, str], name: str) -> str:
    found = re.findall(pattern, logs.get(name, ""))
    if not found:
        sys.exit(f"perplexities.py: {name}.txt must hold what fairseq-eval-lm prints, but has no '{pattern}'.")
    return found[-1]


if __name__ == "__main__":
    main()
