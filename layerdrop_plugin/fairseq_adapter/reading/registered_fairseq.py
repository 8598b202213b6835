"""Import fairseq with our patches and models, for functions that may be called before anybody has imported it."""

from __future__ import annotations

from importlib import import_module


def import_fairseq() -> None:
    """Import fairseq, which takes two seconds, through `registration`, which patches it first."""
    import_module("..registration", __package__)
