"""Validate each trained depth while fairseq trains (`--layerdrop-validate-depths`), as subsets of their own.

`valid@3+3` is the subset `valid` at depth 3+3: the same model runs some of its layers, nothing is loaded or changed.
`--best-checkpoint-metric loss@3+3` chooses the best checkpoint by what that depth gives.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from fairseq.trainer import Trainer

from ...depths import Depth
from ...dropping import LayerDropStack
from ..config import ModelConfig, get, put, root_option
from ..hooks import wrap
from ..model_options import ModelOptions

AT = "@"
METRIC = "best_checkpoint_metric"


def install() -> None:
    """Put this into what fairseq-train runs now; importing its module would change a program's logging."""
    wrap(Trainer, "get_valid_iterator", get_valid_iterator)
    for name in ("fairseq_cli.train", "__main__"):  # the second where its file is run
        if hasattr(sys.modules.get(name), "validate_and_save"):
            wrap(sys.modules[name], "validate", validate)


def check(cfg: ModelConfig, options: ModelOptions, small: ModelOptions) -> None:
    """Refuse to validate depths of which none is trained, and to choose by one that is not validated.

    Args:
        small: the options of the model that trains, after pruning.

    Raises:
        ValueError: one line with the option, the rule and the value.
    """
    if options.validate_depths and not options.trained_depths:
        raise ValueError("`--layerdrop-validate-depths` must go with `--layerdrop-depths`, which is missing.")
    metric = str(root_option(cfg, "checkpoint", METRIC) or "")
    name, at, depth = metric.partition(AT)
    if at and not options.validate_depths:
        raise ValueError(f"`--best-checkpoint-metric` must go with `--layerdrop-validate-depths` to be {metric!r}.")
    trained = [depth.name for depth in small.trained_depths]
    if at and depth not in trained:
        depths = f", or {name}{AT} and one of {', '.join(trained)}" if trained else ""
        raise ValueError(f"`--best-checkpoint-metric` must be {name}{depths}, but is {metric!r}.")


def validate(original: Any, cfg: Any, trainer: Any, task: Any, epoch_itr: Any, subsets: Sequence[str]) -> Any:
    """Go around fairseq's `validate`: further subsets follow, each at one depth; that which is chosen by goes first."""
    trained = _trained(trainer)
    if not get(cfg.model, "layerdrop_validate_depths") or not trained:
        return original(cfg, trainer, task, epoch_itr, subsets)
    names = [*subsets, *(f"{subset}{AT}{depth.name}" for depth in trained[1:] for subset in subsets)]
    metric, at, chosen = cfg.checkpoint[METRIC].partition(AT)
    if at and chosen != trained[0].name:
        names.sort(key=lambda name: name != f"{subsets[0]}{AT}{chosen}")
    with contextlib.ExitStack() as until_done:
        until_done.callback(_run_whole, trainer)
        until_done.enter_context(_metric(cfg, metric))
        return original(cfg, trainer, task, epoch_itr, names)


def get_valid_iterator(original: Any, trainer: Any, subset: str, *args: Any, **kwargs: Any) -> Any:
    """Go around `Trainer.get_valid_iterator`: run the layers of the depth that a subset names."""
    real, at, name = subset.partition(AT)
    _run_whole(trainer)
    for depth in _trained(trainer) if at else ():
        if depth.name == name:
            _run(trainer, depth)
            return original(trainer, real, *args, **kwargs)
    return original(trainer, subset, *args, **kwargs)


@contextlib.contextmanager
def _metric(cfg: Any, metric: str) -> Iterator[None]:
    """Let fairseq find what it looks for among the results of one subset, which have no depth in their names."""
    before = cfg.checkpoint[METRIC]
    put(cfg.checkpoint, METRIC, metric)
    try:
        yield
    finally:
        put(cfg.checkpoint, METRIC, before)


def _stacks(trainer: Any) -> list[LayerDropStack]:
    return [module for module in trainer._model.modules() if isinstance(module, LayerDropStack)]


def _trained(trainer: Any) -> tuple[Depth, ...]:
    return next((stack.dropping.depths for stack in _stacks(trainer)), ())


def _run(trainer: Any, depth: Depth) -> None:
    running = contextlib.ExitStack()
    for stack in _stacks(trainer):
        running.enter_context(stack.running(depth.kept[stack.name]))
    trainer.layerdrop_running = running


def _run_whole(trainer: Any) -> None:
    running = getattr(trainer, "layerdrop_running", None)
    if running is not None:
        running.close()
        trainer.layerdrop_running = None
