"""Write a folder whole or not at all: under a passing name beside it, which becomes the folder's own at the end."""

import contextlib
import os
import secrets
import shutil
from typing import Iterator, Sequence


def check(path: str, force: bool = False, marks: Sequence[str] = (), option: str = "OUT") -> None:
    """Refuse a place where no folder can be written; worth a call before long work.

    Args:
        force: whether a folder may be replaced, with all that is in it: one that has a file of the name `marks[0]`,
            `marks[1]`, ..., which tells it from a home directory.
        option: where the path was given, for errors.

    Raises:
        ValueError: one line: the folder around it is missing or can't be written, or something of that name is there
            and has to stay.
    """
    around = os.path.dirname(_plain(path)) or "."
    if not os.path.isdir(around):
        raise ValueError(f"`{option}` must be in a folder that exists, but is {path!r} instead.")
    if not os.access(around, os.W_OK):
        raise ValueError(f"`{option}` must be in a folder that can be written, but is {path!r} instead.")
    if os.path.basename(_plain(path)) in ("", ".", ".."):  # no name that another folder could get
        raise ValueError(f"`{option}` must name a folder, but is {path!r} instead.")
    if not os.path.lexists(_plain(path)):
        return
    if not force:
        raise ValueError(f"`{option}` must be a new folder, but {path} exists; --force replaces it.")
    if os.path.islink(_plain(path)) or not any(os.path.isfile(os.path.join(path, mark)) for mark in marks):
        named = " or ".join(marks)
        raise ValueError(f"`{option}` must be a folder with {named} for --force to replace it, but {path} is none.")


def check_apart(path: str, needed: str, given: str, option: str = "OUT") -> None:
    """Refuse a folder that holds what is read for it: --force would remove that.

    Args:
        needed: a file or folder; `given` is where it was given, for errors.

    Raises:
        ValueError: one line.
    """
    folder = os.path.realpath(path)
    if os.path.commonpath([folder, os.path.realpath(needed)]) == folder:
        raise ValueError(f"`{option}` must be a folder without `{given}`, but {path} holds {needed}.")


@contextlib.contextmanager
def writing(path: str, force: bool = False, marks: Sequence[str] = (), option: str = "OUT") -> Iterator[str]:
    """Give the path of a new folder; it gets the name `path` when the context ends well, and is removed otherwise.

    Killed at any moment, this leaves what had the name before or, between two renamings, nothing; then a folder
    `.NAME.*.tmp` may be left, which holds the new folder or the old one.

    Raises:
        ValueError: as `check`; or the system refuses, say because the disk is full.
    """
    check(path, force, marks, option)
    around, name = os.path.split(_plain(path))
    passing, old = (os.path.join(around, f".{name}.{secrets.token_hex(4)}.tmp") for _ in range(2))
    try:
        os.mkdir(passing)
        yield passing
        _to_disk(passing)
        check(path, force, marks, option)  # nobody else has written it meanwhile
        _replace(passing, _plain(path), old)
    except OSError as error:
        raise ValueError(
            f"`{option}` must be a folder that can be written, but {path} can't: {error.strerror or error}."
        ) from None
    finally:
        shutil.rmtree(passing, ignore_errors=True)


def _replace(new: str, path: str, old: str) -> None:
    """Give a folder the name `path`, and remove the one that has had it, which is `old` for a moment."""
    if not os.path.lexists(path):
        os.rename(new, path)
        return
    try:
        os.rename(path, old)
        os.rename(new, path)
    except BaseException:  # Ctrl-C, too
        if os.path.lexists(old) and not os.path.lexists(path):
            os.rename(old, path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _plain(path: str) -> str:
    """Return a path without slashes at its end, which would lead `rename` through a link."""
    return path.rstrip("/") or path


def _to_disk(folder: str) -> None:
    for within, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(within, name), "rb") as file:
                os.fsync(file.fileno())
