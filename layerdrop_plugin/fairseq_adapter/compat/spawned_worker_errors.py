"""The line about a user's error is followed by a traceback: "ProcessExitedException: process 0 terminated ...".

fairseq 0.12.2 and main, any torch, several GPUs in one machine. fairseq starts a worker for each GPU, and does not
expect a worker to end with the exit status of a user's error.
"""

from __future__ import annotations

import inspect
from typing import Any

from ..errors.running_command import running_command, told_to_workers
from ..hooks import wrap

USER_ERROR = 2  # exit status


def needed() -> str | None:
    """Return the reason, where fairseq starts workers and lets through whatever their end raises."""
    from fairseq.distributed import utils

    names = inspect.unwrap(utils.call_main).__code__.co_names
    if "spawn" in names and "ProcessExitedException" not in names:
        return "fairseq shows a traceback when a worker that it started ends with a user's error"
    return None


def apply() -> None:
    """End the command with the exit status of its worker, which has said why; a program gets the exception."""
    from fairseq.distributed import utils

    wrap(utils, "call_main", _call_main)


def _call_main(original: Any, *args: Any, **kwargs: Any) -> Any:
    from torch.multiprocessing import ProcessExitedException

    try:
        with told_to_workers():
            return original(*args, **kwargs)
    except ProcessExitedException as error:
        if error.exit_code != USER_ERROR or running_command() is None:
            raise
    raise SystemExit(USER_ERROR)
