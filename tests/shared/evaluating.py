"""Models and data for the tests of evaluation."""

from __future__ import annotations

import functools

import pytest

from layerdrop_plugin.fairseq_adapter.evaluation import evaluation


class Refused(Exception):
    """What fairseq's parser says."""


def refuse(message):
    raise Refused(message)


@functools.cache  # no test leaves traces in what it loads
def load(path, data, *arguments, overrides="{}"):
    return evaluation.load(str(path), overrides, [str(word) for word in (data, "--cpu", *arguments)], refuse)


def message(function, *args, **kwargs):
    """The one line of a ValueError, or of fairseq's parser."""
    with pytest.raises((ValueError, Refused)) as error:
        function(*args, **kwargs)
    (line,) = str(error.value).splitlines()
    return line
