"""Models to search, loaded once for the tests of a file."""

from __future__ import annotations

import functools
import sys

import pytest

from layerdrop_plugin.fairseq_adapter.evaluation import evaluation


@pytest.fixture(scope="module")
def load(full, data):
    """A function from a family and arguments to an evaluation, made once."""

    @functools.cache
    def make(family, *arguments):
        path = str(full[family]) if family in full else None
        return evaluation.load(path, "{}", [str(data[family]), "--cpu", *arguments], pytest.fail)

    before, sys.argv = sys.argv, ["pytest"]  # fairseq looks for --user-dir on it
    yield make
    sys.argv = before
