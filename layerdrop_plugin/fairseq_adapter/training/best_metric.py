"""The metric that chooses the best checkpoint, of one depth: `--best-checkpoint-metric loss@3+3`.

fairseq looks for `loss` among the results of a subset, and for `loss@3+3` everywhere else.
"""

from __future__ import annotations

import contextlib
import copy
import re
from collections.abc import Iterator, Sequence
from typing import Any

from fairseq.logging import metrics

from ..options.config import ModelConfig, put, root_option
from ..options.model_options import ModelOptions

AT = "@"
METRIC = "best_checkpoint_metric"
KNOWN = ("loss", "nll_loss", "ppl", "bleu", "accuracy")
"""No name of theirs has an @, while `hits@1` may be somebody's metric."""


def split(metric: str, names: Sequence[str]) -> tuple[str, str | None]:
    """Return a metric without the depth that it is of, and that depth; None if it is of none of these."""
    name, at, depth = metric.rpartition(AT)
    return (name, depth) if at and depth in names else (metric, None)


def check(cfg: ModelConfig, options: ModelOptions, small: ModelOptions) -> None:
    """Refuse to choose by a depth that is not validated.

    Args:
        small: the options of the model that trains, after pruning.

    Raises:
        ValueError: one line with the option, the rule and the value.
    """
    metric = str(root_option(cfg, "checkpoint", METRIC) or "")
    name, at, depth = metric.rpartition(AT)
    if not at:
        return
    if not options.validate_depths:
        if name in KNOWN or depth in [trained.name for trained in options.trained_depths]:
            raise ValueError(f"`--best-checkpoint-metric` must go with `--layerdrop-validate-depths` to be {metric!r}.")
        return
    names = [trained.name for trained in small.trained_depths]
    if depth not in names and (name in KNOWN or set("+:") & set(depth)):
        depths = f", or {name}{AT} and one of {', '.join(names)}" if names else ""
        raise ValueError(f"`--best-checkpoint-metric` must be {name}{depths}, but is {metric!r}.")


@contextlib.contextmanager
def of_results(cfg: Any, metric: str) -> Iterator[None]:
    """Let fairseq find what it looks for among the results of one subset, which have no depth in their names."""
    before = cfg.checkpoint[METRIC]
    put(cfg.checkpoint, METRIC, metric)
    try:
        yield
    finally:
        put(cfg.checkpoint, METRIC, before)


def in_file_names(cfg: Any) -> Any:
    """Return a copy of the options of checkpoints, where fairseq can search for file names with this metric in them.

    `--keep-best-checkpoints` puts it into a regular expression as it is: with a `+`, no file would ever be deleted.
    """
    changed = copy.deepcopy(cfg)
    put(changed, METRIC, re.sub("[+:]", "-", cfg[METRIC]))
    return changed


def log(metric: str, value: float) -> None:
    """Make this the value of the metric, which fairseq-hydra-train returns to a sweeper; else all subsets are in it."""
    meters = metrics.get_meters("valid")
    if meters is not None:
        meters.load_state_dict([])  # there are derived ones, too, in whose place nothing can be logged
    with metrics.aggregate("valid", new_root=True):
        metrics.log_scalar(metric, value)
