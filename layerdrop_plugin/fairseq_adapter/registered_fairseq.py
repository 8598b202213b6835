"""fairseq with our patches and models, for functions that may be called where nobody has imported it yet."""

from __future__ import annotations

from importlib import import_module


def import_fairseq() -> None:
    """Import fairseq, which takes two seconds, by the room that patches it first: `registration`."""
    import_module(".registration", __package__)
