"""Hostile checkpoints meet all commands, in forks of this process: the rows of the table take turns.

What the line says is tested where checkpoints are read. Here the judge of scripts/fuzz.py looks at everything else.
"""

from __future__ import annotations

import itertools
import os
import shutil
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
from fuzzing import commands, forking, judging, subjects  # noqa: E402
from shared.hostile_files import FILES  # noqa: E402
from shared.hostile_states import FOR_MODELS, STATES  # noqa: E402

LINES = [line for line in commands.lines(subjects.training_options()) if line.subject == "transformer"]


def state_of(damage):
    """Return a function that writes a file with a damaged state."""

    def write(path, state):
        damage(state)
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(50_000)  # to write what is nested deep
        torch.save(state, path)
        sys.setrecursionlimit(limit)

    return write


ROWS = [
    *((name, state_of(damage)) for name, damage, _ in (*STATES, *FOR_MODELS)),
    *((name, write) for name, write, _ in FILES),
]
CASES = list(zip(ROWS, itertools.cycle(LINES)))
"""Each line comes to its turn several times."""


@pytest.fixture(scope="module")
def functions():
    return commands.load()


def furnish(folder, full, data):
    """Write into a folder all that the lines name; return the folders that a command must leave as they are."""
    os.symlink(full["transformer"], folder / "good.pt")
    os.symlink(data["transformer"], folder / "pairs")
    return [str(folder), str(full["transformer"].parent), str(data["transformer"])]


def attempt(line, functions, folder, watched):
    before = judging.files_in(*watched)
    outcome = forking.run(functions[line.command], [line.command, *line.argv], str(folder), line.stdin)
    after = judging.files_in(*watched)
    return outcome, judging.faults(line.command, outcome, line.wanted, before, after, str(folder))


@pytest.mark.parametrize(
    ("write", "line"),
    [(write, line) for (_, write), line in CASES],
    ids=[f"{name}: {line.command}" for (name, _), line in CASES],
)
def test_a_command_is_not_confused(write, line, functions, full, data, tmp_path):
    write(tmp_path / "checkpoint.pt", torch.load(full["transformer"], weights_only=False))
    assert attempt(line, functions, tmp_path, furnish(tmp_path, full, data))[1] == []


@pytest.mark.parametrize("line", LINES, ids=[f"{i} {line.command}" for i, line in enumerate(LINES)])
def test_a_good_file_is_taken(line, functions, full, data, tmp_path):
    if line.command == "layerdrop-export":
        pytest.importorskip("ctranslate2")
    shutil.copy(full["transformer"], tmp_path / "checkpoint.pt")
    outcome, faults = attempt(line, functions, tmp_path, furnish(tmp_path, full, data))
    assert (outcome.status, faults) == (0, [])
