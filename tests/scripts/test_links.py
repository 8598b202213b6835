"""Each link of the documents leads to a file that is there, and to a heading that it has; README is short."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\[[^\]]*\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]*))?\)")


def prose(path):
    """The text of a page without blocks of code."""
    return re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(path):
    """The names of a page's headings in links, on code hosts and on the site alike."""
    headings = re.findall(r"^#+ (.*)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path):
    broken = []
    for target, anchor in LINK.findall(prose(path)):
        file = (path.parent / target) if target else path
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(f"{target}#{anchor}")
    assert broken == []


def test_links_within_a_page_and_to_missing_ones_are_seen(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A `b`, c\n\n[1](#a-b-c) [2](other.md) [3](https://x.org) ![4](x.png)\n\n```\n[5](no)\n```\n")
    assert LINK.findall(prose(page)) == [("", "a-b-c"), ("other.md", ""), ("x.png", "")]
    assert anchors(page) == {"a-b-c"}


def test_readme_has_at_most_150_lines():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150
