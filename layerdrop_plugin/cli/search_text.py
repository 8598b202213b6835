"""The results of a search as text."""

from __future__ import annotations

import sys
from typing import Any

from . import results
from .command import Parser


def show(parser: Parser, found: dict[str, Any]) -> None:
    """Print the results; warnings on standard error."""
    number = {"loss": "{:.4f}".format, "perplexity": "{:.2f}".format, "accuracy": "{:.2f}".format}
    show = {**number, "bleu": "{:.2f}".format, "loss_1st_half": "{:.4f}".format, "loss_2nd_half": "{:.4f}".format}
    what = " and ".join(f"{found['keep'][name]} of {depth} {name} layers" for name, depth in found["stacks"].items())
    print(f"keep {what}: {found['strategy']} search, {found['batches']} batches, {found['predictions']:,} predictions")
    print(results.table(found["ranking"], show))
    cost = found["cost"]
    print(f"{cost['layer_evaluations']:,} layer evaluations, {cost['seconds']:.1f} s of scoring", end="")
    if "exhaustive_layer_evaluations_a_batch" in cost:
        shared, apart = (cost[f"{way}_layer_evaluations_a_batch"] for way in ("exhaustive", "one_by_one"))
        print(f"; exhaustive takes {shared:,} a batch, one set after another {apart:,}", end="")
    print()
    if "report" in found:
        print(f"{found['report']['split']}, not searched on:")
        print(results.table(found["report"]["rows"], show))
    for warning in found["warnings"]:
        print(f"{parser.prog}: warning: {warning}", file=sys.stderr)
    print(f'--model-overrides "{found["model_overrides"]}"')
