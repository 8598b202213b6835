"""layerdrop-search in the tests: its arguments, its output, and what it writes."""

from __future__ import annotations

import json

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


@pytest.fixture(scope="module")
def translation(full, data, command, tmp_path_factory):
    """A search of both stacks by the real command; the finished process, and the folder with its files."""
    folder = tmp_path_factory.mktemp("translation")
    argv = [data["transformer"], "--path", full["transformer"], *SLOW, "--strategy", "exhaustive"]
    argv += ["--report-subset", "test", "--json", "found.json", "--csv", "found.csv"]
    argv += ["--report", "found.html"]
    return command("layerdrop-search", *argv, cwd=folder), folder
