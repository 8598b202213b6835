"""The last sentences of a data set make a batch, whatever their number is."""

from __future__ import annotations

import numpy as np
import pytest
from fairseq.data import data_utils

from layerdrop_plugin.fairseq_adapter.compat import last_batch


def left_out(indices, *args, **kwargs):
    """Batches as fairseq-fixed makes them of sentences of one token: of 16, without a last one of less."""
    kept = len(indices) - len(indices) % 16
    return [indices[i : i + 16] for i in range(0, kept, 16)]


@pytest.mark.parametrize(
    ("sentences", "sizes"),
    [(0, []), (3, [3]), (16, [16]), (35, [16, 16, 3])],
)
@pytest.mark.parametrize("kind", [np.arange, range], ids=["array", "range"])
def test_what_is_left_out_is_the_last_batch(sentences, sizes, kind):
    batches = last_batch.batch_by_size(left_out, kind(sentences), lambda i: 1, max_tokens=16)
    assert [len(batch) for batch in batches] == sizes
    assert [int(i) for batch in batches for i in batch] == list(range(sentences))


def test_batches_of_fixed_shapes_are_left_alone():
    batches = last_batch.batch_by_size(left_out, np.arange(35), lambda i: 1, fixed_shapes=[(16, 1)])
    assert [len(batch) for batch in batches] == [16, 16]


@pytest.mark.parametrize(("sentences", "sizes"), [(3, [3]), (19, [16, 3]), (0, [])])
def test_fairseq_leaves_nothing_out(sentences, sizes):
    given = {"max_tokens": 16, "required_batch_size_multiple": 8}
    batches = data_utils.batch_by_size(np.arange(sentences), lambda i: 1, **given)
    assert [len(batch) for batch in batches] == sizes
    assert last_batch.needed() is None
