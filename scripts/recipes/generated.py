"""What a recipe's fairseq-generate wrote at each depth, in the order of the test set."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import NamedTuple

BETWEEN_SENTENCES = "¶"
"""Where a text has several, and they are to be told apart."""

PARAMETERS = r"num\. (?:shared )?model params: ([\d,]+)"


class Generated(NamedTuple):
    """The test set at one depth; `references` are as fairseq's dictionary gives them back."""

    layers: str
    parameters: int
    sentences_per_second: float
    hypotheses: list[str]
    references: list[str]


def read(out: Path) -> list[Generated]:
    """What evaluate/KEPT/generate-test.txt hold, the largest model first; the full one's size is logged in training."""
    files = sorted((out / "evaluate").glob("*/generate-test.txt"))
    if not files:
        sys.exit(f"{out / 'evaluate'} must hold what fairseq-generate wrote, but holds none.")
    found = [_read(file, out / "log" / "train.txt") for file in files]
    return sorted(found, key=lambda one: (-one.parameters, one.layers != "full"))


def sentences(output: str, kind: str, file: Path) -> list[str]:
    """Those of kind `H` (hypotheses) or `T` (references); fairseq-generate sorts by length, and may leave some out."""
    found = {int(n): text for n, text in re.findall(rf"^{kind}-(\d+)\t(?:.*\t)?(.*)$", output, flags=re.MULTILINE)}
    missing = [n for n in range(max(found, default=0) + 1) if n not in found]
    if missing:
        sys.exit(f"{file} must hold every sentence of the test set, but number {missing[0]} is missing.")
    return [found[n] for n in range(len(found))]


def same_number(hypotheses: list[str], references: list[str], source: str) -> None:
    if len(hypotheses) != len(references):
        sys.exit(f"{source} must hold a reference for {len(hypotheses)} sentences, but holds {len(references)}.")


def _read(file: Path, training: Path) -> Generated:
    folder = file.parent
    output = file.read_text(encoding="utf-8")
    log = folder.with_name(folder.name + ".txt").read_text(encoding="utf-8") + output
    sized = log if re.search(PARAMETERS, log) else training.read_text(encoding="utf-8")
    return Generated(
        layers=folder.name,
        parameters=int(re.findall(PARAMETERS, sized)[-1].replace(",", "")),
        sentences_per_second=float(re.findall(r"([\d.]+) sentences/s", log)[-1]),
        hypotheses=sentences(output, "H", file),
        references=sentences(output, "T", file),
    )
