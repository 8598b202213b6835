"""What a model saves beside its parameters, told by its name."""

from __future__ import annotations

from ... import learned_rates

BUFFERS = ("version", "_float_tensor", "running_mean", "running_var", "num_batches_tracked")
"""The last part of the names under which modules save what is no parameter: fairseq's, and torch's BatchNorm."""


def is_buffer(name: str) -> bool:
    """Return whether this is no parameter but a mark of a module's own.

    >>> is_buffer("decoder.version"), is_buffer("decoder.embed_tokens.weight")
    (True, False)
    """
    return name.rpartition(".")[2] in BUFFERS or learned_rates.is_buffer(name)
