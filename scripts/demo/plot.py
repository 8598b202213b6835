"""Draws scores.tsv as scores.png: quality and speed at each depth.

Example: python scripts/demo/plot.py demo
"""

from __future__ import annotations

import argparse
from pathlib import Path

from scores import Score, from_tsv

from layerdrop_plugin.cli import plot_style


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demo", type=Path, help="folder with scores.tsv; gets scores.png")
    demo = parser.parse_args().demo
    draw(from_tsv((demo / "scores.tsv").read_text(encoding="utf-8")), demo / "scores.png")
    print(f"plot: {demo / 'scores.png'}")


def draw(scores: list[Score], path: Path) -> None:
    figure, (quality, speed) = plot_style.pyplot().subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    places = plot_style.places_of_trainings([score.model for score in scores])
    for over, (model, place) in enumerate(places.items()):
        rows = sorted((score for score in scores if score.model == model), key=lambda score: -score.depth)
        depths, style = [row.depth for row in rows], {**plot_style.line(place, place, over), "label": model}
        quality.plot(depths, [row.bleu for row in rows], **style)
        speed.plot(depths, [row.sentences_per_second for row in rows], **style)
    _finish(quality, scores, "BLEU (higher is better)", "quality; percentages are of the same model's full depth", 112)
    _finish(speed, scores, "sentences/s", "speed")
    figure.suptitle("One training per curve, pruned when the model is loaded")
    _percentages(quality, scores, {model: plot_style.COLORS[place] for model, place in places.items()})
    path.write_bytes(plot_style.image(figure, str(path)))


def _percentages(axes, scores: list[Score], colors: dict[str, str]) -> None:
    """Write beside each point of a pruned model what share of its own full depth's score is left."""
    full = {score.model: score.bleu for score in sorted(scores, key=lambda score: score.depth)}
    points = [
        (score.depth, score.bleu, f"{100 * score.bleu / max(full[score.model], 1e-9):.0f}%", colors[score.model])
        for score in scores
        if score.depth < max(other.depth for other in scores if other.model == score.model)
    ]
    plot_style.name_points(axes, points)


def _finish(axes, scores: list[Score], quantity: str, title: str, top=None) -> None:
    depths = sorted({score.depth for score in scores})
    axes.set(title=title, ylabel=quantity, xlabel="layers kept (encoder + decoder)", ylim=(0, top))
    axes.set_xticks(depths, [f"{depth}+{depth}" for depth in depths])
    axes.invert_xaxis()  # full depth first, as in the table
    axes.grid(alpha=0.3)
    axes.legend()


if __name__ == "__main__":
    main()
