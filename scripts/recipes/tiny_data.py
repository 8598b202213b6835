"""Writes a made-up miniature of a recipe's data, in the form that the real data has.

Example: python scripts/recipes/tiny_data.py wikitext103 results/tiny-wikitext103/raw/made
"""

from __future__ import annotations

import argparse
import random
import zipfile
from pathlib import Path

SPLITS = {"train": 400, "valid": 40, "test": 40}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", choices=sorted(MAKERS), help="the recipe")
    parser.add_argument("out", type=Path, help="folder that gets it")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    MAKERS[args.data](args.out, random.Random(1))


def sentence(generator: random.Random) -> list[str]:
    """Words of 100; each but the first tends to follow from the one before, so that there is something to learn."""
    words = [generator.randrange(100)]
    for _ in range(generator.randint(3, 11)):
        words.append((words[-1] * 7 + 3) % 100 if generator.random() < 0.8 else generator.randrange(100))
    return [f"w{word}" for word in words]


def wikitext103(out: Path, generator: random.Random) -> None:
    """The archive wikitext-103-v1.zip."""
    with zipfile.ZipFile(out / "wikitext-103-v1.zip", "w") as archive:
        for split, size in SPLITS.items():
            lines = [" " + " ".join(sentence(generator)) + " \n" for _ in range(size)]
            archive.writestr(f"wikitext-103/wiki.{split}.tokens", "".join(lines))


MAKERS = {"wikitext103": wikitext103}

if __name__ == "__main__":
    main()
