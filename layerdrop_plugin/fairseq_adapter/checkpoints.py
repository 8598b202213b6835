"""Prune at load: a checkpoint that is read to be used becomes the small one that is asked for.

`--model-overrides` of fairseq's commands and the keywords of `from_pretrained` come here. What
follows, building the model and filling it, then needs to know nothing of pruning.
"""

import contextlib
import inspect
import logging
from typing import Any, Callable, Dict, Iterator, Optional

from fairseq import checkpoint_utils

from . import pruning
from .compat import safe_loading
from .errors import one_line
from .hooks import wrap
from .options import KEEP

logger = logging.getLogger(__name__)

Prepare = Callable[[Dict[str, Any], str], None]

_prepare: Optional[Prepare] = None  # set while a trainer reads its checkpoint
_option = "--path"  # what names the file that is read
_loading = False  # set while models are loaded to be used


def install() -> None:
    """Put pruning into fairseq's functions that read checkpoints."""
    wrap(checkpoint_utils, "load_checkpoint_to_cpu", _load_checkpoint_to_cpu)
    wrap(checkpoint_utils, "load_model_ensemble_and_task", _load_model_ensemble_and_task)


def is_loading() -> bool:
    """Whether a model is being built for a checkpoint that is loaded to be used."""
    return _loading


@contextlib.contextmanager
def prepared_by(prepare: Prepare, option: str) -> Iterator[None]:
    """Let `prepare(state, path)` change, in place, what is read inside this context; `option` names it."""
    with _set(_prepare=prepare, _option=option):
        yield


def _load_checkpoint_to_cpu(stock, path, arg_overrides=None, *args, **kwargs):
    overrides = dict(arg_overrides or {})
    specs = pruning.requested(overrides)
    for stack in specs:
        del overrides[KEEP[stack]]
    safe_loading.option = _option
    state = stock(path, overrides if arg_overrides is not None else None, *args, **kwargs)
    with one_line():
        pruning.settle(state)
        if _prepare is not None:
            _prepare(state, path)
        elif specs:
            pruning.log(pruning.prune_loaded(state, specs))
    return state


def _load_model_ensemble_and_task(stock, *args, **kwargs):
    given = inspect.signature(stock).bind(*args, **kwargs)
    given.apply_defaults()
    options = given.arguments
    if options["state"] is None:
        with one_line():
            for name in options["filenames"]:
                path = checkpoint_utils.get_maybe_sharded_checkpoint_filename(
                    name, options["suffix"], 0, options["num_shards"]
                )
                safe_loading.check_file(path, "--path")
    with _set(_loading=True, _prepare=None):
        ensemble, cfg, task = stock(*args, **kwargs)
    if pruning.requested(options["arg_overrides"] or {}):
        for model in ensemble:
            logger.info("num. model params: %s", f"{sum(p.numel() for p in model.parameters()):,}")
    return ensemble, cfg, task


@contextlib.contextmanager
def _set(**values: Any) -> Iterator[None]:
    """Set this module's state for as long as fairseq works inside."""
    before = {name: globals()[name] for name in values}
    globals().update(values)
    try:
        yield
    finally:
        globals().update(before)
