"""The numpy aliases: those that fairseq uses and numpy lacks, and no others."""

from __future__ import annotations

import numpy
import pytest

from layerdrop_plugin.fairseq_adapter.compat import numpy_aliases


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """Stands for fairseq's files: what is written into it is what fairseq uses."""
    path = tmp_path / "user.py"
    monkeypatch.setattr(numpy_aliases, "_user_files", lambda: (path,))
    for name in numpy_aliases.ALIASES:
        monkeypatch.delattr(numpy, name, raising=False)
    return path


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("dtype=np.compat.long", "fairseq uses np.compat, which this numpy lacks"),
        ("np.float('inf'), np.int,", "fairseq uses np.float, np.int, which this numpy lacks"),
        ("np.float32, np.int64, np.integer, np.floating", None),
        ("dtype=np.int64, float('inf')", None),
    ],
)
def test_the_reason_names_what_is_used_and_gone(sources, source, expected):
    sources.write_text(source)
    assert numpy_aliases.needed() == expected


def test_only_what_is_used_comes_back(sources):
    sources.write_text("np.compat.long")
    numpy_aliases.apply()
    assert numpy.compat.long is int
    assert "float" not in vars(numpy)
    assert "int" not in vars(numpy)


def test_the_reason_stays_after_the_patch(sources):
    sources.write_text("np.int")
    numpy_aliases.apply()
    numpy_aliases.apply()
    assert numpy_aliases.needed() == "fairseq uses np.int, which this numpy lacks"


def test_an_alias_that_numpy_has_is_not_touched(sources, monkeypatch):
    sources.write_text("np.float")
    monkeypatch.setattr(numpy, "float", numpy.float64, raising=False)
    numpy_aliases.apply()
    assert numpy_aliases.needed() is None
    assert numpy.float is numpy.float64


def test_fairseq_s_files_are_where_this_looks():
    assert all(path.exists() for path in numpy_aliases._user_files())
    assert len(numpy_aliases._user_files()) == 4


def test_blocks_of_tokens_are_built():
    import torch
    from fairseq.data import TokenBlockDataset

    sentences = [torch.arange(length) for length in (3, 2, 4)]
    blocks = TokenBlockDataset(sentences, [3, 2, 4], 4, pad=1, eos=2, break_mode="none")
    assert [block.tolist() for block in blocks] == [[0, 1, 2, 0], [1, 0, 1, 2], [3]]
