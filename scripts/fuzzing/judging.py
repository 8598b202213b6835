"""Decide whether a command handled what it was given: the one judge of scripts/fuzz.py and of the tests' tables."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import NamedTuple

from .forking import Outcome

MEMORY = 1_500_000_000
LINE = 1_200  # characters of an error: values and torch's texts are cut
ENDS = (0, 2)

HYDRA = "Set the environment variable HYDRA_FULL_ERROR=1 for a complete stack trace."
"""Ends what Hydra says of an override that it can't take: with status 1, before it calls fairseq."""

Files = dict[str, tuple[int, ...]]


class Wanted(NamedTuple):
    """What a command must show and may leave where it ends well.

    Attributes:
        shows: a pattern that what it prints must have.
        writes: paths of which each must be there at the end, in the working directory.
        may_write: others that may be there; that of a folder stands for all that is in it if it ends with a slash.
        may_leave: those that may be there where it ends with an error.
    """

    shows: str = r"\S"
    writes: frozenset[str] = frozenset()
    may_write: frozenset[str] = frozenset()
    may_leave: frozenset[str] = frozenset()


def files_in(*folders: str) -> Files:
    """Return what tells each file in these folders from a changed one, by its path; folders themselves too."""
    found: Files = {}
    waiting = list(folders)
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                state = entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    found[entry.path] = (state.st_ino,)
                    waiting.append(entry.path)
                else:
                    found[entry.path] = (state.st_ino, state.st_size, state.st_mtime_ns, state.st_mode)
    return found


def faults(prog: str, outcome: Outcome, wanted: Wanted, before: Files, after: Files, folder: str) -> list[str]:
    """Return what a command did that no command may do; nothing where all is well.

    Args:
        prog: the command's name, with which its errors begin.
        before, after: `files_in` all folders that it might change.
        folder: its working directory.
    """
    found = list(_ending(outcome))
    if outcome.status == 2:
        found += _error(prog, outcome)
    found += _text(outcome)
    if outcome.status == 0:
        found += _nothing_done(outcome, wanted, after, folder)
    allowed = wanted.may_write | wanted.writes if outcome.status == 0 else wanted.may_leave
    found += _files(before, after, [os.path.join(folder, path) for path in allowed])
    return found


def _ending(outcome: Outcome) -> Iterable[str]:
    if outcome.status is None:
        yield f"timeout: killed after {outcome.seconds:.0f} s"
    elif outcome.status < 0:
        yield f"killed by signal {-outcome.status}"
    elif outcome.status not in ENDS and not _refused_by_hydra(outcome):
        yield f"status {outcome.status}"
    if "Traceback (most recent call last)" in outcome.out + outcome.err:
        yield f"traceback: {_last_line(outcome.err)}"
    if outcome.peak > MEMORY:
        yield f"memory: {outcome.peak / 1e9:.1f} GB"


def _refused_by_hydra(outcome: Outcome) -> bool:
    """Return whether Hydra itself refused the command line, in its own way."""
    text = outcome.err.strip()
    return outcome.status == 1 and text.endswith(HYDRA) and "Error executing job" not in text


def _error(prog: str, outcome: Outcome) -> Iterable[str]:
    """An error is one line; argparse's usage may stand before it, and warnings of the command's own."""
    text = re.sub(rf"\Ausage: .*?(?=^{re.escape(prog)}: error: )", "", outcome.err, flags=re.DOTALL | re.MULTILINE)
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith(f"{prog}: warning: ")]
    if not lines:
        yield "status 2 without an error"
    elif not lines[-1].startswith(f"{prog}: error: "):
        yield f"no error of {prog}'s: {lines[-1][:200]}"
    elif len(lines) > 1:
        yield f"{len(lines)} lines for an error: {lines[0][:100]} ... {lines[-1][:200]}"
    elif len(lines[0]) > LINE:
        yield f"an error of {len(lines[0])} characters: {lines[0][:300]}"


def _text(outcome: Outcome) -> Iterable[str]:
    for name, text in (("standard output", outcome.out), ("standard error", outcome.err)):
        match = re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x9f]", text)
        if match:
            yield f"control character {match[0]!r} on {name}: {text[max(0, match.start() - 60) : match.end() + 60]!r}"


def _nothing_done(outcome: Outcome, wanted: Wanted, after: Files, folder: str) -> Iterable[str]:
    if not re.search(wanted.shows, outcome.out + outcome.err):
        yield f"status 0 with nothing done: {wanted.shows!r} is not printed"
    for path in sorted(wanted.writes):
        if os.path.normpath(os.path.join(folder, path)) not in after:
            yield f"status 0 with nothing done: {path} is not there"


def _files(before: Files, after: Files, allowed: list[str]) -> Iterable[str]:
    def is_allowed(path: str) -> bool:
        return any(f"{path}/".startswith(place) if place.endswith("/") else path == place for place in allowed)

    for path in sorted({*before, *after}):
        if before.get(path) == after.get(path) or is_allowed(path):
            continue
        what = "left behind" if path not in before else "removed" if path not in after else "changed"
        yield f"{what}: {path}"


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1][:300] if lines else ""
