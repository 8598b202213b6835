"""Writes English-German text for training, validation and test, and the same text cut into pieces.

Example: python scripts/demo/make_data.py --out demo --pairs 60000 --pieces 600 --seed 1
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import sentencepiece
from cldr_pairs import pairs
from tqdm import tqdm

HELD_OUT = {"valid": 500, "test": 1000}
"""Pairs that are not for training, but at most a tenth of these."""


def main() -> None:
    args = parse_args()
    for folder in ("raw", "pieces"):
        (args.out / folder).mkdir(parents=True, exist_ok=True)
    for split, rows in split_pairs(args.pairs, args.seed).items():
        for language, column in (("en", 0), ("de", 1)):
            _write(args.out / "raw" / f"{split}.{language}", [row[column] for row in rows])
    cut(args.out, args.pieces)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder that gets raw/ and pieces/")
    parser.add_argument("--pairs", type=int, default=60000, help="distinct pairs for training (default: 60000)")
    parser.add_argument("--pieces", type=int, default=600, help="size of the joint vocabulary (default: 600)")
    parser.add_argument("--seed", type=int, default=1, help="same seed, same data, byte for byte (default: 1)")
    args = parser.parse_args()
    if args.pairs < 1000:
        parser.error(f"--pairs must be at least 1000, but is {args.pairs}.")
    return args


def split_pairs(train: int, seed: int) -> dict[str, list[tuple[str, str]]]:
    """No English sentence is drawn twice, so none of the held-out ones is in training."""
    sizes = {**{split: min(size, train // 10) for split, size in HELD_OUT.items()}, "train": train}
    total = sum(sizes.values())
    drawn = iter(tqdm(pairs(total, seed), total=total, desc="pairs", file=sys.stderr, disable=None))
    return {split: [next(drawn) for _ in range(size)] for split, size in sizes.items()}


def cut(out: Path, pieces: int) -> None:
    """Learns one sentencepiece model from both sides of the training text; digits stay single, and m² stays m²."""
    model = out / "pieces" / "joint"
    sentencepiece.SentencePieceTrainer.train(
        input=[str(out / "raw" / f"train.{language}") for language in ("en", "de")],
        model_prefix=str(model), vocab_size=pieces, model_type="bpe", character_coverage=1.0,
        split_digits=True, normalization_rule_name="identity", minloglevel=1, num_threads=1,
    )  # fmt: skip
    processor = sentencepiece.SentencePieceProcessor(model_file=f"{model}.model")
    for raw in sorted((out / "raw").iterdir()):
        lines = raw.read_text(encoding="utf-8").splitlines()
        _write(out / "pieces" / raw.name, [" ".join(line) for line in processor.encode(lines, out_type=str)])


def _write(path: Path, lines: list[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    main()
