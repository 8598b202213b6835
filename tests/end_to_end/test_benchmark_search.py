"""The benchmark of layerdrop-search on a tiny model: both tables, and numbers that must agree."""

from __future__ import annotations

from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "benchmarks" / "search.py"


def rows(text):
    """The cells of the tables' rows, without headers."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return [row for row in cells if set(row[0]) != {"-"} and not row[0].endswith(("layers", "batches"))]


def test_both_tables(command, full, data):
    options = ["--path", full["transformer_lm"], "--keep", 2, "--race-batches", 3, "--max-tokens", 64]
    shared, apart, racing, exhaustive = rows(command("python", SCRIPT, data["transformer_lm"], *options).stdout)
    assert [shared[:2], apart[:2]] == [["shared", "9"], ["one by one", "12"]]
    assert all(float(row[3]) > 0 for row in (shared, apart))
    assert racing == [racing[0], *exhaustive[1:3], "0.000%", *racing[4:]]  # six sets: all of them reach the end
    assert exhaustive[4:6] == ["27", "1.000"]


def test_two_stacks_have_no_first_table(command, full, data):
    options = [data["transformer"], "--path", full["transformer"], "--keep", 2]
    process = command("python", SCRIPT, *options, status=1)
    assert process.stderr.splitlines()[-1] == "search.py: --path must be a model with one stack, or --batches 0."
    racing, exhaustive = rows(command("python", SCRIPT, *options, "--batches", 0, "--race-batches", 2).stdout)
    assert racing[1:4] == [*exhaustive[1:3], "0.000%"]
