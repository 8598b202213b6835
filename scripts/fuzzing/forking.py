"""Run a command in a fork of this process, which has imported everything: apart, with limits, in milliseconds."""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Sequence
from typing import BinaryIO, Callable, NamedTuple, NoReturn

from . import interpreter

MEMORY = 4 << 30
"""Bytes that a command may address beyond what this process does: it keeps a mistake from taking the machine down."""

FILE_SIZE = 1 << 28
OUTPUT = 1 << 20  # bytes that are looked at
PAUSE = 0.002

FAIRSEQ_FORMAT = "%(asctime)s | %(levelname)s | %(name)s | %(message)s"


class Outcome(NamedTuple):
    """How a command ended.

    Attributes:
        status: the exit status, or minus the signal that ended it; None where the time was up.
        peak: bytes of memory that it had at most.
    """

    status: int | None
    out: str
    err: str
    seconds: float
    peak: int


def run(
    main: Callable[[], object],
    argv: Sequence[str],
    folder: str,
    stdin: str = "",
    seconds: float = 30.0,
    env: dict[str, str] | None = None,
) -> Outcome:
    """Call `main` in a fork of this process as a console script would, and wait for it.

    Args:
        argv: what `sys.argv` is there; first the command's name.
        folder: the working directory.
        seconds: it is killed after so many.
        env: variables to set.
    """
    start = time.monotonic()
    with tempfile.TemporaryFile() as into, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        into.write(stdin.encode("utf-8", "surrogateescape"))
        into.seek(0)
        sys.stdout.flush()
        sys.stderr.flush()
        child = os.fork()
        if child == 0:
            _become(main, list(argv), folder, (into, out, err), env or {})
        ended, usage = _wait(child, start + seconds)
        text = [_content(file) for file in (out, err)]
    status = None if ended is None else os.WEXITSTATUS(ended) if os.WIFEXITED(ended) else -os.WTERMSIG(ended)
    return Outcome(status, text[0], text[1], time.monotonic() - start, usage.ru_maxrss * 1024)


def _content(file: BinaryIO) -> str:
    file.seek(0)
    return file.read(OUTPUT).decode("utf-8", "replace")


def _wait(child: int, deadline: float) -> tuple:
    """Return the child's status, None where it had to be killed, and what it used; none of its own are left."""
    done, status, usage = os.wait4(child, os.WNOHANG)
    while not done and time.monotonic() < deadline:
        time.sleep(PAUSE)
        done, status, usage = os.wait4(child, os.WNOHANG)
    for process in (os.killpg, os.kill):  # it may not have made a group of its own yet
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if not done or process is os.killpg:
                process(child, signal.SIGKILL)
    if not done:
        _, _, usage = os.wait4(child, 0)
        return None, usage
    return status, usage


def _become(
    main: Callable[[], object], argv: Sequence[str], folder: str, files: Sequence[BinaryIO], env: dict[str, str]
) -> NoReturn:
    """Be the command: in this fork, from here to the end of the process."""
    status = 1
    try:
        os.setpgid(0, 0)
        for number, file in enumerate(files):
            os.dup2(file.fileno(), number)
        interpreter.open_streams()
        _forget_the_parent()
        _limit()
        os.environ.update(env)
        os.chdir(folder)
        sys.argv[:] = argv
        status = interpreter.status_of(main)
    except BaseException:
        traceback.print_exc()
    finally:
        interpreter.leave(status)


def _forget_the_parent() -> None:
    """Forget what the parent, perhaps pytest, does with warnings and the log, and log as fairseq's commands do."""
    faulthandler.disable()
    warnings.resetwarnings()
    warnings.simplefilter("ignore")
    logging.disable(logging.NOTSET)
    logging.getLogger("fairseq").setLevel(logging.NOTSET)
    logging.root.handlers[:] = []
    logging.basicConfig(format=FAIRSEQ_FORMAT, level=logging.INFO, stream=sys.stdout)


def _limit() -> None:
    with open("/proc/self/statm") as sizes:
        used = int(sizes.read().split()[0]) * resource.getpagesize()
    for kind, limit in (
        (resource.RLIMIT_AS, used + MEMORY),
        (resource.RLIMIT_FSIZE, FILE_SIZE),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (limit, limit))
