"""Draws scores.tsv as scores.png: quality and speed at each depth.

Example: python scripts/demo/plot.py demo
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib
from scores import Score, from_tsv

matplotlib.use("Agg")  # no display is needed
from matplotlib import pyplot

COLORS = {"with LayerDrop": "tab:blue", "at each depth": "tab:green", "without LayerDrop": "tab:orange"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demo", type=Path, help="folder with scores.tsv; gets scores.png")
    demo = parser.parse_args().demo
    draw(from_tsv((demo / "scores.tsv").read_text(encoding="utf-8")), demo / "scores.png")
    print(f"plot: {demo / 'scores.png'}")


def draw(scores: list[Score], path: Path) -> None:
    figure, (quality, speed) = pyplot.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    for model in dict.fromkeys(score.model for score in scores):
        rows = sorted((score for score in scores if score.model == model), key=lambda score: -score.depth)
        depths, style = [row.depth for row in rows], {"marker": "o", "color": COLORS.get(model), "label": model}
        quality.plot(depths, [row.bleu for row in rows], **style)
        speed.plot(depths, [row.sentences_per_second for row in rows], **style)
        _annotate(quality, rows)
    _finish(quality, scores, "BLEU; the percentage is of the same model's full depth", top=112)
    _finish(speed, scores, "sentences per second")
    figure.suptitle("One training per curve, pruned when the model is loaded")
    figure.savefig(path, dpi=120)


def _annotate(axes, rows: list[Score]) -> None:
    """Labels of the best model above its curve and of the others below, clear of each other and of the axis."""
    for row in rows[1:]:
        below = row.model != "at each depth" and row.bleu > 12
        axes.annotate(
            f"{100 * row.bleu / max(rows[0].bleu, 1e-9):.0f}%", (row.depth, row.bleu), (0, -15 if below else 7),
            textcoords="offset points", ha="center", fontsize=8, color=COLORS.get(row.model),
        )  # fmt: skip


def _finish(axes, scores: list[Score], title: str, top=None) -> None:
    depths = sorted({score.depth for score in scores})
    axes.set(title=title, xlabel="layers kept (encoder + decoder)", ylim=(0, top))
    axes.set_xticks(depths, [f"{depth}+{depth}" for depth in depths])
    axes.invert_xaxis()  # full depth first, as in the table
    axes.grid(alpha=0.3)
    axes.legend()


if __name__ == "__main__":
    main()
