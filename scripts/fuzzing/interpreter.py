"""What Python does around a command, done in a fork: streams at the start, the exit status at the end."""

from __future__ import annotations

import io
import os
import signal
import sys
from typing import Callable, NoReturn

FLUSH_FAILED = 120


def open_streams(encoding: str = "utf-8", errors: str = "strict", direct: bool = False) -> None:
    """Make `sys.stdin`, `sys.stdout` and `sys.stderr` of the files 0, 1 and 2, as when a process starts.

    Args:
        direct: standard output has no buffer, as with PYTHONUNBUFFERED.
    """
    sys.stdin = io.TextIOWrapper(os.fdopen(0, "rb", closefd=False), encoding, errors)
    out = os.fdopen(1, "wb", buffering=0 if direct else -1, closefd=False)
    sys.stdout = io.TextIOWrapper(out, encoding, errors, line_buffering=os.isatty(1), write_through=direct)
    err = os.fdopen(2, "wb", buffering=0, closefd=False)
    sys.stderr = io.TextIOWrapper(err, encoding, "backslashreplace", write_through=True)
    for name in ("stdin", "stdout", "stderr"):
        setattr(sys, f"__{name}__", getattr(sys, name))


def status_of(main: Callable[[], object]) -> int:
    """Call it as `sys.exit(main())` does; return the exit status, or minus the signal that ends Python at Ctrl-C."""
    try:
        value = main()
    except SystemExit as end:
        value = end.code
    except BaseException as error:
        inside = error.__traceback__ and error.__traceback__.tb_next
        sys.excepthook(type(error), error.with_traceback(inside), inside)
        return -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    if value is None or isinstance(value, int):
        return (value or 0) & 255
    print(value, file=sys.stderr, flush=True)
    return 1


def leave(status: int) -> NoReturn:
    """End this process, without what Python does at its end, with a status of `status_of`."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        status = FLUSH_FAILED
    if status < 0:
        signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)
