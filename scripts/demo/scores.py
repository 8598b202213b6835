"""Reads what fairseq-generate wrote at each depth; prints the table and writes it as scores.tsv.

Example: python scripts/demo/scores.py demo
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import NamedTuple

from sacrebleu.metrics import BLEU

NAMES = {"with": "with LayerDrop", "depths": "at each depth", "without": "without LayerDrop"}
"""What the models are called, in the order of the table."""


class Score(NamedTuple):
    """One line of the table: one model at one depth."""

    model: str
    depth: int
    parameters: int
    bleu: float
    sentences_per_second: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demo", type=Path, help="folder with raw/, log/ and output/")
    demo = parser.parse_args().demo
    metric = BLEU()
    outputs = sorted((demo / "output").glob("*/*/generate-test.txt"))
    if not outputs:
        sys.exit(f"scores.py: {demo}/output must hold the output of fairseq-generate, but holds none.")
    references = (demo / "raw" / "test.de").read_text(encoding="utf-8").splitlines()
    scores = sorted((_score(demo, path, references, metric) for path in outputs), key=in_order)
    (demo / "scores.tsv").write_text(to_tsv(scores), encoding="utf-8")
    print(table(scores))
    print(f"\n{len(references)} held-out sentences; sacrebleu {metric.get_signature()}")


def in_order(score: Score) -> tuple[int, int]:
    """The place of a line in the table: by model, the largest depth first."""
    return list(NAMES.values()).index(score.model), -score.depth


def hypotheses(output: str) -> list[str]:
    """The detokenized translations in the order of the test set: fairseq-generate sorts by length."""
    found = re.findall(r"^D-(\d+)\t\S+\t(.*)$", output, flags=re.MULTILINE)
    return [text for _, text in sorted(found, key=lambda row: int(row[0]))]


def parameters(log: str) -> int:
    """The count that the plugin logs when it has pruned a model."""
    return int(re.findall(r"num\. model params: ([\d,]+)", log)[-1].replace(",", ""))


def speed(log: str) -> float:
    return float(re.findall(r"([\d.]+) sentences/s", log)[-1])


def table(scores: list[Score]) -> str:
    """Each model's quality and speed beside those of its own full depth."""
    rows = [f"{'model':<18} {'layers':>6} {'parameters':>11} {'BLEU':>6} {'of full':>8} {'sentences/s':>12}"]
    for score in scores:
        full = max((s for s in scores if s.model == score.model), key=lambda s: s.depth)
        layers, kept = f"{score.depth}+{score.depth}", f"{100 * score.bleu / max(full.bleu, 1e-9):.1f}%"
        rows.append(
            f"{score.model:<18} {layers:>6} {score.parameters:>11,} {score.bleu:>6.1f} {kept:>8}"
            f" {score.sentences_per_second:>12.0f}"
        )
    return "\n".join(rows)


def to_tsv(scores: list[Score]) -> str:
    return "".join("\t".join(map(str, row)) + "\n" for row in [Score._fields, *scores])


def from_tsv(text: str) -> list[Score]:
    rows = [line.split("\t") for line in text.splitlines()[1:]]
    return [Score(row[0], int(row[1]), int(row[2]), float(row[3]), float(row[4])) for row in rows]


def _score(demo: Path, path: Path, references: list[str], metric: BLEU) -> Score:
    depth, model = path.parent.name, path.parent.parent.name
    output = path.read_text(encoding="utf-8")
    log = (demo / "log" / f"translate-{model}-{depth}.txt").read_text(encoding="utf-8") + output
    translations = hypotheses(output)
    if len(translations) != len(references):
        sys.exit(f"scores.py: {path} must hold {len(references)} translations, but holds {len(translations)}.")
    bleu = metric.corpus_score(translations, [references]).score
    return Score(NAMES[model], int(depth), parameters(log), bleu, speed(log))


if __name__ == "__main__":
    main()
