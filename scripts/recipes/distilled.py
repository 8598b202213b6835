"""Prints size, BLEU and speed of a teacher, of its pruned self, and of the student that this became.

Example: python scripts/recipes/distilled.py results/distil
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

MODELS = ("teacher", "pruned", "student")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the folder of scripts/distil.sh, with evaluate/MODEL.txt")
    out = parser.parse_args().out
    print("| model | BLEU | sentences/s |\n|---|---|---|")
    for model in MODELS:
        print(row(model, out / "evaluate"))


def row(model: str, folder: Path) -> str:
    """Return a model's row, BLEU being fairseq's own, of tokenized text."""
    printed, output = folder / f"{model}.txt", folder / model / "generate-test.txt"
    bleu = _last(r"BLEU4 = ([\d.]+)", output)
    speed = _last(r"([\d.]+) sentences/s", printed)
    return f"| {model} | {float(bleu):.2f} | {float(speed):.1f} |"


def _last(pattern: str, file: Path) -> str:
    found = re.findall(pattern, file.read_text(encoding="utf-8")) if file.exists() else []
    if not found:
        sys.exit(f"{file} must hold what fairseq-generate prints, but has no '{pattern}'.")
    return str(found[-1])


if __name__ == "__main__":
    main()
