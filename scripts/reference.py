"""Write docs/reference/ from the tables and parsers that the code uses: run it after each change of these.

`python scripts/reference.py` writes the pages that differ; with `--check` it names them, and ends with status 1. A test
compares them, too. messages.md alone is written by hand.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from reference_pages import commands, options, patches, python_interface, specifications

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "reference"
PAGES = {
    "options.md": options.page,
    "commands.md": commands.page,
    "specifications.md": specifications.page,
    "patches.md": patches.page,
    "python.md": python_interface.page,
}
MARK = "<!-- scripts/reference.py writes this page: change the code that it shows, and run it again. -->\n\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="name the pages that differ, and write nothing")
    args = parser.parse_args()
    stale = {name: text for name, text in written().items() if read(name) != text}
    for name, text in stale.items():
        print(f"docs/reference/{name} " + ("differs: run python scripts/reference.py" if args.check else "is written"))
        if not args.check:
            (FOLDER / name).write_text(text, encoding="utf-8")
    return int(args.check and bool(stale))


def written() -> dict[str, str]:
    """Return the text of each page."""
    return {name: MARK + page() for name, page in PAGES.items()}


def read(name: str) -> str:
    file = FOLDER / name
    return file.read_text(encoding="utf-8") if file.exists() else ""


if __name__ == "__main__":
    sys.exit(main())
