"""Find out which command runs, if any: a user's error ends a command with one line, but is an exception in a program.

The calling function decides, not the name of the script: a user's program may be called `fairseq-notebook.py`.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from types import CodeType

OURS = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", "cli"))
WORKERS = os.path.join("fairseq", "distributed", "utils.py")

COMMAND = "LAYERDROP_COMMAND"
"""The variable in which a command tells its name to the workers that fairseq starts for it."""


def running_command() -> str | None:
    """Return the name of the command whose function called this one, such as fairseq-train; None where none did.

    In a worker that fairseq started, it is the command that started the worker.
    """
    frame, in_worker = sys._getframe(1), False
    while frame is not None:
        name = _name(frame.f_code)
        if name is not None:
            return name
        in_worker = in_worker or _is_of_a_worker(frame.f_code)
        frame = frame.f_back  # type: ignore[assignment]
    return os.environ.get(COMMAND) if in_worker else None


@contextlib.contextmanager
def told_to_workers() -> Iterator[None]:
    """Tell workers that are started in this context which command runs, if any."""
    name = running_command()
    if name is None or COMMAND in os.environ:
        yield
        return
    os.environ[COMMAND] = name
    try:
        yield
    finally:
        del os.environ[COMMAND]


def _name(code: CodeType) -> str | None:
    folder, file = os.path.split(code.co_filename)
    command = file.rpartition(".")[0].replace("_", "-")
    if code.co_name in ("cli_main", "hydra_main") and os.path.basename(folder) == "fairseq_cli":
        return f"fairseq-{command}"
    if code.co_name == "main" and os.path.abspath(folder) == OURS:
        return f"layerdrop-{command}"
    return None


def _is_of_a_worker(code: CodeType) -> bool:
    return code.co_name == "distributed_main" and code.co_filename.endswith(WORKERS)
