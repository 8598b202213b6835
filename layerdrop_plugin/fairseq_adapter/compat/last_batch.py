"""The last sentences of a data set are left out, if their number is no multiple of `--required-batch-size-multiple`.

fairseq-fixed 0.12.3.1 and fairseq's main branch; fairseq 0.12.2 does not have this fault. With the default of 8, a data
set of 1,003 sentences may lose its last 3, in every command. A data set of 7 sentences becomes empty.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..hooks import wrap


def needed() -> str | None:
    """Return the reason, where three sentences make no batch."""
    from fairseq.data import data_utils

    batches = data_utils.batch_by_size(np.arange(3), lambda i: 1, max_tokens=9, required_batch_size_multiple=8)
    return None if sum(map(len, batches)) == 3 else "fairseq leaves out the last sentences of a data set"


def apply() -> None:
    """Put this around fairseq's function that makes the batches."""
    from fairseq.data import data_utils

    wrap(data_utils, "batch_by_size", batch_by_size)


def batch_by_size(original: Any, indices: Any, *args: Any, **kwargs: Any) -> Any:
    """Go around `data_utils.batch_by_size`: what it leaves out at the end becomes the last batch again."""
    indices = indices if isinstance(indices, np.ndarray) else np.fromiter(indices, dtype=np.int64)
    if len(indices) == 0:
        return []  # it would look for a last batch
    batches = original(indices, *args, **kwargs)
    batched = sum(map(len, batches))
    if kwargs.get("fixed_shapes") is not None or batched == len(indices):
        return batches
    return [*batches, indices[batched:]]
