"""`--cpu --ddp-backend pytorch_ddp`, fairseq's default backend, stops on several workers: "device_ids" on a CPU module.

fairseq 0.12.2 and main, any torch: `DistributedFairseqModel` always passes `device_ids=[args.device_id]`, which
torch's DistributedDataParallel accepts for modules on GPUs only.
"""

from __future__ import annotations

from typing import Any

from torch.nn import Module
from torch.nn.parallel import DistributedDataParallel


class DistributedDataParallelAnyDevice(DistributedDataParallel):
    """DistributedDataParallel that wraps a module on the CPU without device indices."""

    def __init__(self, module: Module, device_ids: Any = None, output_device: Any = None, **kwargs: Any) -> None:
        if not any(parameter.is_cuda for parameter in module.parameters()):
            device_ids = output_device = None
        super().__init__(module, device_ids=device_ids, output_device=output_device, **kwargs)


def needed() -> str | None:
    """Return the reason, where fairseq hands device indices to torch's class without asking where the module is."""
    from fairseq.models import distributed_fairseq_model

    names = distributed_fairseq_model.DistributedFairseqModel.__code__.co_names
    if "DistributedDataParallel" in names and "is_cuda" not in names:
        return "fairseq passes device_ids to DistributedDataParallel for modules on the CPU too"
    return None


def apply() -> None:
    """Let fairseq use the class above."""
    from fairseq.models import distributed_fairseq_model

    distributed_fairseq_model.DistributedDataParallel = DistributedDataParallelAnyDevice
