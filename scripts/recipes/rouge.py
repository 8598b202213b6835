"""Prints ROUGE-1, ROUGE-2 and ROUGE-L at each depth: the mean F1 of the library rouge-score, words stemmed, in percent.

ROUGE-L is that of whole summaries (rougeLsum), as pyrouge computes it for the pointer-generator network and the papers
compared with it: the sentences stand apart by a pilcrow. A text without any counts as one sentence; then it is the
longest common subsequence. References are the plain text, with no word unknown.

Example: python scripts/recipes/rouge.py results/cnn_dm --references results/cnn_dm/text/test.target
"""

from __future__ import annotations

import argparse
import logging
from importlib.metadata import version
from pathlib import Path

from generated import BETWEEN_SENTENCES, Generated, read, same_number
from rouge_score.rouge_scorer import RougeScorer

KINDS = ("rouge1", "rouge2", "rougeLsum")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the recipe's folder, with evaluate/KEPT/generate-test.txt")
    parser.add_argument("--references", type=Path, required=True, help="a line for each line of the test set")
    args = parser.parse_args()
    logging.getLogger("absl").setLevel(logging.WARNING)  # rouge-score logs its tokenizer, and the log goes to the table
    references = args.references.read_text(encoding="utf-8").rstrip("\n").split("\n")
    print(table(read(args.out), references, str(args.references)))
    print(f"\nF1 by rouge-score {version('rouge-score')}: words stemmed, ROUGE-L of whole texts (rougeLsum).")
    print("Scores by another library, as ELI5's published ones by rouge, can't be strictly compared with these.")


def table(outputs: list[Generated], references: list[str], source: str) -> str:
    """A row per depth."""
    rows = ["| layers | parameters | ROUGE-1 | ROUGE-2 | ROUGE-L | sentences/s |", "|---|---|---|---|---|---|"]
    for output in outputs:
        same_number(output.hypotheses, references, source)
        means = " | ".join(f"{mean:.2f}" for mean in rouge(output.hypotheses, references))
        rows.append(f"| {output.layers} | {output.parameters:,} | {means} | {output.sentences_per_second:.1f} |")
    return "\n".join(rows)


def rouge(hypotheses: list[str], references: list[str]) -> list[float]:
    """The means of 1, 2 and L over all texts, in percent."""
    scorer = RougeScorer(KINDS, use_stemmer=True)
    scores = [scorer.score(by_lines(r), by_lines(h)) for h, r in zip(hypotheses, references)]
    return [100 * sum(score[kind].fmeasure for score in scores) / len(scores) for kind in KINDS]


def by_lines(text: str) -> str:
    """A sentence on each line, as rougeLsum wants them."""
    return text.replace(BETWEEN_SENTENCES, "\n")


if __name__ == "__main__":
    main()
