"""The workers of torch.distributed.run."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def workers(cpu: bool) -> Iterator[bool]:
    """Join the workers of torch.distributed.run, if it started this process; yield whether this is the first worker."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield True
        return
    import torch
    from torch import distributed

    cuda = torch.cuda.is_available() and not cpu
    if cuda:
        place, gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if place >= gpus:
            raise ValueError(f"`--nproc_per_node` must be at most the number of GPUs, {gpus}; --cpu needs none.")
        torch.cuda.set_device(place)
    distributed.init_process_group("nccl" if cuda else "gloo")
    try:
        yield distributed.get_rank() == 0
    finally:
        distributed.destroy_process_group()
