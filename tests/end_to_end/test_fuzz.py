"""A few cases of scripts/fuzz.py: damaged checkpoints and command lines, and nothing mishandled."""

from __future__ import annotations

import re
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "fuzz.py"


def test_forty_cases(command):
    process = command("python", SCRIPT, "--cases", 40, "--seed", 2)
    assert re.search(r"^40 cases of seed 2 in \d+ s: 0 mishandled", process.stdout, re.MULTILINE), process.stdout
