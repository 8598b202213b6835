"""A user's error ends fairseq-hydra-train, and the other commands, with a traceback.

fairseq 0.12.2 and main. fairseq-hydra-train reads the user dir too late for a patch. So layerdrop_plugin_startup
applies this patch as soon as fairseq is imported. The command then reads the user dir before it looks at the options of
the model. If the user dir has loaded the plugin, the patch asks the plugin for the message of an error. Without the
plugin it changes nothing.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
from collections.abc import Iterator
from typing import Any

from ..hooks import wrap

PLUGIN = "layerdrop_plugin.fairseq_adapter.errors.user_errors"


def needed() -> str | None:
    """Return the reason, where errors pass `call_main` unseen."""
    from fairseq.distributed import utils

    if "Exception" in inspect.unwrap(utils.call_main).__code__.co_names:
        return None
    return "fairseq shows a traceback for a user's error"


def apply() -> None:
    """Let the plugin see the options of the model, and end the command, if it knows the error."""
    from fairseq.dataclass import initialize
    from fairseq.distributed import utils

    wrap(utils, "call_main", _call_main)
    wrap(initialize, "add_defaults", _add_defaults)


def _add_defaults(original: Any, cfg: Any) -> None:
    """Read the plugin's user dir; any other one is read later, as ever."""
    from fairseq.utils import import_user_module

    if os.path.basename(str(cfg.common.user_dir or "").rstrip("/")) == "layerdrop_plugin":
        with contextlib.suppress(FileNotFoundError):  # which fairseq tells of later
            import_user_module(cfg.common)
    original(cfg)


def _call_main(original: Any, cfg: Any, *args: Any, **kwargs: Any) -> Any:
    with _nothing_left_behind(cfg.checkpoint.save_dir):
        try:
            return original(cfg, *args, **kwargs)
        except Exception as error:
            plugin = sys.modules.get(PLUGIN)
            if plugin is not None:
                plugin.end_command(error, cfg.common.user_dir)
            raise


@contextlib.contextmanager
def _nothing_left_behind(folder: str | None) -> Iterator[None]:
    """Remove the new folders for checkpoints if a user's error ends the command before one is saved."""
    new = []
    while folder and not os.path.lexists(folder):
        new.append(folder)
        folder = os.path.dirname(folder.rstrip("/"))
    try:
        yield
    except SystemExit:
        for made in new:
            with contextlib.suppress(OSError):  # it is not empty, or not there
                os.rmdir(made)
        raise
