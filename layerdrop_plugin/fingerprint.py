"""What identifies a checkpoint's file, whatever its name."""

from __future__ import annotations

import hashlib


def fingerprint(path: str) -> str:
    """Return the size of a file, and a checksum of all its bytes."""
    content = hashlib.blake2b(digest_size=8)
    with open(path, "rb") as file:
        for part in iter(lambda: file.read(2**20), b""):
            content.update(part)
        return f"{file.tell()}:{content.hexdigest()}"
