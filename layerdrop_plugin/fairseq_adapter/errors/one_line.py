"""Users' errors: a `UserError` in Python, one line and exit status 2 in fairseq's commands.

With `LOGLEVEL=DEBUG`, fairseq's own variable, the traceback is in the log.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from typing import NoReturn

from ... import message
from .running_command import running_command

logger = logging.getLogger(__name__)


class UserError(ValueError):
    """One line that names the option, the rule and the value found."""


class Malformed(ValueError):
    """What is wrong with a checkpoint, as the end of a sentence that begins with its file's name."""


_raising: ContextVar[bool] = ContextVar("raising", default=False)


@contextlib.contextmanager
def raising() -> Iterator[None]:
    """Let `one_line` raise in a command, too, because the code inside only tries something."""
    token = _raising.set(True)
    try:
        yield
    finally:
        _raising.reset(token)


@contextlib.contextmanager
def one_line() -> Iterator[None]:
    """Turn a ValueError of the code inside into a `UserError`, or end the command that runs.

    fairseq's commands let exceptions through, and Hydra and the trainer wrap them in more lines;
    only SystemExit passes all of them untouched.
    """
    try:
        yield
    except ValueError as error:
        if not in_command():
            raise UserError(message.one_line(str(error))) from None
        end(str(error))


def end(text: str) -> NoReturn:
    """End the command that runs with one line on standard error and exit status 2."""
    logger.debug("the command ends with this error", exc_info=True)
    line = f"{running_command()}: error: {message.one_line(text)}\n"
    sys.stderr.write(line)  # at once: several workers may say the same
    sys.stderr.flush()
    raise SystemExit(2) from None


def in_command() -> bool:
    """Return whether a command such as fairseq-train called this function, in this thread and outside of `raising`."""
    return running_command() is not None and not _raising.get()
