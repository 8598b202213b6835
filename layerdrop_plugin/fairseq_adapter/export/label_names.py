"""The names of a classification head's classes, from the data that it was trained on."""

from __future__ import annotations

import os
from argparse import Namespace

FILE = os.path.join("label", "dict.txt")


def of(options: Namespace, classes: int, data: str | None) -> list[str] | None:
    """Return the name of each class; None where nobody knows them.

    Args:
        options: of the model's task, which name the data that it was trained on.
        data: the folder of the data, if it is no longer there.

    Raises:
        ValueError: one line: `data` holds no names of so many classes.
    """
    folder = data if data is not None else str(getattr(options, "data", None) or "").partition(os.pathsep)[0]
    path = os.path.join(folder, FILE)
    names = _first_words(path) if os.path.isfile(path) else []
    if len(names) < classes or len(set(names[:classes])) < classes:
        if data is not None:
            found = f"{path} has {len(names)}" if names else f"there is no {path}"
            raise ValueError(f"`--data` must hold {FILE} with a name for each of {classes} classes, but {found}.")
        return None
    return names[:classes]


def _first_words(path: str) -> list[str]:
    """Return what fairseq's dictionary counts: the words, each before its number of occurrences."""
    try:
        with open(path, encoding="utf-8") as file:
            lines = [line.rstrip("\n").rsplit(" ", 1)[0] for line in file]
    except (OSError, UnicodeDecodeError):
        return []
    return [line for line in lines if line]
