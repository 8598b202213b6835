"""Learns one sentencepiece BPE from the training text of all languages and cuts every split into its pieces.

Example: python scripts/recipes/pieces.py ~/multi30k results/translation/pieces --languages en de --size 6000
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import sentencepiece
from tqdm import tqdm

SPLITS = ("train", "valid", "test")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path, help="folder with {train,valid,test}.LANGUAGE")
    parser.add_argument("out", type=Path, help="folder that gets the same files in pieces, and joint.model")
    parser.add_argument("--languages", nargs="+", required=True, help="endings of the files, e.g. en de")
    parser.add_argument("--size", type=int, required=True, help="pieces in the joint vocabulary")
    args = parser.parse_args()
    files = [args.text / f"{split}.{language}" for split in SPLITS for language in args.languages]
    missing = [str(file) for file in files if not file.is_file()]
    if missing:
        parser.error(f"{args.text} must hold {{train,valid,test}}.LANGUAGE, but {missing[0]} is missing.")
    args.out.mkdir(parents=True, exist_ok=True)
    try:
        learn([file for file in files if file.stem == "train"], args.out / "joint", args.size)
    except RuntimeError as error:  # sentencepiece names its source file, then the rule
        parser.error(f"--size must fit the text, but is {args.size}: {str(error).rpartition('] ')[2]}")
    for file in tqdm(files, desc="pieces", disable=None, file=sys.stderr):
        cut(file, args.out / file.name, args.out / "joint.model")


def learn(files: list[Path], model: Path, size: int) -> None:
    sentencepiece.SentencePieceTrainer.train(
        input=[str(file) for file in files], model_prefix=str(model), vocab_size=size, model_type="bpe",
        character_coverage=1.0, minloglevel=1,
        max_sentence_length=1_000_000,  # bytes; sentencepiece leaves out lines of more than 4,192, as articles are
    )  # fmt: skip


def cut(file: Path, out: Path, model: Path) -> None:
    """One line of pieces for each line of text; the text is read line by line, it may be large."""
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    with open(file, encoding="utf-8", newline="\n") as lines, open(out, "w", encoding="utf-8", newline="\n") as target:
        for line in lines:
            target.write(" ".join(processor.encode(line.strip(), out_type=str)) + "\n")


if __name__ == "__main__":
    main()
