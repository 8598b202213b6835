"""What a recipe's fairseq-generate wrote at each depth, in the order of the test set."""

from __future__ import annotations

import logging
import re
import sys
from pathlib import Path
from typing import NamedTuple

BETWEEN_SENTENCES = "¶"
"""Where a text has several, and they are to be told apart."""


class Generated(NamedTuple):
    """The test set at one depth; `references` are as fairseq's dictionary gives them back."""

    layers: str
    parameters: int
    sentences_per_second: float
    hypotheses: list[str]
    references: list[str]


def read(out: Path) -> list[Generated]:
    """What evaluate/KEPT/generate-test.txt hold, the largest model first."""
    files = sorted((out / "evaluate").glob("*/generate-test.txt"))
    if not files:
        sys.exit(f"{out / 'evaluate'} must hold what fairseq-generate wrote, but holds none.")
    found = [_read(file, out / "average.pt") for file in files]
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


def _read(file: Path, model: Path) -> Generated:
    folder = file.parent
    output = file.read_text(encoding="utf-8")
    printed = folder.with_name(folder.name + ".txt")
    log = (printed.read_text(encoding="utf-8") if printed.exists() else "") + output
    if folder.name == "full":  # fairseq-generate tells the size of a pruned model only
        size = _parameters(model)
    else:
        size = int(_last(r"num\. model params: ([\d,]+)", log, printed).replace(",", ""))
    return Generated(
        layers=folder.name,
        parameters=size,
        sentences_per_second=float(_last(r"([\d.]+) sentences/s", log, printed)),
        hypotheses=sentences(output, "H", file),
        references=sentences(output, "T", file),
    )


def _last(pattern: str, log: str, file: Path) -> str:
    found = re.findall(pattern, log)
    if not found:
        sys.exit(f"{file} must hold what fairseq-generate prints, but has no '{pattern}'.")
    return found[-1]


def _parameters(model: Path) -> int:
    """Those of a checkpoint made here; shared ones count once, fairseq's markers of version and type do not."""
    if not model.exists():
        sys.exit(f"{model} must be the model that was evaluated, but does not exist.")
    before = logging.root.manager.disable
    logging.disable(logging.INFO)  # fairseq logs as it is imported, and this goes to the table
    try:
        from layerdrop_plugin.fairseq_adapter.reading import reader

        weights = reader.read(str(model))["model"]
    finally:
        logging.disable(before)
    markers = ("version", "_float_tensor")
    return sum({v.data_ptr(): v.numel() for name, v in weights.items() if not name.endswith(markers)}.values())
