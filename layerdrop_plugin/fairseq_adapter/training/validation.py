"""Validate each trained depth while fairseq trains (`--layerdrop-validate-depths`), as subsets of their own.

`valid@3+3` is the subset `valid` at depth 3+3: the same model runs some of its layers, nothing is loaded or changed.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from typing import Any

from fairseq import checkpoint_utils
from fairseq.trainer import Trainer

from ...depths import Depth
from ...dropping import LayerDropStack
from ..hooks import wrap
from ..options.config import ModelConfig, get, root_option
from ..options.model_options import ModelOptions
from . import best_metric
from .best_metric import AT, METRIC


def install() -> None:
    """Put this into what fairseq-train runs now; importing its module would change a program's logging."""
    wrap(Trainer, "get_valid_iterator", get_valid_iterator)
    wrap(checkpoint_utils, "save_checkpoint", save_checkpoint)
    for name in ("fairseq_cli.train", "__main__"):  # the second where its file is run
        if hasattr(sys.modules.get(name), "validate_and_save"):
            wrap(sys.modules[name], "validate", validate)


def check(cfg: ModelConfig, options: ModelOptions, small: ModelOptions) -> None:
    """Refuse to validate depths of which none is trained, or under the name of another subset.

    Args:
        small: the options of the model that trains, after pruning.

    Raises:
        ValueError: one line with the option, the rule and the value.
    """
    if options.validate_depths and not options.trained_depths:
        raise ValueError("`--layerdrop-validate-depths` must go with `--layerdrop-depths`, which is missing.")
    best_metric.check(cfg, options, small)
    if options.validate_depths:
        subsets = str(root_option(cfg, "dataset", "valid_subset") or "").split(",")
        at_depths(subsets, small.trained_depths)


def at_depths(subsets: Sequence[str], trained: Sequence[Depth]) -> dict[str, tuple[str, Depth]]:
    """Return the further subsets: by the name of each, the subset whose data it has, and its depth.

    Raises:
        ValueError: one line: a subset has the name of one of them.
    """
    further = {f"{subset}{AT}{depth.name}": (subset, depth) for depth in trained[1:] for subset in subsets}
    for name, (subset, depth) in further.items():
        if name in subsets:
            raise ValueError(
                f"`--valid-subset` must have no {name!r} with `--layerdrop-validate-depths`, where that is {subset} at "
                f"depth {depth.name}, but is {','.join(subsets)!r}."
            )
    return further


def validate(original: Any, cfg: Any, trainer: Any, task: Any, epoch_itr: Any, subsets: Sequence[str]) -> Any:
    """Go around fairseq's `validate`: further subsets follow, each at one depth; that which is chosen by goes first."""
    if not _is_on(trainer):
        return original(cfg, trainer, task, epoch_itr, subsets)
    trained = _trained(trainer)
    further = at_depths(subsets, trained)
    metric, chosen = best_metric.split(cfg.checkpoint[METRIC], [depth.name for depth in trained])
    first = f"{subsets[0]}{AT}{chosen}"
    names = sorted([*subsets, *further], key=lambda name: not (name in further and name == first))
    with contextlib.ExitStack() as until_done:
        until_done.callback(_done, trainer)
        until_done.enter_context(best_metric.of_results(cfg, metric))
        trainer.layerdrop_subsets = further
        values = original(cfg, trainer, task, epoch_itr, names)
    best_metric.log(cfg.checkpoint[METRIC], values[0])
    return values


def get_valid_iterator(original: Any, trainer: Any, subset: str, *args: Any, **kwargs: Any) -> Any:
    """Go around `Trainer.get_valid_iterator`: run the layers of the depth that a further subset is for."""
    _run_whole(trainer)
    real, depth = getattr(trainer, "layerdrop_subsets", {}).get(subset, (subset, None))
    if depth is not None:
        _run(trainer, depth)
    return original(trainer, real, *args, **kwargs)


def save_checkpoint(original: Any, cfg: Any, trainer: Any, *args: Any, **kwargs: Any) -> Any:
    """Go around fairseq's `save_checkpoint`, whose attribute `best` fairseq then finds at this wrapper."""
    return original(best_metric.in_file_names(cfg) if _is_on(trainer) else cfg, trainer, *args, **kwargs)


def _is_on(trainer: Any) -> bool:
    return bool(get(trainer.cfg.model, "layerdrop_validate_depths") and _trained(trainer))


def _stacks(trainer: Any) -> list[LayerDropStack]:
    return [module for module in trainer._model.modules() if isinstance(module, LayerDropStack)]


def _trained(trainer: Any) -> tuple[Depth, ...]:
    return next((stack.dropping.depths for stack in _stacks(trainer)), ())


def _run(trainer: Any, depth: Depth) -> None:
    running = contextlib.ExitStack()
    for stack in _stacks(trainer):
        running.enter_context(stack.running(depth.kept[stack.name]))
    trainer.layerdrop_running = running


def _done(trainer: Any) -> None:
    _run_whole(trainer)
    trainer.layerdrop_subsets = {}


def _run_whole(trainer: Any) -> None:
    running = getattr(trainer, "layerdrop_running", None)
    if running is not None:
        running.close()
        trainer.layerdrop_running = None
