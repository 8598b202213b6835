"""Training on several CPU workers succeeds, but torchrun reports a failure: "terminate called without an active ...".

fairseq 0.12.2 and main, any torch. Nobody destroys the process group, so gloo's threads still run when the interpreter
ends, and C++ aborts the process (SIGABRT). That happens rarely in fairseq-train, and in most runs of a script that ends
faster. With GPUs torch 2.4 and newer warns "destroy_process_group() was not called before program exit".
"""

from __future__ import annotations

import atexit
import inspect
from typing import Any

from ..hooks import wrap


def needed() -> str | None:
    """Return the reason, where fairseq leaves the process group that it opens to the end of the interpreter."""
    from fairseq.distributed import utils

    if "destroy_process_group" not in inspect.unwrap(utils.distributed_main).__code__.co_names:
        return "fairseq leaves its process group open when a worker ends"
    return None


def apply() -> None:
    """Let a worker close the process group at exit, when its work is done; a worker that fails must not wait."""
    from fairseq.distributed import utils

    wrap(utils, "distributed_main", _distributed_main)  # by its name, workers that fairseq starts find it


def _distributed_main(original: Any, *args: Any) -> None:
    original(*args)
    atexit.register(_close)  # not now: fairseq, called again in this process, would go on with this group


def _close() -> None:
    from torch import distributed

    if distributed.is_initialized():
        distributed.destroy_process_group()
