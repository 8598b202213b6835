"""Prints BLEU at each depth as the paper reports it and as people compare today.

BLEU is of tokenized text with compounds split, not smoothed, as fairseq's compound_split_bleu.sh computes it, against
the references as fairseq's dictionary gives them back. sacreBLEU is of detokenized text, against plain references.

Example: python scripts/recipes/bleu.py results/wmt16_en_de --language-pair en-de --test-set wmt14/full
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from generated import Generated, read, same_number
from sacrebleu.metrics import BLEU
from sacrebleu.utils import get_reference_files
from sacremoses import MosesDetokenizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the recipe's folder, with evaluate/KEPT/generate-test.txt")
    parser.add_argument("--language-pair", required=True, metavar="SOURCE-TARGET", help="e.g. en-de")
    plain = parser.add_mutually_exclusive_group(required=True)
    plain.add_argument("--test-set", metavar="NAME", help="sacrebleu's, which fetches it once")
    plain.add_argument("--reference", type=Path, metavar="FILE", help="plain text in the order of the test set")
    args = parser.parse_args()
    source = args.reference or Path(get_reference_files(args.test_set, args.language_pair)[0])
    references = source.read_text(encoding="utf-8").rstrip("\n").split("\n")
    metric = BLEU()
    print(table(read(args.out), references, str(source), args.language_pair.partition("-")[2], metric))
    signature = metric.get_signature()
    signature.update("test", args.test_set)
    signature.update("lang", args.language_pair if args.test_set else None)
    print(f"\nBLEU: tokenized, compounds split, case counts, not smoothed. sacreBLEU: {signature}")


def table(outputs: list[Generated], references: list[str], source: str, language: str, metric: BLEU) -> str:
    """A row per depth."""
    rows = ["| layers | parameters | BLEU | sacreBLEU | sentences/s |", "|---|---|---|---|---|"]
    for output in outputs:
        same_number(output.hypotheses, references, source)
        tokenized = tokenized_bleu(output.hypotheses, output.references)
        plain = metric.corpus_score(detokenized(output.hypotheses, language), [references]).score
        speed = output.sentences_per_second
        rows.append(f"| {output.layers} | {output.parameters:,} | {tokenized:.2f} | {plain:.2f} | {speed:.1f} |")
    return "\n".join(rows)


def compounds_split(text: str) -> str:
    """Write the hyphens of compounds as fairseq's script does.

    >>> compounds_split("ein rich-text-Format , e-mail - und a-b-c")
    'ein rich ##AT##-##AT## text ##AT##-##AT## Format , e ##AT##-##AT## mail - und a ##AT##-##AT## b-c'
    """
    # Byte by byte, as the perl of fairseq's script: the first match in a-b-c uses b up, but only half of an umlaut.
    return re.sub(rb"(\S)-(\S)", rb"\1 ##AT##-##AT## \2", text.encode()).decode()


def tokenized_bleu(hypotheses: list[str], references: list[str]) -> float:
    metric = BLEU(tokenize="none", smooth_method="none", force=True)
    split = [[compounds_split(line) for line in lines] for lines in (hypotheses, references)]
    return metric.corpus_score(split[0], [split[1]]).score


def detokenized(lines: list[str], language: str) -> list[str]:
    detokenizer = MosesDetokenizer(lang=language)
    return [detokenizer.detokenize(line.split()) for line in lines]


if __name__ == "__main__":
    main()
