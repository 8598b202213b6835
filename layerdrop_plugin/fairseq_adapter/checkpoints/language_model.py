"""`fairseq-generate --lm-path`: `--model-overrides` prune the models of `--path`, not the language model beside them.

fairseq 0.12.2 gives the language model the same overrides (fairseq #4749). An encoder's would be refused, because a
language model has none, and a decoder's would prune the language model as well.
"""

from __future__ import annotations

from contextvars import ContextVar

from fairseq import checkpoint_utils, utils
from omegaconf import DictConfig

from ..hooks import wrap
from ..options.config import get, root_option
from ..options.declared import KEEP

_language_model: ContextVar[tuple[str, str] | None] = ContextVar("language_model", default=None)
"""The path of the running command's language model, and its DATA."""


def install() -> None:
    """Put this into fairseq's functions that begin a command and load models."""
    wrap(utils, "import_user_module", _import_user_module)
    wrap(checkpoint_utils, "load_model_ensemble", _load_model_ensemble)


def _import_user_module(original, args):
    """Every command of fairseq's calls this first, with a part of its whole configuration."""
    if isinstance(args, DictConfig):
        path = root_option(args, "generation", "lm_path")
        _language_model.set((path, get(get(args._get_root(), "task"), "data")) if path else None)
    return original(args)


def _load_model_ensemble(original, filenames, arg_overrides=None, task=None, *args, **kwargs):
    overrides = arg_overrides or {}
    if task is None and [(name, overrides.get("data")) for name in filenames] == [_language_model.get()]:
        arg_overrides = {name: value for name, value in overrides.items() if name not in KEEP.values()}
    return original(filenames, arg_overrides, task, *args, **kwargs)
