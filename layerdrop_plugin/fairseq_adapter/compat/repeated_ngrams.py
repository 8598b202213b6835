"""`--no-repeat-ngram-size` has no effect: n-grams are repeated.

fairseq 0.12.2 without its CUDA extension, which the package from PyPI lacks (fairseq #5206). The generator passes on
the whole buffer of tokens. The buffer ends with padding, which is taken for the last generated tokens.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def needed() -> str | None:
    """Return the reason, where a token that would repeat a pair stays allowed in a buffer with room for more."""
    if _blocks():
        return None
    return "fairseq's --no-repeat-ngram-size looks at padding in place of the tokens generated last"


def apply() -> None:
    """Let the block look only at the tokens generated so far."""
    from fairseq.ngram_repeat_block import NGramRepeatBlock

    NGramRepeatBlock.forward = forward


def forward(self: Any, tokens: Tensor, lprobs: Tensor, bsz: int, beam_size: int, step: int) -> Tensor:
    """Do what fairseq's method does, but only on the tokens so far; torch.jit.script also compiles this."""
    assert tokens.size(0) == bsz * beam_size, f"expected {bsz * beam_size} got {tokens.size(0)}"
    assert lprobs.size(0) == bsz * beam_size, f"expected {bsz * beam_size} got {lprobs.size(0)}"
    if self.use_extension:
        return self.call_cuda_extension(tokens, lprobs, bsz, beam_size, step)
    return self._no_repeat_ngram(tokens[:, : step + 1], lprobs, bsz, beam_size, step)


def _blocks() -> bool:
    from fairseq.ngram_repeat_block import NGramRepeatBlock

    tokens = torch.tensor([[2, 4, 5, 4, 1, 1]])  # the end that starts a sentence, 4 5 4, and room
    scores = NGramRepeatBlock(2, use_extension=False)(tokens, torch.zeros(1, 8), bsz=1, beam_size=1, step=3)
    return scores[0].tolist().index(min(scores[0])) == 5
