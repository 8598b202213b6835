"""What every recipe promises: the scores at each depth, nothing done twice, the paper's settings in a dry run.

A file of a recipe's tests imports all that is here, and says as `PROMISED` what the tests must find.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest

__all__ = [
    *("Promise", "promised", "out", "first"),
    *("test_it_ends_with_the_scores_at_each_depth", "test_a_second_run_finds_everything_there"),
    *("test_it_prints_the_papers_settings", "test_depths_are_trained_in_place_of_a_rate"),
]


class Promise(NamedTuple):
    """What one recipe promises."""

    recipe: str
    stages: tuple[str, ...]
    """In their order."""
    header: str
    """The first line of the table."""
    depths: tuple[str, ...]
    """The first cell of each row."""
    train: tuple[str, ...]
    """What the one command that trains the model has, as a dry run prints it."""
    options: tuple[str, ...] = ()
    """What is in the other commands."""
    parameters: tuple[int, ...] = ()
    """What each row has less of than the row above it, as the second cell says."""
    settings: dict[str, str] = {}
    dry_run: dict[str, str] = {"GPUS": "8"}


@pytest.fixture(scope="module")
def promised(request):
    return request.module.PROMISED


@pytest.fixture(scope="module")
def out(promised, tmp_path_factory):
    return tmp_path_factory.mktemp(f"a {promised.recipe}")  # a name with a space


@pytest.fixture(scope="module")
def first(promised, recipe, out):
    return recipe(promised.recipe, out, **promised.settings)


def test_it_ends_with_the_scores_at_each_depth(promised, first, out):
    lines = first.stdout.splitlines()
    assert lines[0] == promised.header
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:] if line.startswith("|")]
    assert [row[0] for row in rows] == list(promised.depths)
    if promised.parameters:
        counts = [int(row[1].replace(",", "")) for row in rows]
        assert [more - less for more, less in zip(counts, counts[1:])] == list(promised.parameters)
    assert first.stdout == (out / "scores.txt").read_text()


def test_a_second_run_finds_everything_there(promised, first, recipe, out):
    again = recipe(promised.recipe, out, **promised.settings)
    assert again.stderr.splitlines() == [f"{promised.recipe}: {stage}: there already" for stage in promised.stages]
    assert again.stdout == first.stdout


def test_it_prints_the_papers_settings(promised, recipe, tmp_path):
    new = tmp_path / "new"
    printed = recipe(promised.recipe, new, DRY_RUN="1", TINY="", **promised.dry_run).stdout
    (train,) = (ln for ln in printed.splitlines() if ln.startswith("fairseq-train") and "--finetune-from" not in ln)
    assert [option for option in promised.train if option not in train] == []
    assert [option for option in promised.options if option not in printed] == []
    assert "--layerdrop-depths" not in printed
    assert not new.exists()


def test_depths_are_trained_in_place_of_a_rate(promised, recipe, tmp_path):
    settings = {**promised.dry_run, "TRAIN_DEPTHS": "3,2"}
    printed = recipe(promised.recipe, tmp_path / "new", DRY_RUN="1", TINY="", **settings).stdout
    (train,) = (ln for ln in printed.splitlines() if ln.startswith("fairseq-train") and "--finetune-from" not in ln)
    assert re.findall(r"--layerdrop-depths (\S+)|--\w+-layerdrop (\S+)", train) == [
        *[("", "0")] * train.count("coder-layerdrop "),
        ("3,2", ""),
    ]
