"""Messages for a person: one line, without control characters, without values or lists of several kilobytes."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterable

VALUE, LINE = 200, 1000
"""The most characters of a value, and of a line."""

FEW = 12
"""At most this many names are listed one by one."""

QUOTED = re.compile(r"""(?<!\w)(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")(?!\w)""")
CHOICES = re.compile(r"invalid choice: (.+?) \(choose from (.*)\)", re.DOTALL)  # as argparse says it


def one_line(text: str) -> str:
    r"""Return a message as one line; each long value in it, quoted or a word, is cut in the middle.

    >>> one_line("`--path` must exist,\n but is '\x1b[2J' instead.")
    "`--path` must exist, but is '\\x1b[2J' instead."
    """
    text = CHOICES.sub(lambda match: _choices(match[1], match[2]), text)
    line = QUOTED.sub(lambda match: cut(match[0]), printable(" ".join(text.split())))
    return cut(" ".join(map(cut, line.split(" "))), LINE)


def printable(text: str) -> str:
    r"""Return text in which control characters, which could move the cursor or change colors, are written as escapes.

    >>> printable("a\x1b[31mb\n")
    'a\\x1b[31mb\\n'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def is_text(value: str) -> bool:
    r"""Return whether an argument was in the system's encoding: Python keeps other bytes as lone surrogates.

    >>> is_text("a"), is_text("\udcff")
    (True, False)
    """
    return not any("\ud800" <= c <= "\udfff" for c in value)


def cut(text: str, most: int = VALUE) -> str:
    """Return text without its middle if it is longer than `most` characters.

    >>> cut("0123456789", 7)
    '01...89'
    """
    if len(text) <= most:
        return text
    half = (most - len("...")) // 2
    return f"{text[:half]}...{text[-half:]}"


def no_fairseq() -> str:
    """Return a sentence for an environment without fairseq; before Python 3.11, the extra does not bring it."""
    way = 'pip install "layerdrop_plugin[fairseq]"'
    if sys.version_info < (3, 11):
        way = 'pip install "pip<24.1" && pip install fairseq==0.12.2 requests'
    return f"fairseq must be installed for this: {way}"


def first_sentence(text: str) -> str:
    r"""Return the first sentence of what a library says, without the period.

    >>> first_sentence("failed finding central directory. This is an internal error.\nframe #0: ...")
    'failed finding central directory'
    """
    first = next(iter(text.strip().splitlines()), "")
    return re.split(r"\.(?:\s|$)", first)[0].strip()


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun.

    >>> counted(1, "batch", "batches"), counted(1512, "layer")
    ('1 batch', '1,512 layers')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def did_you_mean(value: str, names: Iterable[str], most: int = 3, likeness: float = 0.6) -> str:
    """Return the end of a message: the names that are most like a wrong one; empty if there are none.

    Args:
        most: how many names at most.
        likeness: from 0 to 1, how like the wrong one a name must be.

    >>> did_you_mean("transformr", ["transformer", "roberta"])
    "; did you mean 'transformer'?"
    """
    like = difflib.get_close_matches(value[:VALUE], list(names), most, likeness)
    return f"; did you mean {' or '.join(map(repr, like))}?" if like else ""


def _choices(value: str, listed: str) -> str:
    """Return argparse's message about a wrong choice, without the list of names if there are many."""
    names = [name.strip("'") for name in listed.split(", ")]
    if len(names) <= FEW:
        return f"invalid choice: {value} (choose from {', '.join(map(repr, names))})"
    return f"invalid choice: {value} is none of {len(names)} names{did_you_mean(value, names)}"
