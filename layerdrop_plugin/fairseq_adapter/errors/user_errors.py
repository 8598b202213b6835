"""Turn all other users' errors in fairseq's commands into one line instead of a traceback.

Before the first update of a training, and in commands that evaluate, an error is about what the command was given:
options that do not fit each other, the data or the checkpoint. fairseq finds it somewhere deep inside. Later, an error
is a bug or the machine's, and its traceback stays; so does that of the user's own code.
"""

from __future__ import annotations

import contextlib
import os
import re
import traceback
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType
from typing import Any

from torch.multiprocessing.spawn import ProcessException

from ... import message
from .one_line import Malformed, UserError, end, in_command

TRAINED = "layerdrop_has_trained"
"""Set on a trainer that has made an update."""

PLAIN = (AssertionError, ValueError, RuntimeError, NotImplementedError, ImportError)
"""Types of errors whose messages say enough without the name of the type."""


@contextlib.contextmanager
def one_line_for_all(user_dir: str | None) -> Iterator[None]:
    """End fairseq's command with one line for a user's error in the code inside; in a program, raise it."""
    try:
        yield
    except Exception as error:
        end_command(error, user_dir)
        raise


@contextlib.contextmanager
def value_error_for_all(user_dir: str | None) -> Iterator[None]:
    """Turn a user's error in the code inside into one line (a ValueError), for our own commands.

    With `LOGLEVEL=DEBUG` errors pass as they are.
    """
    try:
        yield
    except (ValueError, OSError):  # one line each
        raise
    except Exception as error:
        text = told(error, user_dir)
        if text is None or os.environ.get("LOGLEVEL", "").upper() == "DEBUG":
            raise
        raise ValueError(text) from None


def end_command(error: Exception, user_dir: str | None) -> None:
    """End the command if one runs and the error is a user's; else return."""
    text = told(error, user_dir) if in_command() else None
    if text is not None:
        end(text)


@contextlib.contextmanager
def first_update(trainer: Any) -> Iterator[None]:
    """Note that a trainer has made an update. If the first update fails, remove crash.pt, which holds nothing new."""
    if getattr(trainer, TRAINED, False):
        yield
        return
    crash = os.path.join(trainer.cfg.checkpoint.save_dir, "crash.pt")
    there = os.path.lexists(crash)
    try:
        yield
    except FloatingPointError:  # what it keeps then helps to find NaN
        raise
    except Exception:
        if in_command() and not there and os.path.lexists(crash):
            os.unlink(crash)
        raise
    setattr(trainer, TRAINED, True)


@contextlib.contextmanager
def overriding(overrides: Mapping[str, Any], paths: Sequence[str], option: str = "--model-overrides") -> Iterator[None]:
    """Say in one line, a ValueError, that checkpoints do not fit their overrides; other errors pass as they are.

    Args:
        overrides: the options; those of fairseq-validate are among all options of its command line.
        option: where these options were given, for errors.
    """
    given = overrides.get("model_overrides", {}) if "path" in overrides else overrides
    try:
        yield
    except (OSError, UserError):  # they have said it
        raise
    except Exception as error:
        if not given:
            raise
        cause = error.__cause__ if isinstance(error, Malformed) and error.__cause__ else error
        raise ValueError(f"`{option}` must fit {', '.join(paths)}, but is {str(given)!r}: {reason(cause)}.") from None


def told(error: Exception, user_dir: str | None) -> str | None:
    """Return the message for a user's error; None for any other error.

    Args:
        user_dir: the user's own code, whose errors are not ours to explain.
    """
    if isinstance(error, (BrokenPipeError, FloatingPointError, ProcessException)):
        return None  # the reader has gone; NaN, of which fairseq writes crash.pt; a worker has said why, or was killed
    if isinstance(error, OSError):
        return system_error(error)
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    if any(getattr(frame.f_locals.get("trainer"), TRAINED, False) for frame in frames) or _own(frames, user_dir):
        return None
    package = re.search(r"No module named '(\w+)'", str(error)) if isinstance(error, ImportError) else None
    if package is not None:
        return f"the package {package[1]!r} must be installed for this, but is missing: pip install {package[1]}"
    if "out of memory" in str(error):
        return f"`--max-tokens` or `--batch-size` must be smaller, or the model: {reason(error)}"
    return f"fairseq refuses what it was given: {reason(error)}"


def reason(error: BaseException) -> str:
    """Return the first sentence of an error, or the first weight that does not fit where that is so."""
    first, *more = str(error).strip().splitlines() or [""]
    if "Error(s) in loading state_dict" in first and more:
        return re.sub(r'("[^"]+")((?:, "[^"]+")+)', _and_more, more[0].strip()).rstrip(".")
    text = message.first_sentence(first) if isinstance(error, RuntimeError) else first.strip()  # torch says much
    plain = type(error) is Exception or isinstance(error, PLAIN)
    return text if plain and text else f"{type(error).__name__}: {text or 'it does not say why'}"


def system_error(error: OSError) -> str:
    """Return what the system refuses, and why."""
    if error.filename is not None:
        return f"the system refuses {os.fsdecode(error.filename)!r}: {error.strerror or error}"
    if "Dataset not found" in str(error):
        return f"`DATA` must hold each split that is asked for, but: {error}"
    return f"the system refuses what it was asked for: {error.strerror or error}"


def _and_more(match: re.Match[str]) -> str:
    return f"{match[1]} and {match[2].count(', ')} more"


def _own(frames: list[FrameType], user_dir: str | None) -> bool:
    """Return whether the user's own code takes part; the user dir may be this package."""
    name = os.path.basename(os.path.abspath(user_dir)) if user_dir else None
    packages = {str(frame.f_globals.get("__name__")).partition(".")[0] for frame in frames}
    return name in packages and name != __name__.partition(".")[0]
