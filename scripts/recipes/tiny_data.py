"""Writes a made-up miniature of a recipe's data, in the form that the real data has.

Example: python scripts/recipes/tiny_data.py wikitext103 results/tiny-wikitext103/raw/made
"""

from __future__ import annotations

import argparse
import random
import zipfile
from pathlib import Path

from tiny_generation import cnn_dm, eli5, wmt16_en_de
from tiny_roberta import roberta
from tiny_text import SPLITS, sentence


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", choices=sorted(MAKERS), help="the recipe")
    parser.add_argument("out", type=Path, help="folder that gets it")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    MAKERS[args.data](args.out, random.Random(1))


def wikitext103(out: Path, generator: random.Random) -> None:
    """The archive wikitext-103-v1.zip."""
    with zipfile.ZipFile(out / "wikitext-103-v1.zip", "w") as archive:
        for split, size in SPLITS.items():
            lines = [" " + " ".join(sentence(generator)) + " \n" for _ in range(size)]
            archive.writestr(f"wikitext-103/wiki.{split}.tokens", "".join(lines))


def pairs(out: Path, generator: random.Random) -> None:
    """{train,valid,test}.{en,de}: each sentence and its words in reverse, w3 being v3 in the other language."""
    for split, size in SPLITS.items():
        source = [sentence(generator) for _ in range(size)]
        target = [[word.replace("w", "v") for word in reversed(words)] for words in source]
        for language, side in (("en", source), ("de", target)):
            (out / f"{split}.{language}").write_text("".join(" ".join(words) + "\n" for words in side), "utf-8")


MAKERS = {maker.__name__: maker for maker in (cnn_dm, eli5, pairs, roberta, wikitext103, wmt16_en_de)}

if __name__ == "__main__":
    main()
