"""The benchmarks' tiny mode: every table with its rows."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

pytestmark = [pytest.mark.recipe, pytest.mark.slow]

BENCHMARKS = Path(__file__).parents[2] / "scripts" / "benchmarks"


SETTINGS = {"TINY": "1", "SETUP": "0", "THREADS": "1"}


@pytest.fixture
def benchmark(path, tmp_path):
    """A function that runs a script in the environment of the tests, and wants it to leave no files."""

    def run(name, *options, status=0, **settings):
        (tmp_path / "tmp").mkdir()
        process = subprocess.run(
            ["bash", str(BENCHMARKS / name), *options],
            env={**os.environ, **SETTINGS, "PATH": path, "TMPDIR": str(tmp_path / "tmp"), **settings},
            capture_output=True,
            text=True,
            timeout=900,
        )
        assert process.returncode == status, process.stderr[-4000:]
        assert list((tmp_path / "tmp").glob("tmp.*")) == []  # mktemp's; torch leaves a folder of its own
        return process

    return run


@pytest.fixture
def folder(tmp_path):
    """Text as a user's folder has it, for more batches than the tiny mode takes."""
    for split, lines in (("train", 400), ("valid", 20), ("test", 20)):
        text = "".join(f"word{i % 7} and word{i % 5} or word{i % 3}\n" for i in range(lines))
        (tmp_path / f"{split}.txt").write_text(text)
    return tmp_path


def rows(text):
    """The cells of each table's rows, by the table's title."""
    tables = [part.splitlines() for part in text.split("### ")[1:]]
    cells = {t[0]: [line.strip("| ").split(" | ") for line in t if line.startswith("|")] for t in tables}
    return {title: found[2:] for title, found in cells.items()}


def test_workers(benchmark):
    """In .venv, after scripts/setup.sh has looked at it."""
    own = {"SETUP": "", "PATH": os.environ["PATH"]}
    process = benchmark("workers.sh", PROCESSES="2", SIMULATED="512", RATES="0.2 0.5", **own)
    (table,) = rows(process.stdout).values()
    assert [row[:2] + row[-2:] for row in table] == [
        ["2", "0.2", "12.8", "13.7"],
        ["512", "0.2", "12.8", "16.0"],
        ["2", "0.5", "8.0", "9.1"],
        ["512", "0.5", "8.0", "13.8"],
    ]
    assert all(float(row[2]) > 0 and float(row[3]) > 0 for row in table[::2])
    assert (
        "`TINY='1' PROCESSES='2' SIMULATED='512' RATES='0.2 0.5' bash scripts/benchmarks/workers.sh`" in process.stdout
    )


def test_training_and_evaluation_on_text_of_the_user(benchmark, folder):
    process = benchmark("speed.sh", DATA=str(folder), PARTS="training evaluation")
    training, evaluation = rows(process.stdout).values()
    assert [row[0] for row in training] == ["0", "0.5"]
    assert [row[0] for row in evaluation] == ["4 of 4", "2 of 4"]
    assert all(float(cell.replace(",", "")) > 0 for row in training + evaluation for cell in row[1:3])
    assert "p times the time of its layers" in process.stdout


def test_loading(benchmark):
    process = benchmark("speed.sh", PARTS="loading")
    (table,) = rows(process.stdout).values()
    assert [row[0] for row in table] == ["4 of 4", "2 of 4"]
    assert all(50 < float(row[column].replace(",", "")) < 5000 for row in table for column in (4, 5))
    assert " with 500 words: " in process.stdout


@pytest.mark.parametrize("script", ["speed.sh", "workers.sh"])
def test_an_unknown_option_is_refused(benchmark, script):
    process = benchmark(script, "--quick", status=2)
    assert process.stderr == f"{script}: the only option is --help, but one is '--quick'.\n"


def test_a_folder_that_lacks_a_file_is_refused(benchmark, folder):
    (folder / "test.txt").unlink()
    process = benchmark("speed.sh", DATA=str(folder), status=2)
    assert process.stderr == (
        f"speed.sh: DATA must be a folder with train.txt, valid.txt and test.txt, but {folder} has no test.txt.\n"
    )


@pytest.mark.parametrize(
    ("script", "settings", "message"),
    [
        ("workers.sh", {"RATES": "0.2 1.5"}, "--rates: must be a drop rate, 0 <= P < 1, but is '1.5' instead."),
        ("workers.sh", {"ROUNDS": "1"}, "--rounds: must be at least 2, but is 1 instead."),
        ("speed.sh", {"STEPS": "0"}, "--steps: must be a whole number of at least 1, but is '0' instead."),
    ],
)
def test_bad_settings_are_one_line(benchmark, script, settings, message):
    process = benchmark(script, status=2, **settings)
    last = process.stderr.splitlines()[-1]
    assert last == f"{script.replace('.sh', '.py')}: error: argument {message}"
