"""layerdrop-search in the tests: its arguments, its output, and what it writes."""

from __future__ import annotations

import json
from typing import NamedTuple

import pytest

from layerdrop_plugin.cli import search as command_line

SLOW = ["--keep", 2, "--cpu", "--batch-size", 1, "--required-batch-size-multiple", 1]  # 36 sets, 24 batches


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def arguments(full, data):
    """A function from a family to the first arguments of a search that is quick."""
    return lambda family: [data[family], "--path", full[family], "--keep", 2, "--cpu"]


def inside(capsys, *argv, status=None):
    """Run the command in this process; return what it writes."""
    ended = None
    try:
        command_line.main([str(word) for word in argv])
    except SystemExit as end:
        ended = end.code
    written = capsys.readouterr()
    assert ended == status, written
    return written


def read(path):
    with open(path) as file:
        return json.load(file)


def without_cost(found):
    """The result but for the time it took and what an interruption makes run again."""
    return {**found, "cost": {**found["cost"], "seconds": None, "layer_evaluations": None}}


def table_of(output):
    """The rows of the first table: rank and specifications, then numbers."""
    lines = output.splitlines()
    end = next(i for i, line in enumerate(lines) if " layer evaluations (" in line)
    return [line.split() for line in lines[1:end]]


class Written(NamedTuple):
    """What a process wrote."""

    stdout: str
    stderr: str


@pytest.fixture(scope="session")
def translation(full, data, command, made_once):
    """A search of both stacks by the real command: what it wrote, and the folder with its files."""

    def search(folder):
        argv = [data["transformer"], "--path", full["transformer"], *SLOW, "--strategy", "exhaustive"]
        argv += ["--report-subset", "test", "--json", "found.json", "--csv", "found.csv"]
        (folder / "files").mkdir()
        done = command("layerdrop-search", *argv, "--report", "found.html", cwd=folder / "files")
        for name in Written._fields:
            (folder / name).write_text(getattr(done, name), encoding="utf-8")

    folder = made_once("search", search)
    return Written(*((folder / name).read_text(encoding="utf-8") for name in Written._fields)), folder / "files"
