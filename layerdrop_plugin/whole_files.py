"""Write a file whole or not at all: under a temporary name beside it, which becomes the file's own at the end."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

A_DAY = 24 * 60 * 60  # seconds


def check(path: str, force: bool = False, option: str = "--output") -> None:
    """Refuse a place where no file can be written; worth a call before long work.

    Args:
        force: whether a file that exists may be replaced.
        option: where the path was given, for errors.

    Raises:
        ValueError: one line: its folder is missing or can't be written, it is no file, or a file exists.
    """
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise ValueError(f"`{option}` must be in a folder that exists, but is {path!r} instead.")
    exists = os.path.lexists(path)
    if not os.path.basename(path) or (exists and not os.path.isfile(path)):  # renaming would remove a device
        raise ValueError(f"`{option}` must name a file, no folder or device, but is {path!r} instead.")
    try:
        os.lstat(passing_name(folder, os.path.basename(path)))
    except FileNotFoundError:
        pass
    except OSError as error:  # a name that is too long
        raise ValueError(
            f"`{option}` must be a file that can be written, but {path} can't: {error.strerror}."
        ) from None
    if exists and not force:
        raise ValueError(_exists(path, option))
    if exists and is_read_only(path):
        raise ValueError(f"`{option}` must be a file that can be written, but {path} is read-only.")
    if not os.access(folder, os.W_OK):
        raise ValueError(f"`{option}` must be in a folder that can be written, but is {path!r} instead.")


@contextlib.contextmanager
def writing(path: str, force: bool = False, option: str = "--output") -> Iterator[BinaryIO]:
    """Give a file to write to; it gets the name `path` when the context ends well, and is removed otherwise.

    A file that it replaces hands its permissions on. Killed at any moment, this leaves what had the name before; then
    a file `.NAME.*.tmp` may be left, which a later call removes when it is a day old.

    Raises:
        ValueError: as `check`; or the system refuses, say because the disk is full.
    """
    check(path, force, option)
    folder, name = os.path.split(path)
    remove_leftovers(folder, name)
    passing = passing_name(folder, name)
    try:
        with open(passing, "xb") as file:  # unlike those of `tempfile`, with the permissions of the umask
            guarded = Guarded(file)
            yield cast(BinaryIO, guarded)
            guarded.flush()
            os.fsync(file.fileno())
        check(path, force, option)  # nobody else has written it meanwhile
        _give_name(passing, path, force, option)
    except OSError as error:
        raise ValueError(_refused(path, option, error)) from None
    finally:
        with contextlib.suppress(OSError):
            os.unlink(passing)


class Guarded:
    """A file for `torch.save`, which takes all that is written, and raises the first error in `flush`.

    An error in the middle would abort the process with torch 1.13, and newer ones put errors of their own before it.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._error: BaseException | None = None

    def write(self, data: Any) -> int:
        """Write the data; after an error, take them and do nothing."""
        if self._error is None:
            try:
                return self._file.write(data)
            except BaseException as error:  # Ctrl-C, too
                self._error = error
        return memoryview(data).nbytes

    def flush(self) -> None:
        """Raise the first error, if there was one."""
        if self._error is not None:
            raise self._error
        self._file.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def passing_name(folder: str, name: str) -> str:
    """Return a new name in `folder`, hidden, for what is to be called `name`."""
    return os.path.join(folder, f".{name}.{secrets.token_hex(4)}.tmp")


def remove_leftovers(folder: str, name: str) -> None:
    """Remove what had a `passing_name` for a day: its process was killed. Nobody takes that long between two writes."""
    pattern = re.compile(rf"\.{re.escape(name)}\.[0-9a-z_]{{8}}\.tmp")
    with contextlib.suppress(OSError), os.scandir(folder or ".") as entries:
        for entry in filter(lambda entry: pattern.fullmatch(entry.name), entries):
            with contextlib.suppress(OSError):
                found = entry.stat(follow_symlinks=False)
                if found.st_uid == os.geteuid() and time.time() - found.st_mtime > A_DAY:
                    remove = shutil.rmtree if stat.S_ISDIR(found.st_mode) else os.unlink
                    remove(entry.path)


def is_read_only(path: str) -> bool:
    """Whether a file is protected: root may write to any, and who may write to its folder may replace it."""
    return not os.access(path, os.W_OK) or not os.stat(path).st_mode & 0o222


def _give_name(passing: str, path: str, force: bool, option: str) -> None:
    """Rename a file; another of the name `path` is replaced with `force` only, even one that appears right now."""
    if force:
        with contextlib.suppress(FileNotFoundError):
            os.chmod(passing, stat.S_IMODE(os.stat(path).st_mode))
        os.replace(passing, path)
        return
    try:
        _link(passing, path)
    except FileExistsError:
        raise ValueError(_exists(path, option)) from None


def _link(source: str, path: str) -> None:
    """Give a file a new name, or raise FileExistsError."""
    try:
        os.link(source, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
        os.replace(source, path)


def _refused(path: str, option: str, error: OSError) -> str:
    return f"`{option}` must be a file that can be written, but {path} can't: {error.strerror or error}."


def _exists(path: str, option: str) -> str:
    return f"`{option}` must be a new file, but {path} exists; --force replaces it."
