"""scripts/support.py: what the sessions of noxfile.py note down becomes a table."""

from __future__ import annotations

import json
import platform
import sys
from datetime import date
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
import support

REPORT = '<testsuites><testsuite errors="1" failures="2" skipped="3" tests="10"></testsuite></testsuites>'
TABLE = """\
| Python | torch | fairseq | numpy | hydra-core | passed | failed | skipped | date |
|---|---|---|---|---|---|---|---|---|
| 3.9.18 | 2.8.0 | 0.12.2 | 2.0.2 | 1.3.2 | 5 | 0 | 1 | 2026-11-25 |
| 3.10.13 | 1.13.1 | 0.12.2 | 1.26.4 | 1.0.7 | 4 | 1 | 1 | 2026-11-25 |
| 3.10.13 | 2.13.0 | 0.12.2 | 2.2.6 | 1.3.2 | 6 | 0 | 0 | 2026-11-25 |
| 3.10.13 | 2.13.0 | fairseq-fixed 0.12.3.1 | 2.2.6 | 1.3.2 | 6 | 0 | 0 | 2026-11-25 |
"""


@pytest.fixture
def report(tmp_path, monkeypatch):
    """A report of 10 tests, and a folder of this test for the rows."""
    monkeypatch.setattr(support, "FOLDER", tmp_path / "support")
    path = tmp_path / "report.xml"
    path.write_text(REPORT)
    return path


def test_an_error_counts_as_a_failure(report):
    assert support.count(report) == {"passed": 4, "failed": 3, "skipped": 3}


def test_a_row_is_written_and_failures_fail_the_session(report, tmp_path):
    with pytest.raises(SystemExit, match=r"^pins: 3 tests failed$"):
        support.main("record", "pins", str(report))
    row = json.loads((tmp_path / "support" / "pins.json").read_text())
    assert (row["Python"], row["failed"], row["date"]) == (platform.python_version(), 3, date.today().isoformat())
    assert set(row) == set(support.COLUMNS)


def test_the_table_is_sorted_by_version(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(support, "FOLDER", tmp_path)
    for number, line in enumerate(reversed(TABLE.splitlines()[2:])):
        row = dict(zip(support.COLUMNS, line.strip("| ").split(" | ")))
        (tmp_path / f"{number}.json").write_text(json.dumps(row))
    support.main("table")
    assert capsys.readouterr().out == TABLE
