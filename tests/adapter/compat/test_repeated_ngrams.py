"""`--no-repeat-ngram-size` blocks what would repeat an n-gram, in the buffer that the generator hands over."""

from __future__ import annotations

import math

import pytest
import torch
from fairseq.ngram_repeat_block import NGramRepeatBlock

from layerdrop_plugin.fairseq_adapter.compat import repeated_ngrams


@pytest.mark.parametrize(
    ("size", "tokens", "blocked"),
    [
        (2, [4, 5, 4], [5]),
        (2, [4, 5, 4, 6, 4], [5, 6]),
        (3, [4, 5, 6, 4, 5], [6]),
        (3, [4, 5, 6, 5, 4], []),
        (3, [4, 4, 4], [4]),
        (3, [4, 4], []),
    ],
)
def test_a_token_that_would_repeat_an_ngram_is_blocked(size, tokens, blocked):
    buffer, block = torch.tensor([[2, *tokens, 1, 1, 1, 1]]), NGramRepeatBlock(size, use_extension=False)
    for run in (block, torch.jit.script(block)):
        scores = run(buffer, torch.zeros(1, 8), 1, 1, step=len(tokens))
        assert [token for token in range(8) if scores[0, token] == -math.inf] == blocked


def test_where_fairseq_blocks_nothing_is_patched():
    assert repeated_ngrams.needed() is None  # as this test runs with the patch in place


def test_applying_twice_replaces_once():
    repeated_ngrams.apply()
    once = NGramRepeatBlock.forward
    repeated_ngrams.apply()
    assert NGramRepeatBlock.forward is once
