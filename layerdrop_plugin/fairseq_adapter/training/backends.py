"""Refuse the --ddp-backend choices under which LayerDrop was never seen to work, before any data is read."""

from __future__ import annotations

from typing import Any

from fairseq import tasks

from ..errors.one_line import one_line
from ..hooks import wrap
from ..modeling.architectures import PREFIX
from ..options.config import architecture_beside, root_option

UNSUPPORTED = {  # both are fairscale's, need GPUs, and end in a traceback where fairscale is not installed
    "fully_sharded": "a layer that is split among workers can be neither dropped nor pruned",  # stock hangs: #3875
    "slowmo": "workers whose weights differ between averages were never tried with layers that are dropped",
}


def install() -> None:
    """Put the check where fairseq's commands begin: before fairscale is asked for, and before the model is built."""
    wrap(tasks, "setup_task", _setup_task)


def _setup_task(original: Any, cfg: Any, *args: Any, **kwargs: Any) -> Any:
    backend = str(root_option(cfg, "distributed_training", "ddp_backend"))
    if backend in UNSUPPORTED:
        with one_line():
            check_backend(backend, str(architecture_beside(cfg)))
    return original(cfg, *args, **kwargs)


def check_backend(backend: str, architecture: str) -> None:
    """Check the backend of a training; stock architectures may have any.

    Raises:
        ValueError: one line with the option, the rule, the value and the reason.
    """
    if backend in UNSUPPORTED and architecture.startswith(PREFIX):
        raise ValueError(
            f"`--ddp-backend` must be pytorch_ddp or legacy_ddp for {architecture}, "
            f"but is {backend}: {UNSUPPORTED[backend]}."
        )
