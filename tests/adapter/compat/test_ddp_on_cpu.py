"""DistributedDataParallel around a model on the CPU, through fairseq's own wrapper."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from fairseq.models import distributed_fairseq_model

from layerdrop_plugin.fairseq_adapter.compat import ddp_on_cpu


@pytest.mark.parametrize("backend", ["pytorch_ddp", "c10d"])
def test_a_model_on_the_cpu_is_wrapped_and_trains(one_worker, backend):
    args = SimpleNamespace(
        tpu=False,
        ddp_backend=backend,
        device_id=0,
        broadcast_buffers=False,
        bucket_cap_mb=25,
        find_unused_parameters=False,
        gradient_as_bucket_view=False,
        ddp_comm_hook="none",
        heartbeat_timeout=-1,
    )
    model = torch.nn.Linear(3, 2)
    wrapped = distributed_fairseq_model.DistributedFairseqModel(args, model, None, torch.device("cpu"))
    wrapped(torch.ones(1, 3)).sum().backward()
    assert torch.equal(model.weight.grad, torch.ones(2, 3))


def test_the_fault_is_looked_for_in_fairseq_s_function(monkeypatch):
    assert ddp_on_cpu.needed() == "fairseq passes device_ids to DistributedDataParallel for modules on the CPU too"

    def patched(args, model):
        return DistributedDataParallel(model, None if not model.is_cuda else [args.device_id])  # noqa: F821

    monkeypatch.setattr(distributed_fairseq_model, "DistributedFairseqModel", patched)
    assert ddp_on_cpu.needed() is None
