"""Prints BLEU, speed and training time of each model at each depth, from what fairseq-generate printed, and draws them.

Example: python scripts/benchmarks/depths.py results/translation/evaluate --models results/translation/train
  --trained-depths 4,3,2 --reference results/translation/reference.txt
"""

from __future__ import annotations

import argparse
import logging
import re
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from report import table
from sacrebleu.metrics import BLEU

DEPTHS, SMALL = "depths", "small"
"""The models that are named after no rate: one trained at each depth, and one of each depth, trained on its own."""


class Row(NamedTuple):
    """One model at one depth."""

    model: str
    depth: int
    parameters: int
    bleu: float
    sentences_per_second: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "folder", type=Path, help="folder with MODEL/DEPTH.REPEAT.txt; MODEL is a rate, depths or small"
    )
    parser.add_argument("--models", type=Path, required=True, help="folder with MODEL/checkpoint_last.pt")
    parser.add_argument("--trained-depths", default="", help="of the model that was trained at each depth")
    parser.add_argument("--reference", type=Path, required=True, help="the test set's plain text")
    parser.add_argument("--plot", type=Path, help="PNG to draw")
    args = parser.parse_args()
    references, metric = args.reference.read_text(encoding="utf-8").splitlines(), BLEU()
    rows = [read(args.folder / model, depth, references, metric) for model, depth in found(args.folder)]
    if not rows:
        sys.exit(f"depths.py: {args.folder} must hold the output of fairseq-generate, but holds none.")
    labels = {row.model: label(row.model, args.trained_depths) for row in rows}
    print(quality(rows, labels, {model: training_seconds(args.models, model) for model in labels}))
    print(speed(rows, labels))
    print(f"{len(references)} sentences; sacrebleu {metric.get_signature()}; speed: median of the repeats.")
    if args.plot:
        draw(rows, labels, args.plot)


def found(folder: Path) -> list[tuple[str, int]]:
    """Pairs of model and depth: rates first, the full depth first."""
    pairs = {(path.parent.name, int(path.name.split(".")[0])) for path in folder.glob("*/*.txt")}
    return sorted(pairs, key=lambda pair: (pair[0] == SMALL, pair[0] == DEPTHS, pair[0], -pair[1]))


def label(model: str, trained_depths: str) -> str:
    """What the model is called in tables and in the plot."""
    own = {DEPTHS: f"at each depth ({trained_depths})", SMALL: "a model for each depth"}
    return own.get(model, f"p = {model}")


def read(folder: Path, depth: int, references: list[str], metric: BLEU) -> Row:
    outputs = [path.read_text(encoding="utf-8") for path in sorted(folder.glob(f"{depth}.*.txt"))]
    translations = dict(re.findall(r"^D-(\d+)\t\S+\t(.*)$", outputs[0], flags=re.MULTILINE))
    if len(translations) != len(references):
        sys.exit(f"depths.py: {folder}/{depth}.* must hold {len(references)} translations, not {len(translations)}.")
    ordered = [translations[str(i)] for i in range(len(references))]  # fairseq-generate sorts by length
    count = re.findall(r"num\. model params: ([\d,]+)", outputs[0])[-1].replace(",", "")
    speeds = [float(re.findall(r"([\d.]+) sentences/s", output)[-1]) for output in outputs]
    bleu = metric.corpus_score(ordered, [references]).score
    return Row(folder.name, depth, int(count), bleu, statistics.median(speeds))


def training_seconds(models: Path, model: str) -> float:
    """How long a model's training took, restarts included; all the small models count together."""
    logging.disable(logging.INFO)  # fairseq logs as it is imported, and this goes to the table
    from layerdrop_plugin.fairseq_adapter.reading import reader

    paths = models.glob(f"{model}-*/checkpoint_last.pt" if model == SMALL else f"{model}/checkpoint_last.pt")
    return sum(float(reader.read(str(path))["extra_state"]["previous_training_time"]) for path in paths)


def quality(rows: Sequence[Row], labels: Mapping[str, str], seconds: Mapping[str, float]) -> str:
    """Models down, depths across: BLEU, in brackets its share of the same model's full depth; and the training."""
    depths = sorted({row.depth for row in rows}, reverse=True)
    lines = [
        [name, *(bleu(rows, model, depth) for depth in depths), f"{seconds[model] / 60:.0f} min"]
        for model, name in labels.items()
    ]
    return table(["trained", *(f"{depth}+{depth}" for depth in depths), "training"], lines)


def bleu(rows: Sequence[Row], model: str, depth: int) -> str:
    """The score of a model at a depth, empty where it has none."""
    scores = {row.depth: row.bleu for row in rows if row.model == model}
    if depth not in scores:
        return ""
    full = max(scores)
    share = "" if depth == full or model == SMALL else f" ({100 * scores[depth] / max(scores[full], 1e-9):.0f}%)"
    return f"{scores[depth]:.1f}{share}"


def speed(rows: Sequence[Row], labels: Mapping[str, str]) -> str:
    """Depths down, models across: parameters, and sentences/s."""
    at = {(row.model, row.depth): f"{row.sentences_per_second:.0f}" for row in rows}
    parameters = {row.depth: f"{row.parameters:,}" for row in rows}
    lines = [
        [f"{depth}+{depth}", parameters[depth], *(at.get((model, depth), "") for model in labels)]
        for depth in sorted(parameters, reverse=True)
    ]
    return table(["layers", "parameters", *(f"sentences/s, {name}" for name in labels.values())], lines)


def draw(rows: Sequence[Row], labels: Mapping[str, str], path: Path) -> None:
    """BLEU over depth and BLEU over speed: a line for each training, and one for the small models."""
    from layerdrop_plugin.cli import plot_style

    pyplot = plot_style.pyplot()
    figure, (by_depth, by_speed) = pyplot.subplots(1, 2, figsize=(10, 4.2), sharey=True, layout="constrained")
    places = plot_style.places_of_trainings(list(labels.values()))
    for over, (model, name) in enumerate(labels.items()):
        of_model = sorted((row for row in rows if row.model == model), key=lambda row: -row.depth)
        style = plot_style.line(places[name], places[name], over)
        by_depth.plot([row.depth for row in of_model], [row.bleu for row in of_model], label=name, **style)
        by_speed.plot([row.sentences_per_second for row in of_model], [row.bleu for row in of_model], **style)
    depths = sorted({row.depth for row in rows})
    by_depth.set(xlabel="layers kept (encoder + decoder)", ylabel="BLEU (higher is better)", ylim=(0, None))
    by_depth.set_xticks(depths, [f"{depth}+{depth}" for depth in depths])
    by_depth.invert_xaxis()  # full depth first, as in the table
    by_depth.legend(title="trained")
    by_speed.set(xlabel="sentences/s", ylabel="BLEU (higher is better)")
    by_speed.tick_params(labelleft=True)
    for axes in (by_depth, by_speed):
        axes.grid(alpha=0.3)
    figure.suptitle("One training per line, pruned when the model is loaded, or one for each depth")
    path.write_bytes(plot_style.image(figure, str(path)))


if __name__ == "__main__":
    main()
