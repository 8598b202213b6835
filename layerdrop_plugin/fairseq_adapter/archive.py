"""Look into a checkpoint's file before any of it is unpickled: how large it gets, which objects it names."""

import mmap
import os
import struct
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from typing import Any, Dict, FrozenSet, Set, Tuple

from .errors import Malformed

LARGEST = 16 * 2**20
"""Bytes of a file's pickle, which holds all but the numbers of tensors; a large file may have 1/8 of its size."""

BYTES_PER_OPERATION = 4
"""At least, over a whole pickle. An operation of one byte may make an object of 64."""

ARGUMENTS: Dict[int, int] = {
    **dict.fromkeys(b"\x81Rbaesu(t\x85\x86\x87N\x89\x88)]}\x8fQ", 0),
    **dict.fromkeys(b"\x80KhqU\x8a", 1),
    ord("M"): 2,
    **dict.fromkeys(b"JjrXT\x8b", 4),
    ord("G"): 8,
}
"""How many bytes follow each operation that torch.save writes, GLOBAL and STOP left out: pickle's protocol 2."""

LENGTHS = {**dict.fromkeys(b"U\x8a", "<B"), **dict.fromkeys(b"XT\x8b", "<I")}
"""Operations whose argument is a length, of a string or of a long number that follows."""

GLOBAL, LONG_BINPUT, PROTO, STOP = b"cr\x80."
LONGEST_NAME = 1000
LEGACY_PICKLES = 5  # magic number, version, system, content, keys of the tensors' memory, which follows


class NoArchive(Exception):
    """Not even the file's form is that of torch.save."""


def objects_in(path: str) -> FrozenSet[str]:
    """Return the objects that a file of torch.save's names, as `module.name`; nothing is unpickled.

    Raises:
        Malformed: its pickle is larger than that of any checkpoint.
        Exception: NoArchive, or what reading ends with in bytes that torch.save did not write.
    """
    size = os.path.getsize(path)
    allowed = max(LARGEST, size // 8)
    with open(path, "rb") as file:
        if file.read(4) == b"PK\x03\x04":  # torch's format since 1.6
            return _scan(_pickle_of(path, file, allowed), 1, allowed)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return _scan(content, LEGACY_PICKLES, allowed)


def _pickle_of(path: str, file: Any, allowed: int) -> bytes:
    with zipfile.ZipFile(path) as archive:
        records = archive.infolist()
    names = [record.filename.partition("/")[2] for record in records]
    if names.count("data.pkl") != 1 or "constants.pkl" in names:  # which a TorchScript program has
        raise NoArchive
    record = records[names.index("data.pkl")]
    if any(r.compress_type != zipfile.ZIP_STORED for r in records):
        raise Malformed("is compressed, as torch.save leaves none")
    if record.file_size > allowed:
        raise Malformed(f"has {record.file_size:,} bytes beside its tensors, which must be no more than {allowed:,}")
    file.seek(record.header_offset + 26)
    name, extra = struct.unpack("<HH", file.read(4))
    file.seek(name + extra, os.SEEK_CUR)
    found: bytes = file.read(record.file_size)
    return found


def _scan(content: Any, pickles: int, allowed: int) -> FrozenSet[str]:
    found: Set[str] = set()
    at = 0
    for _ in range(pickles):
        at = _scan_pickle(content, at, allowed, found)
    return frozenset(found)


def _scan_pickle(content: Any, at: int, allowed: int, found: Set[str]) -> int:
    """Note the objects that the pickle which begins at a place names; return where it ends."""
    end, operations = at + allowed, allowed // BYTES_PER_OPERATION
    for number in range(operations):
        operation = content[at]
        at += 1
        if operation == STOP:
            return at
        if operation == GLOBAL:
            at, name = _name(content, at)
            found.add(name)
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


def _name(content: Any, at: int) -> Tuple[int, str]:
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
