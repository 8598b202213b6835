"""Write a file atomically: to a temporary name in the same folder, renamed on success."""

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


def check_file(path: str, force: bool = False, option: str = "--output") -> None:
    """Refuse a path where no file can be written. Call this before long work.

    Args:
        force: whether a file that exists may be replaced.
        option: where the path was given, for errors.

    Raises:
        ValueError: one line: the folder is missing or can't be written, the path is no file, or a file exists.
    """
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise ValueError(f"`{option}` must be in a folder that exists, but is {path!r} instead.")
    exists = os.path.lexists(path)
    if not os.path.basename(path) or (exists and not os.path.isfile(path)):  # renaming would remove a device
        raise ValueError(f"`{option}` must name a file, no folder or device, but is {path!r} instead.")
    try:
        os.lstat(temporary_name(folder, os.path.basename(path)))
    except FileNotFoundError:
        pass
    except OSError as error:  # a name that is too long
        raise ValueError(
            f"`{option}` must be a file that can be written, but {path} can't be: {error.strerror}."
        ) from None
    if exists and not force:
        raise ValueError(_exists(path, option))
    if exists and is_read_only(path):
        raise ValueError(f"`{option}` must be a file that can be written, but {path} is read-only.")
    if not os.access(folder, os.W_OK):
        raise ValueError(f"`{option}` must be in a folder that can be written, but is {path!r} instead.")


@contextlib.contextmanager
def write_file(path: str, force: bool = False, option: str = "--output") -> Iterator[BinaryIO]:
    """Yield a file to write to. It gets the name `path` when the context ends well, and is removed otherwise.

    The new file takes the permissions of the one that it replaces. A process that is killed leaves the old file as
    it was, and may leave a file `.NAME.*.tmp`. A later call removes that file when it is a day old.

    Raises:
        ValueError: as `check_file`; or the system refuses, because the disk is full, for example.
    """
    check_file(path, force, option)
    folder, name = os.path.split(path)
    remove_leftovers(folder, name)
    temporary = temporary_name(folder, name)
    try:
        with open(temporary, "xb") as file:  # with the permissions of the umask, which `tempfile` ignores
            delaying = DelayedErrors(file)
            yield cast(BinaryIO, delaying)
            delaying.flush()
            os.fsync(file.fileno())
        check_file(path, force, option)  # nobody else has written it meanwhile
        _rename(temporary, path, force, option)
    except OSError as error:
        raise ValueError(_not_written(path, option, error)) from None
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)


class DelayedErrors:
    """A file for `torch.save` that raises the first error of a `write` only in `flush`.

    With torch 1.13, an error in `write` would abort the process; newer versions hide it behind errors of their own.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._error: BaseException | None = None

    def write(self, data: Any) -> int:
        """Write the data; after an error, do nothing."""
        if self._error is None:
            try:
                return self._file.write(data)
            except BaseException as error:  # Ctrl-C, too
                self._error = error
        return memoryview(data).nbytes

    def flush(self) -> None:
        """Raise the first error of `write`, if there was one; else flush the file."""
        if self._error is not None:
            raise self._error
        self._file.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def temporary_name(folder: str, name: str) -> str:
    """Return the path of a new hidden file in `folder`, for what will be called `name`."""
    return os.path.join(folder, f".{name}.{secrets.token_hex(4)}.tmp")


def remove_leftovers(folder: str, name: str) -> None:
    """Remove what has had a temporary name for a day: the process that wrote it was killed.

    No process takes a day between two writes.
    """
    pattern = re.compile(rf"\.{re.escape(name)}\.[0-9a-z_]{{8}}\.tmp")
    with contextlib.suppress(OSError), os.scandir(folder or ".") as entries:
        for entry in filter(lambda entry: pattern.fullmatch(entry.name), entries):
            with contextlib.suppress(OSError):
                status = entry.stat(follow_symlinks=False)
                if status.st_uid == os.geteuid() and time.time() - status.st_mtime > A_DAY:
                    remove = shutil.rmtree if stat.S_ISDIR(status.st_mode) else os.unlink
                    remove(entry.path)


def is_read_only(path: str) -> bool:
    """Return whether a file is write-protected.

    The mode is checked too: root may write to any file, and whoever may write to the folder may replace the file.
    """
    return not os.access(path, os.W_OK) or not os.stat(path).st_mode & 0o222


def _rename(temporary: str, path: str, force: bool, option: str) -> None:
    """Rename a file. Without `force`, a file at `path` is never replaced, even if it appeared just now."""
    if force:
        with contextlib.suppress(FileNotFoundError):
            os.chmod(temporary, stat.S_IMODE(os.stat(path).st_mode))
        os.replace(temporary, path)
        return
    try:
        _link(temporary, path)
    except FileExistsError:
        raise ValueError(_exists(path, option)) from None


def _link(source: str, path: str) -> None:
    """Rename a file, or raise FileExistsError."""
    try:
        os.link(source, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
        os.replace(source, path)


def _not_written(path: str, option: str, error: OSError) -> str:
    return f"`{option}` must be a file that can be written, but {path} can't be: {error.strerror or error}."


def _exists(path: str, option: str) -> str:
    return f"`{option}` must be a new file, but {path} exists; --force replaces it."
