"""Which fairseq is installed, for tests of what differs between them."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

try:
    FAIRSEQ_FIXED = bool(version("fairseq-fixed"))
except PackageNotFoundError:
    FAIRSEQ_FIXED = False
"""fairseq-fixed, which is close to fairseq's main branch, in place of fairseq 0.12.2."""
