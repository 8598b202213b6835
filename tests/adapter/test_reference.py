"""docs/reference/ agrees with the tables and parsers that scripts/reference.py writes it from."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
import reference
from reference_pages import markdown


@pytest.mark.parametrize("name", reference.PAGES)
def test_the_page_is_what_the_script_writes(name):
    assert reference.read(name) == reference.MARK + reference.PAGES[name](), "run: python scripts/reference.py"


def test_a_page_that_differs_is_named_and_then_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(reference, "FOLDER", tmp_path)
    monkeypatch.setattr(reference, "PAGES", {"a.md": lambda: "new\n"})
    monkeypatch.setattr(sys, "argv", ["reference.py", "--check"])
    assert reference.main() == 1
    assert capsys.readouterr().out == "docs/reference/a.md differs: run python scripts/reference.py\n"
    monkeypatch.setattr(sys, "argv", ["reference.py"])
    assert reference.main() == 0
    assert capsys.readouterr().out == "docs/reference/a.md is written\n"
    assert (tmp_path / "a.md").read_text() == reference.MARK + "new\n"


def test_a_docstring_becomes_lists_and_blocks():
    text = """Do it.

Args:
    x: what
        is done.
    y: the rest.

>>> do(1)
2"""
    assert markdown.docstring(text) == (
        "Do it.\n\nArgs:\n\n- `x`: what is done.\n- `y`: the rest.\n\n```pycon\n>>> do(1)\n2\n```\n"
    )


def test_a_cell_has_one_line_and_no_bar():
    assert markdown.table(("a",), [("x |\n y",)]) == "| a |\n| --- |\n| x \\| y |\n"
