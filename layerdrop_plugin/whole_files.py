"""Write a file whole or not at all: under a passing name beside it, which becomes the file's own at the end."""

import contextlib
import os
import secrets
from typing import BinaryIO, Iterator, Optional


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
    if exists and not force:
        raise ValueError(f"`{option}` must be a new file, but {path} exists; --force replaces it.")
    if not os.access(folder, os.W_OK):
        raise ValueError(f"`{option}` must be in a folder that can be written, but is {path!r} instead.")


@contextlib.contextmanager
def writing(path: str, force: bool = False, option: str = "--output") -> Iterator[BinaryIO]:
    """Give a file to write to; it gets the name `path` when the context ends well, and is removed otherwise.

    Killed at any moment, this leaves what had the name before; then a file `.NAME.*.tmp` may be left.

    Raises:
        ValueError: as `check`; or the system refuses, say because the disk is full.
    """
    check(path, force, option)
    passing = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.{secrets.token_hex(4)}.tmp")
    try:
        with open(passing, "xb") as file:  # unlike those of `tempfile`, with the permissions of the umask
            yield file
            file.flush()
            os.fsync(file.fileno())
        check(path, force, option)  # nobody else has written it meanwhile
        os.replace(passing, path)
    except (OSError, RuntimeError) as error:
        reason = why(error)
        if reason is None:
            raise
        raise ValueError(f"`{option}` must be a file that can be written, but {path} can't: {reason}.") from None
    finally:
        with contextlib.suppress(OSError):
            os.unlink(passing)


def why(error: BaseException) -> Optional[str]:
    """Return why the system let a file not be written, None where it was not the system.

    Closing its archive, `torch.save` puts an error of its own before the first one.
    """
    first = error.__context__ if isinstance(error.__context__, (KeyboardInterrupt, OSError)) else error
    if isinstance(first, KeyboardInterrupt):
        raise first from None
    return first.strerror or str(first) if isinstance(first, OSError) else None
