"""An unknown `--best-checkpoint-metric` in one line.

fairseq 0.12.2 looks for it among the results of the first validation and ends with a `KeyError`. Criterion and task
decide which results there are, as they log them: before that, nobody knows.
"""

from __future__ import annotations

import sys
from typing import Any

from ...message import did_you_mean
from ..errors.one_line import one_line
from ..hooks import wrap
from ..options.config import ModelConfig, get, root_option
from . import best_metric
from .best_metric import METRIC

NO_QUALITY = {"bsz", "wpb", "wps", "num_updates", "ups", "wall"}
"""What else is among the results, which nobody chooses by."""


def install() -> None:
    """Put this into what fairseq-train runs now; importing its module would change a program's logging."""
    for name in ("fairseq_cli.train", "__main__"):  # the second where its file is run
        if hasattr(sys.modules.get(name), "validate_and_save"):
            wrap(sys.modules[name], "get_valid_stats", get_valid_stats)
            wrap(sys.modules[name], "validate", validate)


def check(cfg: ModelConfig, task: Any) -> None:
    """Refuse BLEU in a training that does not compute it.

    Raises:
        ValueError: one line.
    """
    metric = str(root_option(cfg, "checkpoint", METRIC) or "loss")
    if metric.partition(best_metric.AT)[0] == "bleu" and get(getattr(task, "cfg", None), "eval_bleu") is False:
        raise ValueError(f"`--best-checkpoint-metric` must go with --eval-bleu to be {metric!r}.")


def get_valid_stats(original: Any, cfg: Any, trainer: Any, stats: Any, *args: Any, **kwargs: Any) -> Any:
    """Go around fairseq's `get_valid_stats`: remember the results, to which a task may still add some."""
    trainer.layerdrop_stats = stats
    return original(cfg, trainer, stats, *args, **kwargs)


def validate(original: Any, cfg: Any, trainer: Any, *args: Any, **kwargs: Any) -> Any:
    """Go around fairseq's `validate`: say in one line that the metric is none of the results."""
    metric = cfg.checkpoint[METRIC]
    try:
        return original(cfg, trainer, *args, **kwargs)
    except KeyError as error:
        stats = getattr(trainer, "layerdrop_stats", None)
        if stats is None or error.args not in ((metric,), (metric.rpartition(best_metric.AT)[0],)):
            raise
        with one_line():
            raise ValueError(_message(metric, set(stats))) from None


def _message(metric: str, names: set[str]) -> str:
    shown = sorted(name for name in names - NO_QUALITY if not name.startswith("_"))
    near = did_you_mean(metric, shown, 1) or "."
    return f"`--best-checkpoint-metric` must be one of {', '.join(shown)}, but is {metric!r}{near}"
