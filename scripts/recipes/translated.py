"""Writes what a teacher translated as text to train a student on: train.SOURCE and train.TARGET.

Example: python scripts/recipes/translated.py results/distil/translate results/distil/text --languages en de
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("translated", type=Path, help="folder with SHARD/generate-train.txt of each shard")
    parser.add_argument("out", type=Path, help="folder that gets the text")
    parser.add_argument("--languages", nargs=2, required=True, metavar=("SOURCE", "TARGET"))
    args = parser.parse_args()
    shards = sorted(args.translated.glob("*/generate-train.txt"))
    found = pairs([shard.read_text(encoding="utf-8") for shard in shards])
    if not found:
        sys.exit(f"{args.translated} must hold what fairseq-generate wrote, but holds no translation.")
    args.out.mkdir(parents=True, exist_ok=True)
    for language, side in zip(args.languages, zip(*found)):
        (args.out / f"train.{language}").write_text("".join(f"{line}\n" for line in side), encoding="utf-8")
    print(f"{len(found):,} translations of {len(shards)} shards")


def pairs(outputs: list[str]) -> list[tuple[str, str]]:
    """Return sources and their translations, in pieces, in the order of the data; empty ones are left out."""
    texts = {}
    for kind in "SH":
        lines = (re.findall(rf"^{kind}-(\d+)\t(?:-?[\d.e+-]+\t)?(.*)$", output, re.MULTILINE) for output in outputs)
        texts[kind] = {int(number): text for of_shard in lines for number, text in of_shard}
    sources, translations = texts["S"], texts["H"]
    both = sorted(sources.keys() & translations.keys())
    return [(sources[n], translations[n]) for n in both if sources[n].strip() and translations[n].strip()]


if __name__ == "__main__":
    main()
