"""What the sessions of noxfile.py note down, and the table of it.

support.py record SESSION REPORT    reads pytest's JUnit report, and the versions of the environment that runs it
support.py table                    prints what was noted, a row for each session
"""

from __future__ import annotations

import json
import platform
import sys
from contextlib import suppress
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

FOLDER = Path(__file__).parents[1] / "results" / "support"
FORKS = ("fairseq", "fairseq-fixed")
COLUMNS = ("Python", "torch", "fairseq", "numpy", "hydra-core", "passed", "failed", "skipped", "date")


def count(report: Path) -> dict[str, int]:
    """Return how many tests of a JUnit report passed, failed and were skipped; an error counts as a failure."""
    (suite,) = ElementTree.parse(report).getroot().iter("testsuite")
    total, failures, errors, skipped = (int(suite.attrib[name]) for name in ("tests", "failures", "errors", "skipped"))
    failed = failures + errors
    return {"passed": total - failed - skipped, "failed": failed, "skipped": skipped}


def versions() -> dict[str, str]:
    """Return the versions of what matters here, by column."""
    found = {"Python": platform.python_version()}
    for package in ("torch", "numpy", "hydra-core"):
        found[package] = version(package).partition("+")[0]
    for package in FORKS:
        with suppress(PackageNotFoundError):
            name = "" if package == "fairseq" else f"{package} "
            found["fairseq"] = name + version(package)
    return found


def record(session: str, report: str) -> None:
    """Write one session's row."""
    row = {**versions(), **count(Path(report)), "date": date.today().isoformat()}
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{session}.json").write_text(json.dumps(row, indent=2) + "\n", encoding="utf-8")
    if row["failed"]:
        sys.exit(f"{session}: {row['failed']} tests failed")


def table(rows: list[dict[str, Any]]) -> str:
    """Return a Markdown table, sorted by Python, then torch."""
    ordered = sorted(rows, key=lambda row: [numbers(row["Python"]), numbers(row["torch"]), row["fairseq"]])
    lines = [COLUMNS, *([str(row[name]) for name in COLUMNS] for row in ordered)]
    header, *rest = [f"| {' | '.join(cells)} |\n" for cells in lines]
    return "".join([header, "|---" * len(COLUMNS), "|\n", *rest])


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(".") if part.isdigit()]


def main(command: str, *argv: str) -> None:
    if command == "record":
        record(*argv)
    else:
        rows = [json.loads(path.read_text(encoding="utf-8")) for path in FOLDER.glob("*.json")]
        print(table(rows), end="")


if __name__ == "__main__":
    main(*sys.argv[1:])
