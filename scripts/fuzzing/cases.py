"""A number becomes a case: a command line, and the checkpoint that it meets."""

from __future__ import annotations

import contextlib
import io
import os
import random
from pathlib import Path
from typing import Callable, NamedTuple

from . import judging, mutate_arguments, mutate_bytes, mutate_state
from .commands import Line
from .forking import Outcome, run
from .judging import Wanted
from .subjects import Subject

KINDS = {"state": 45, "bytes": 20, "arguments": 25, "state and arguments": 10}
SHARES = {"layerdrop": 70, "fairseq": 30}  # percent

DATA = ("pairs", "text", "classes")


class Case(NamedTuple):
    """What is tried.

    Attributes:
        about: what was changed, for people.
        line: the line that worked.
        argv: the changed one, the command's name first.
        content: of checkpoint.pt.
    """

    number: int
    about: str
    line: Line
    argv: list[str]
    content: bytes
    wanted: Wanted


def make(seed: int, number: int, lines: list[Line], subjects: dict[str, Subject]) -> Case:
    """Return a case; for the same seed and number, the same one."""
    draw = random.Random(f"{seed} {number}")
    maker = draw.choices(list(SHARES), list(SHARES.values()))[0]
    command = draw.choice(sorted({line.command for line in lines if line.command.startswith(maker)}))
    line = draw.choice([line for line in lines if line.command == command])
    kind = draw.choices(list(KINDS), list(KINDS.values()))[0]
    subject, argv, about, wanted = subjects[line.subject], line.argv, [], line.wanted
    content = Path(subject.path).read_bytes()
    if "state" in kind:
        content, told = _changed_state(subject, draw)
        about.append(told)
    if kind == "bytes":
        content, told = mutate_bytes.mutate(content, draw)
        about.append(told)
    if "arguments" in kind:
        argv, told = mutate_arguments.mutate(command, argv, draw)
        about.append(told)
        wanted = _wanted(command, argv, wanted)
    return Case(number, f"{kind}: {'; '.join(about)}", line, [command, *argv], content, wanted)


def _changed_state(subject: Subject, draw: random.Random) -> tuple:
    import torch

    while True:
        with contextlib.suppress(Exception):  # what can't be saved is no checkpoint
            state, about = mutate_state.mutate(subject.state, draw)
            file = io.BytesIO()
            torch.save(state, file, _use_new_zipfile_serialization=draw.random() < 0.9)
            return file.getvalue(), about


def _wanted(command: str, argv: list[str], wanted: Wanted) -> Wanted:
    """What a changed command line may do: write where a word of it says."""
    named = {part for word in argv for part in (word, word.partition("=")[2]) if part.strip("./ ")}
    places = {name for part in named for name in (part, part.rstrip("/") + "/")} | {"checkpoints/", "save/"}
    shows = wanted.shows if command.startswith("layerdrop-") and not {"-h", "--help"} & set(argv) else r"\S"
    return Wanted(shows, frozenset(), wanted.may_write | places, wanted.may_leave | {"checkpoints"} | _logs(argv))


def _logs(argv: list[str]) -> frozenset:
    return frozenset(argv[i + 1].rstrip("/") for i, word in enumerate(argv[:-1]) if word == "--save-dir")


def attempt(
    case: Case, folder: Path, subjects: dict[str, Subject], commands: dict[str, Callable[[], object]], seconds: float
) -> tuple[Outcome, list[str]]:
    """Run a case in a new folder; return how it ended, and what is wrong with that."""
    base = Path(subjects[case.line.subject].path).parent
    furnish(folder, case, base)
    watched = [str(base)] if folder.is_relative_to(base) else [str(base), str(folder)]
    before = judging.files_in(*watched)
    outcome = run(commands[case.argv[0]], case.argv, str(folder), case.line.stdin, seconds)
    after = judging.files_in(*watched)
    return outcome, judging.faults(case.argv[0], outcome, case.wanted, before, after, str(folder))


def furnish(folder: Path, case: Case, base: Path) -> None:
    """Write into a folder all that a case's command line may name."""
    folder.mkdir()
    (folder / "checkpoint.pt").write_bytes(case.content)
    (folder / "text.txt").write_text("no checkpoint\n")
    (folder / "empty.pt").touch()
    (folder / "state.json").write_text("[" * 100_000)
    (folder / "sub").mkdir()
    (folder / "canary").mkdir()
    os.symlink(subjects_path(case, base), folder / "good.pt")
    for name in DATA:
        os.symlink(base / name, folder / name)


def subjects_path(case: Case, base: Path) -> Path:
    return base / f"{case.line.subject}.pt"
