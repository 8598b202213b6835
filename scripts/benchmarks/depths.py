"""Prints BLEU, parameters and speed of each model at each depth, from what fairseq-generate printed, and draws them.

Example: python scripts/benchmarks/depths.py results/translation/evaluate --reference results/translation/reference.txt
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
from pathlib import Path
from typing import NamedTuple

from sacrebleu.metrics import BLEU


class Row(NamedTuple):
    """One model, trained with drop rate `rate`, at one depth."""

    rate: float
    depth: int
    parameters: int
    bleu: float
    sentences_per_second: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with RATE/DEPTH.REPEAT.txt")
    parser.add_argument("--reference", type=Path, required=True, help="the test set's plain text")
    parser.add_argument("--plot", type=Path, help="PNG to draw")
    args = parser.parse_args()
    references, metric = args.reference.read_text(encoding="utf-8").splitlines(), BLEU()
    rows = [read(args.folder / rate, int(depth), references, metric) for rate, depth in found(args.folder)]
    if not rows:
        sys.exit(f"depths.py: {args.folder} must hold the output of fairseq-generate, but holds none.")
    print(table(rows))
    print(f"\n{len(references)} sentences; sacrebleu {metric.get_signature()}; speed: median of the repeats.")
    if args.plot:
        draw(rows, args.plot)


def found(folder: Path) -> list[tuple[str, str]]:
    """Pairs of rate and depth, the full depth first."""
    pairs = {(path.parent.name, path.name.split(".")[0]) for path in folder.glob("*/*.txt")}
    return sorted(pairs, key=lambda pair: (float(pair[0]), -int(pair[1])))


def read(folder: Path, depth: int, references: list[str], metric: BLEU) -> Row:
    outputs = [path.read_text(encoding="utf-8") for path in sorted(folder.glob(f"{depth}.*.txt"))]
    translations = dict(re.findall(r"^D-(\d+)\t\S+\t(.*)$", outputs[0], flags=re.MULTILINE))
    if len(translations) != len(references):
        sys.exit(f"depths.py: {folder}/{depth}.* must hold {len(references)} translations, not {len(translations)}.")
    ordered = [translations[str(i)] for i in range(len(references))]  # fairseq-generate sorts by length
    count = re.findall(r"num\. model params: ([\d,]+)", outputs[0])[-1].replace(",", "")
    speeds = [float(re.findall(r"([\d.]+) sentences/s", output)[-1]) for output in outputs]
    bleu = metric.corpus_score(ordered, [references]).score
    return Row(float(folder.name), depth, int(count), bleu, statistics.median(speeds))


def full(rows: list[Row], rate: float) -> Row:
    return max((row for row in rows if row.rate == rate), key=lambda row: row.depth)


def table(rows: list[Row]) -> str:
    """Depths down, and for each rate the BLEU score, its share of the same model's full depth, and sentences/s."""
    rates, depths = sorted({row.rate for row in rows}), sorted({row.depth for row in rows}, reverse=True)
    at = {(row.rate, row.depth): row for row in rows}
    header = "".join(f" BLEU, p = {rate:g} | of full | sentences/s |" for rate in rates)
    lines = [f"| layers kept | parameters |{header}", "|---" * (2 + 3 * len(rates)) + "|"]
    for depth in depths:
        parameters = next(row.parameters for row in rows if row.depth == depth)
        line = f"| {depth}+{depth} | {parameters:,} |"
        for rate in rates:
            if (rate, depth) not in at:
                line += " | | |"
                continue
            row, whole = at[rate, depth], full(rows, rate).bleu
            line += f" {row.bleu:.1f} | {100 * row.bleu / max(whole, 1e-9):.0f}% | {row.sentences_per_second:.0f} |"
        lines.append(line)
    return "\n".join(lines)


def draw(rows: list[Row], path: Path) -> None:
    """BLEU over depth and BLEU over speed, a line for each rate."""
    import matplotlib

    matplotlib.use("Agg")  # no display is needed
    from matplotlib import pyplot

    figure, (by_depth, by_speed) = pyplot.subplots(1, 2, figsize=(10, 4.2), sharey=True, layout="constrained")
    for rate in sorted({row.rate for row in rows}):
        of_rate = sorted((row for row in rows if row.rate == rate), key=lambda row: -row.depth)
        label = f"trained with p = {rate:g}"
        by_depth.plot([row.depth for row in of_rate], [row.bleu for row in of_rate], marker="o", label=label)
        by_speed.plot([r.sentences_per_second for r in of_rate], [r.bleu for r in of_rate], marker="o", label=label)
    depths = sorted({row.depth for row in rows})
    by_depth.set(xlabel="layers kept (encoder + decoder)", ylabel="BLEU", ylim=(0, None))
    by_depth.set_xticks(depths, [f"{depth}+{depth}" for depth in depths])
    by_depth.invert_xaxis()  # full depth first, as in the table
    by_speed.set(xlabel="sentences per second")
    for axes in (by_depth, by_speed):
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle("One training per line, pruned when the model is loaded")
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
