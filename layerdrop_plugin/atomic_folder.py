"""Write a folder atomically: under a temporary name beside it, renamed on success."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from . import atomic

Marks = Mapping[str, Sequence[str]]
"""Names of files that mark a folder as written here, each with the names of the files that are written beside it."""

NONE: Marks = MappingProxyType({})


def check_folder(path: str, force: bool = False, marks: Marks = NONE, option: str = "OUT") -> None:
    """Refuse a path where no folder can be written. Call this before long work.

    Args:
        force: whether files in an existing folder may be replaced. It must have a file of `marks`, so that a home
            directory, for example, is never changed.
        option: where the path was given, for errors.

    Raises:
        ValueError: one line: the parent folder is missing or can't be written, or something at `path` must not be
            replaced.
    """
    parent = os.path.dirname(_plain(path)) or "."
    if not os.path.isdir(parent):
        raise ValueError(f"`{option}` must be in a folder that exists, but is {path!r} instead.")
    if not os.access(parent, os.W_OK):
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
        raise ValueError(f"`{option}` {rule}, but {path} is not.")
    if not os.access(path, os.W_OK):
        raise ValueError(f"`{option}` must be a folder that can be written, but is {path!r} instead.")


def check_apart(path: str, needed: str, given: str, option: str = "OUT") -> None:
    """Refuse an output folder that contains an input, which --force could replace.

    Args:
        needed: the input, a file or folder.
        given: where the input was given, for errors.

    Raises:
        ValueError: one line.
    """
    folder = os.path.realpath(path)
    if os.path.commonpath([folder, os.path.realpath(needed)]) == folder:
        raise ValueError(f"`{option}` must be a folder without `{given}`, but {path} holds {needed}.")


@contextlib.contextmanager
def write_folder(path: str, force: bool = False, marks: Marks = NONE, option: str = "OUT") -> Iterator[str]:
    """Yield the path of a new folder. It gets the name `path` when the context ends well, and is removed otherwise.

    If a folder `path` exists, the new files move there and replace those of an earlier call; all other files stay.

    A process that is killed leaves the old folder as it was or, between two renames, a folder without a file of
    `marks`, which counts as incomplete. It may also leave folders `.NAME.*.tmp` with the new and the old files. A
    later call removes these when they are a day old.

    Raises:
        ValueError: as `check_folder`; or the system refuses, because the disk is full, for example.
    """
    check_folder(path, force, marks, option)
    parent, name = os.path.split(_plain(path))
    atomic.remove_leftovers(parent, name)
    temporary, old = (atomic.temporary_name(parent, name) for _ in range(2))
    try:
        os.mkdir(temporary)
        yield temporary
        _set_permissions(temporary)
        _to_disk(temporary)
        check_folder(path, force, marks, option)  # nobody else has written it meanwhile
        if os.path.lexists(_plain(path)):
            _replace_files(temporary, path, old, marks, option)
        else:
            _rename(temporary, path, option)
    except OSError as error:
        raise ValueError(
            f"`{option}` must be a folder that can be written, but {path} can't be: {error.strerror or error}."
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _rename(temporary: str, path: str, option: str) -> None:
    try:
        os.rename(temporary, _plain(path))
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise
        raise ValueError(_exists(path, option)) from None  # it appeared just now


def _replace_files(new: str, path: str, old: str, marks: Marks, option: str) -> None:
    """Move the files of the folder `new` to `path`. The files that they replace move to `old`, which is then removed.

    If a rename fails, or at Ctrl-C, every file is moved back.
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
    """Return the names of the files to remove, those of `marks` first: a folder without one counts as incomplete."""
    present = [mark for mark in marks if os.path.isfile(os.path.join(path, mark))]
    return dict.fromkeys([*present, *(name for mark in present for name in marks[mark]), *names])


def _check_replaceable(path: str, names: Sequence[str], option: str) -> None:
    for name in names:
        file = os.path.join(path, name)
        if not os.path.isfile(file):
            raise ValueError(f"`{option}` must have a file or nothing where {file} is.")
        if atomic.is_read_only(file):
            raise ValueError(f"`{option}` must hold files that can be written, but {file} is read-only.")


def _move(source: str, target: str, name: str) -> None:
    """Move a file back, if it was moved: Ctrl-C may have come before."""
    if os.path.lexists(os.path.join(source, name)) and not os.path.lexists(os.path.join(target, name)):
        os.rename(os.path.join(source, name), os.path.join(target, name))


def _exists(path: str, option: str) -> str:
    return f"`{option}` must be a new folder, but {path} exists; --force replaces the same files in it."


def _plain(path: str) -> str:
    """Return a path without slashes at its end, which would lead `rename` through a link."""
    return path.rstrip("/") or path


def _set_permissions(folder: str) -> None:
    """Give all files the permissions of the umask; some libraries write files that nobody else may read."""
    probe = atomic.temporary_name(folder, "probe")
    with open(probe, "xb"):
        mode = stat.S_IMODE(os.stat(probe).st_mode)
    os.unlink(probe)
    for within, _, names in os.walk(folder):
        for name in names:
            os.chmod(os.path.join(within, name), mode)


def _to_disk(folder: str) -> None:
    for within, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(within, name), "rb") as file:
                os.fsync(file.fileno())
