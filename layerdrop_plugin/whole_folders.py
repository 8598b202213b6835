"""Write a folder whole or not at all: under a temporary name beside it, which becomes the folder's own at the end."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from . import whole_files

Marks = Mapping[str, Sequence[str]]
"""Names of files, each of which says that a folder was written here, with those that were written beside it."""

NONE: Marks = MappingProxyType({})


def check(path: str, force: bool = False, marks: Marks = NONE, option: str = "OUT") -> None:
    """Refuse a place where no folder can be written; worth a call before long work.

    Args:
        force: whether files in a folder may be replaced: one that has a file of `marks`, which tells it from a home
            directory.
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
        raise ValueError(_exists(path, option))
    if os.path.islink(_plain(path)) or not any(os.path.isfile(os.path.join(path, mark)) for mark in marks):
        named = " or ".join(marks)
        rule = f"must be a folder with {named} for --force to replace files in it"
        raise ValueError(f"`{option}` {rule}, but {path} is none.")
    if not os.access(path, os.W_OK):
        raise ValueError(f"`{option}` must be a folder that can be written, but is {path!r} instead.")


def check_apart(path: str, needed: str, given: str, option: str = "OUT") -> None:
    """Refuse a folder that holds what is read for it: --force could replace that.

    Args:
        needed: a file or folder; `given` is where it was given, for errors.

    Raises:
        ValueError: one line.
    """
    folder = os.path.realpath(path)
    if os.path.commonpath([folder, os.path.realpath(needed)]) == folder:
        raise ValueError(f"`{option}` must be a folder without `{given}`, but {path} holds {needed}.")


@contextlib.contextmanager
def writing(path: str, force: bool = False, marks: Marks = NONE, option: str = "OUT") -> Iterator[str]:
    """Give the path of a new folder; it gets the name `path` when the context ends well, and is removed otherwise.

    Where a folder has the name, its files move there, to replace those of an earlier call; all others stay.

    Killed at any moment, this leaves what had the name before or, between renamings, a folder without a file of
    `marks`, which nobody takes for whole; then folders `.NAME.*.tmp` may be left, with the new files and the old ones.
    A later call removes them when they are a day old.

    Raises:
        ValueError: as `check`; or the system refuses, say because the disk is full.
    """
    check(path, force, marks, option)
    around, name = os.path.split(_plain(path))
    whole_files.remove_leftovers(around, name)
    passing, old = (whole_files.passing_name(around, name) for _ in range(2))
    try:
        os.mkdir(passing)
        yield passing
        _to_disk(passing)
        check(path, force, marks, option)  # nobody else has written it meanwhile
        if os.path.lexists(_plain(path)):
            _replace_files(passing, path, old, marks, option)
        else:
            _give_name(passing, path, option)
    except OSError as error:
        raise ValueError(
            f"`{option}` must be a folder that can be written, but {path} can't: {error.strerror or error}."
        ) from None
    finally:
        shutil.rmtree(passing, ignore_errors=True)


def _give_name(passing: str, path: str, option: str) -> None:
    try:
        os.rename(passing, _plain(path))
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise
        raise ValueError(_exists(path, option)) from None  # since a moment ago


def _replace_files(new: str, path: str, old: str, marks: Marks, option: str) -> None:
    """Move all in the folder `new` to `path`, and what it replaces to `old`, which is removed at the end.

    Where a renaming fails, or at Ctrl-C, all is put back.
    """
    names = sorted(os.listdir(new), key=lambda name: name in marks)
    replaced = [name for name in _written_before(path, marks, names) if os.path.lexists(os.path.join(path, name))]
    _check_replaceable(path, replaced, option)
    for name in {*replaced}.intersection(names):
        shutil.copymode(os.path.join(path, name), os.path.join(new, name))
    with contextlib.ExitStack() as undo:
        os.mkdir(old)
        undo.callback(os.rmdir, old)  # only if it is empty again
        for source, target, moved in ((path, old, replaced), (new, path, names)):
            for name in moved:
                undo.callback(_move, target, source, name)
                os.rename(os.path.join(source, name), os.path.join(target, name))
        undo.pop_all()
    shutil.rmtree(old, ignore_errors=True)


def _written_before(path: str, marks: Marks, names: Sequence[str]) -> Iterable[str]:
    """Return the names of files that go, those of `marks` first: without them, a folder is not taken for whole."""
    found = [mark for mark in marks if os.path.isfile(os.path.join(path, mark))]
    return dict.fromkeys([*found, *(name for mark in found for name in marks[mark]), *names])


def _check_replaceable(path: str, names: Sequence[str], option: str) -> None:
    for name in names:
        file = os.path.join(path, name)
        if not os.path.isfile(file):
            raise ValueError(f"`{option}` must have a file or nothing where {file} is.")
        if whole_files.is_read_only(file):
            raise ValueError(f"`{option}` must hold files that can be written, but {file} is read-only.")


def _move(source: str, target: str, name: str) -> None:
    """Move what has been moved back; Ctrl-C may have come before that."""
    if os.path.lexists(os.path.join(source, name)) and not os.path.lexists(os.path.join(target, name)):
        os.rename(os.path.join(source, name), os.path.join(target, name))


def _exists(path: str, option: str) -> str:
    return f"`{option}` must be a new folder, but {path} exists; --force replaces the same files in it."


def _plain(path: str) -> str:
    """Return a path without slashes at its end, which would lead `rename` through a link."""
    return path.rstrip("/") or path


def _to_disk(folder: str) -> None:
    for within, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(within, name), "rb") as file:
                os.fsync(file.fileno())
