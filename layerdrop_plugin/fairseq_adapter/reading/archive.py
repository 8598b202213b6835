"""Look into a checkpoint's file before it is unpickled: how large its content is, and which objects it names."""

from __future__ import annotations

import mmap
import os
import re
import struct
import tarfile
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple

from ..errors.one_line import Malformed

LARGEST = 16 * 2**20
"""The most bytes of a file's pickle, which holds all but the numbers of tensors; in a large file, 1/8 of its size."""

BYTES_PER_OPERATION = 4
"""The least average in a pickle. An operation of one byte may make an object of 64 bytes."""

ARGUMENTS: dict[int, int] = {
    **dict.fromkeys(b"\x81Rbaesu(t\x85\x86\x87N\x89\x88)]}\x8fQ", 0),
    **dict.fromkeys(b"\x80KhqU\x8a", 1),
    ord("M"): 2,
    **dict.fromkeys(b"JjrXT", 4),
    ord("G"): 8,
}
"""How many bytes follow each operation that torch.save writes, GLOBAL and STOP left out: pickle's protocol 2.

No checkpoint has whole numbers of more than 255 bytes (LONG4): Python 3.9 would take hours to say one in digits.
"""

LENGTHS = {**dict.fromkeys(b"U\x8a", "<B"), **dict.fromkeys(b"XT", "<I")}
"""Operations whose argument is a length, of a string or of a long number that follows."""

GLOBAL, LONG_BINPUT, PROTO, STOP = b"cr\x80."
LONGEST_NAME = 1000
LEGACY_PICKLES = 5  # magic number, version, system, content, keys of the tensors' memory, which follows


PART = re.compile(
    r"data\.pkl|data/\d+|version|byteorder|\.format_version|\.storage_alignment|\.data/serialization_id|(data/)?"
)
"""What torch.save writes into a zip archive, below the archive's own folder; and folders, which other tools add."""

DENSEST = 16
"""How many bytes one byte of a compressed archive may become. Numbers of a trained model hardly shrink."""


class NoArchive(Exception):
    """Raised for a file that torch.save did not write."""


class Content(NamedTuple):
    """What a file contains.

    Attributes:
        objects: those that it names, as `module.name`.
        tensor_bytes: how many bytes there are for the numbers of tensors.
        rest_bytes: how many there are for all else.
        stored: whether they lie in the file as they are, not compressed.
        sizes: of the tensors' memory, in bytes, by name; None in the format before torch 1.6.
    """

    objects: frozenset[str]
    tensor_bytes: int
    rest_bytes: int
    stored: bool = True
    sizes: Mapping[str, int] | None = None


def content_of(path: str) -> Content:
    """Return the content of a file that torch.save wrote; nothing is unpickled.

    Raises:
        Malformed: its pickle is larger than that of any checkpoint, or it holds what is no part of a checkpoint.
        Exception: NoArchive, or what reading ends with in bytes that torch.save did not write.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        if file.read(4) == b"PK\x03\x04":  # torch's format since 1.6
            return _content_of_zip(path, file, size)
        if _is_tar(path):  # torch's format before 0.2, before fairseq's first checkpoint
            raise NoArchive
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return Content(_scan(content, LEGACY_PICKLES, _allowed(size)), size, size)


def _is_tar(path: str) -> bool:
    """Return whether torch would take this for an archive of tar, which it does not look for in compressed files."""
    try:
        tarfile.open(path, "r:").close()
    except tarfile.TarError:
        return False
    return True


def _allowed(size: int) -> int:
    return max(LARGEST, size // 8)


def _content_of_zip(path: str, file: BinaryIO, size: int) -> Content:
    with zipfile.ZipFile(path) as archive:
        records = archive.infolist()
        parts = {record.filename.partition("/")[2]: record for record in records}
        _check_parts(parts, records)
        whole = sum(record.file_size for record in records)
        if whole > DENSEST * size:
            raise Malformed(f"has {whole:,} bytes, which is more than {DENSEST} times its size")
        record = parts["data.pkl"]
        if record.file_size > _allowed(whole):
            much = f"{record.file_size:,} bytes beside its tensors, which must be no more than {_allowed(whole):,}"
            raise Malformed(f"has {much}")
        is_stored = record.compress_type == zipfile.ZIP_STORED
        content = _stored(file, record) if is_stored else archive.read(record)
    sizes = {name[len("data/") :]: record.file_size for name, record in parts.items() if name.startswith("data/")}
    return Content(
        _scan(content, 1, _allowed(whole)),
        sum(sizes.values()),
        record.file_size,
        all(record.compress_type == zipfile.ZIP_STORED for record in records),
        sizes,
    )


def _check_parts(parts: Mapping[str, zipfile.ZipInfo], records: Sequence[zipfile.ZipInfo]) -> None:
    """Refuse an archive that is no checkpoint's, before torch looks at it: a program of TorchScript runs as it loads.

    Each reader of zip archives has its own idea of unusual ones; so names are in one folder, and each is there once.
    """
    if "constants.pkl" in parts or any(name.startswith("code/") for name in parts):
        raise Malformed("is a program of TorchScript")
    foreign = [name for name in parts if not PART.fullmatch(name)]
    if foreign:
        raise Malformed(f"has {min(foreign)!r} in its archive, which torch.save does not write")
    folders = {record.filename.partition("/")[0] for record in records}
    if "data.pkl" not in parts or len(parts) < len(records) or len(folders) > 1:
        raise NoArchive


def _stored(file: BinaryIO, record: zipfile.ZipInfo) -> bytes:
    file.seek(record.header_offset + 26)
    name, extra = struct.unpack("<HH", file.read(4))
    file.seek(name + extra, os.SEEK_CUR)
    return file.read(record.file_size)


def _scan(content: Any, pickles: int, allowed: int) -> frozenset[str]:
    objects: set[str] = set()
    at = 0
    for _ in range(pickles):
        at = _scan_pickle(content, at, allowed, objects)
    return frozenset(objects)


def _scan_pickle(content: Any, at: int, allowed: int, objects: set[str]) -> int:
    """Note the objects that the pickle which begins at a place names; return where it ends."""
    end, operations = at + allowed, allowed // BYTES_PER_OPERATION
    for number in range(operations):
        operation = content[at]
        at += 1
        if operation == STOP:
            return at
        if operation == GLOBAL:
            at, name = _name(content, at)
            objects.add(name)
            continue
        if operation == PROTO and content[at] != 2:
            raise Malformed(f"is in protocol {content[at]} of pickle, which must be 2, as torch.save has it")
        argument = ARGUMENTS[operation]
        if operation in LENGTHS:
            argument += struct.unpack_from(LENGTHS[operation], content, at)[0]
        elif operation == LONG_BINPUT and struct.unpack_from("<I", content, at)[0] > number:
            raise NoArchive  # pickle would make room for so many
        at += argument
        if at > end:
            break
    raise Malformed(f"has beside its tensors more than {operations:,} values, or than {allowed:,} bytes")


def _name(content: Any, at: int) -> tuple[int, str]:
    """Return where a GLOBAL's two lines end, and the object's name."""
    middle = content.find(b"\n", at, at + LONGEST_NAME)
    end = content.find(b"\n", middle + 1, at + LONGEST_NAME)
    if middle < 0 or end < 0:
        raise NoArchive
    return end + 1, renamed(content[at:middle].decode(), content[middle + 1 : end].decode())


def renamed(module: str, name: str) -> str:
    """Return the name in Python 3 of an object that pickle's protocol 2 names as in Python 2.

    >>> renamed("__builtin__", "xrange")
    'builtins.range'
    """
    module, name = NAME_MAPPING.get((module, name), (module, name))
    return f"{IMPORT_MAPPING.get(module, module)}.{name}"
