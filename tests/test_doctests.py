"""The examples in docstrings."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WITH_EXAMPLES = [path for path in (ROOT / "layerdrop_plugin").rglob("*.py") if ">>> " in path.read_text("utf-8")]
MODULES = sorted(".".join(path.relative_to(ROOT).with_suffix("").parts) for path in WITH_EXAMPLES)


def test_there_are_some():
    assert len(MODULES) > 10


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_show(name):
    found = doctest.testmod(importlib.import_module(name.removesuffix(".__init__")))
    assert found.attempted
    assert not found.failed
