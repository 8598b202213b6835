"""The site: links of the repository's files as they are on it, and the options of the script that builds it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
import site_pages

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.mark.parametrize(
    ("source", "page", "text", "linked"),
    [
        ("README.md", "index.md", "[a](docs/how-to/train.md)", "[a](how-to/train.md)"),
        ("README.md", "index.md", "![a](docs/idea.svg)", "![a](idea.svg)"),
        ("README.md", "index.md", "[c](CHANGELOG.md) [d](CITATION.cff)", "[c](CHANGELOG.md) d (`CITATION.cff`)"),
        ("docs/results/depths.md", "results/depths.md", "[r](../../README.md#install)", "[r](../index.md#install)"),
        ("docs/results/depths.md", "results/depths.md", "[s](speed.md#loading)", "[s](speed.md#loading)"),
        ("docs/families.md", "families.md", "[f.py](../layerdrop_plugin/f.py)", "f.py (`layerdrop_plugin/f.py`)"),
        ("docs/families.md", "families.md", "[p](https://x.org) [h](#what)", "[p](https://x.org) [h](#what)"),
    ],
)
def test_links(source, page, text, linked):
    assert site_pages.linked(text, source, page) == linked


def test_the_search_needs_nothing_from_elsewhere():
    class Page:
        class file:
            dest_uri = "how-to/train.html"

    page = f'<script src="{site_pages.SHIM}"></script>'
    assert site_pages.on_post_page(page, Page, None) == '<script src="../assets/iframe-worker.js"></script>'


def test_the_script_knows_its_options():
    shown = subprocess.run(["bash", SCRIPTS / "docs.sh", "--help"], capture_output=True, text=True)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith("Builds the documentation as a site in site/")
    wrong = subprocess.run(["bash", SCRIPTS / "docs.sh", "--fast"], capture_output=True, text=True)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr == "docs.sh: the options are --serve and --help, but there is '--fast'.\n"
