"""Two workers on the CPU stop after the first update: type torch.cuda.ByteTensor not available.

fairseq 0.12.2 and main. Criterions whose logs can't be summed (wav2vec, hubert) send their logs between workers.
fairseq makes the buffers for that on a GPU only.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch

from ..hooks import wrap


def needed() -> str | None:
    """Return the reason, where fairseq makes the buffers on a GPU only."""
    from fairseq.distributed import utils

    if "ByteTensor" in inspect.unwrap(utils.all_gather_list).__code__.co_names and not torch.cuda.is_available():
        return "fairseq's workers can send each other logs only by way of a GPU"
    return None


def apply() -> None:
    """Make the buffers on the CPU, before fairseq finds that there are none."""
    from fairseq.distributed import utils

    wrap(utils, "all_gather_list", _all_gather_list)


def _all_gather_list(original: Any, data: Any, group: Any = None, max_size: int = 16384) -> Any:
    from fairseq.distributed import utils

    function = utils.all_gather_list  # fairseq keeps the buffers at the function of this name
    size = max_size * utils.get_world_size(utils.get_global_group() if group is None else group)
    if not hasattr(function, "_buffer") or function._buffer.numel() < size:
        function._buffer = torch.empty(size, dtype=torch.uint8)
        function._cpu_buffer = torch.empty(max_size, dtype=torch.uint8)
    return original(data, group, max_size)
