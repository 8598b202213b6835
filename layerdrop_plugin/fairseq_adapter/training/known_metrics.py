"""An unknown `--best-checkpoint-metric` in one line, before the training where that is sure, else as it is missed.

fairseq 0.12.2 looks for it among the results of the first validation, before it saves a checkpoint, and ends with a
`KeyError`. Which results there are, criterion and task decide as they log them.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from typing import Any

from fairseq.criterions import CRITERION_REGISTRY
from fairseq.tasks import FairseqTask
from omegaconf import DictConfig

from ...message import did_you_mean
from ..errors.one_line import one_line
from ..hooks import wrap
from ..options.config import ModelConfig, get, root_option
from ..options.model_options import ModelOptions
from . import best_metric
from .best_metric import METRIC

LOGGED = re.compile(r"""\.log_\w+\(\s*(?:"(\w+)"|'(\w+)'|(\S))""")
"""A call that logs a result: its name, or the first character of something else that gives it."""

OF_EVERY_TASK = {"bsz", "wpb", "wps"}
OF_TRAINER = {"num_updates", "ups", "wall"}
"""What else is among the results, which nobody chooses by."""


def install() -> None:
    """Put this into what fairseq-train runs now; importing its module would change a program's logging."""
    for name in ("fairseq_cli.train", "__main__"):  # the second where its file is run
        if hasattr(sys.modules.get(name), "validate_and_save"):
            wrap(sys.modules[name], "get_valid_stats", get_valid_stats)
            wrap(sys.modules[name], "validate", validate)


def check(cfg: ModelConfig, task: Any, options: ModelOptions) -> None:
    """Refuse a metric that neither criterion nor task logs, if both are fairseq's own and name all that they log.

    Args:
        options: of the model that trains.

    Raises:
        ValueError: one line with the metrics that there are.
    """
    metric = str(root_option(cfg, "checkpoint", METRIC) or "loss")
    if metric == "loss" or root_option(cfg, "dataset", "disable_validation") or hasattr(task, "post_validate"):
        return
    depths = [depth.name for depth in options.trained_depths] if options.validate_depths else []
    name, _ = best_metric.split(metric, depths)
    without_bleu = get(getattr(task, "cfg", None), "eval_bleu") is False
    if name == "bleu" and without_bleu:
        raise ValueError(f"`--best-checkpoint-metric` must go with --eval-bleu to be {metric!r}.")
    loss = root_option(cfg, "criterion", "_name") if isinstance(cfg, DictConfig) else getattr(cfg, "criterion", None)
    names = _logged_by(CRITERION_REGISTRY.get(loss), type(task))
    if names is not None and name not in names | OF_TRAINER:
        raise ValueError(_message(metric, names - {"bleu"} if without_bleu else names, depths))


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
            raise ValueError(_message(metric, set(stats), [])) from None


def _message(metric: str, names: set[str], depths: list[str]) -> str:
    shown = sorted(name for name in names - OF_EVERY_TASK - OF_TRAINER if not name.startswith("_"))
    of_depths = f", or one of them at a depth, as in loss@{depths[-1]}" if depths else ""
    near = did_you_mean(metric, shown, 1) or "."
    return f"`--best-checkpoint-metric` must be one of {', '.join(shown)}{of_depths}, but is {metric!r}{near}"


def _logged_by(criterion: Any, task: Any) -> set[str] | None:
    """Return the names of all results of a criterion and a task; None where they can't be known."""
    if any(not getattr(cls, "__module__", "").startswith("fairseq.") for cls in (criterion, task)):
        return None
    if task.aggregate_logging_outputs is not FairseqTask.aggregate_logging_outputs:
        return None
    found = LOGGED.findall("".join([*_sources(criterion), *_sources(task)]))
    return None if any(other for *_, other in found) else {*OF_EVERY_TASK, *(a or b for a, b, _ in found)}


def _sources(cls: Any) -> Iterator[str]:
    """Yield the code with which a class logs results, without that of every task."""
    for base in cls.__mro__:
        if base is FairseqTask:
            return
        if "reduce_metrics" in vars(base):
            source = inspect.getsource(base.reduce_metrics)
            yield source
            if "super()" not in source:
                return
