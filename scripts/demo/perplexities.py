"""Prints the language model's perplexity at each depth, from what fairseq-eval-lm logged.

Example: python scripts/demo/perplexities.py demo
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from scores import parameters


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demo", type=Path, help="folder with log/evaluate-lm-*.txt")
    demo = parser.parse_args().demo
    logs = {int(path.stem.rpartition("-")[2]): path for path in (demo / "log").glob("evaluate-lm-*.txt")}
    if not logs:
        sys.exit(f"perplexities.py: {demo}/log must hold the logs of fairseq-eval-lm, but holds none.")
    print(table({depth: path.read_text(encoding="utf-8") for depth, path in logs.items()}))


def table(logs: dict[int, str]) -> str:
    """Perplexity per piece and speed, the deepest first."""
    rows = [f"\n{'language model':<18} {'layers':>6} {'parameters':>11} {'perplexity':>11} {'tokens/s':>9}"]
    for depth, log in sorted(logs.items(), reverse=True):
        perplexity = float(re.findall(r"Perplexity: ([\d.]+)", log)[-1])
        speed = float(re.findall(r"\(([\d.]+) tokens/s\)", log)[-1])
        rows.append(f"{'with LayerDrop':<18} {depth:>6} {parameters(log):>11,} {perplexity:>11.2f} {speed:>9.0f}")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
