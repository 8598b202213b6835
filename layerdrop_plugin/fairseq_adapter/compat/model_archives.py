"""`from_pretrained("model.tar.gz")` may write anywhere, and leaves a folder in the place of the archive.

fairseq 0.12.2 unpacks an entry such as `../../.bashrc` to the place that its name gives. It then replaces the archive
by a folder of its contents. That is meant for a download in the cache, but it happens to the user's own file, too. Here
entries stay in the folder that they are unpacked into, and only a download is replaced.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tarfile
import tempfile
from typing import Any

from ..errors.one_line import one_line
from ..hooks import wrap
from ..reading.archive import DENSEST


def needed() -> str | None:
    """Return the reason, which holds for every version: there is nothing to probe for."""
    return "fairseq unpacks archives of models wherever their entries' names lead, and deletes them"


def apply() -> None:
    """Unpack archives into a temporary folder, after a check of each entry."""
    from fairseq import file_utils

    wrap(file_utils, "load_archive_file", _load_archive_file)


def _load_archive_file(original: Any, archive_file: Any) -> Any:
    from fairseq import file_utils

    try:
        path = str(file_utils.cached_path(archive_file, cache_dir=None))
    except OSError:
        return original(archive_file)  # which says so
    if os.path.isdir(path):
        return original(archive_file)
    folder = tempfile.mkdtemp(prefix="layerdrop_plugin.")
    try:
        with one_line():
            model = unpacked(path, folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    if path == str(archive_file):
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        return model
    os.remove(path)
    shutil.move(model, path)
    shutil.rmtree(folder, ignore_errors=True)
    return path


def unpacked(path: str, folder: str) -> str:
    """Unpack a tar archive into an empty folder; return the model's folder.

    Raises:
        ValueError: one line: it is no archive, or an entry would lead out of the folder; then nothing is unpacked.
    """
    try:
        with tarfile.open(path, tarinfo=_measured(path)) as archive:
            for entry in archive:
                _check(entry, path)
            if hasattr(tarfile, "data_filter"):
                archive.extraction_filter = tarfile.data_filter
            archive.extractall(folder)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ValueError(f"a model must be a folder or a tar archive, but {path} is neither: {error}.") from None
    entries = [os.path.join(folder, name) for name in os.listdir(folder)]
    return entries[0] if len(entries) == 1 and os.path.isdir(entries[0]) else folder


def _measured(path: str) -> type[tarfile.TarInfo]:
    """Return a class of entries that raises an error before their total size becomes too large."""
    allowed = DENSEST * os.path.getsize(path)

    class Measured(tarfile.TarInfo):
        left = allowed

        @classmethod
        def frombuf(cls, *args: Any) -> tarfile.TarInfo:  # type: ignore[override]
            entry = super().frombuf(*args)
            Measured.left -= entry.size  # also that of a long name, which is read at once
            if Measured.left < 0:
                raise ValueError(
                    f"an archive of a model must become no more than {DENSEST} times its size, "
                    f"but {path} has more than {allowed:,} bytes."
                )
            return entry

    return Measured


def _check(entry: tarfile.TarInfo, path: str) -> None:
    is_link = entry.issym() or entry.islnk()
    links_are_checked = hasattr(tarfile, "data_filter")  # as they are unpacked: Python 3.12, and updates of older ones
    if not (entry.isfile() or entry.isdir() or (is_link and links_are_checked)):
        raise ValueError(f"an archive of a model must hold files and folders only, but {path} holds {entry.name!r}.")
    if os.path.isabs(entry.name) or ".." in entry.name.split("/"):
        raise ValueError(f"an archive's entries must lie inside it, but {path} holds {entry.name!r}.")
