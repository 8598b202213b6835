"""Workers on the CPU send each other what can't be summed."""

from __future__ import annotations

import pytest
import torch
from fairseq.distributed import utils

from layerdrop_plugin.fairseq_adapter.compat import gather_between_workers

on_cpu = pytest.mark.skipif(torch.cuda.is_available(), reason="fairseq's own buffers, on the GPU, are used")


@on_cpu
def test_it_is_needed_without_a_gpu():
    assert gather_between_workers.needed() == "fairseq's workers can send each other logs only by way of a GPU"


@on_cpu
@pytest.mark.parametrize("max_size", [100, 16384])
def test_a_worker_gets_what_each_has_sent(one_worker, max_size):
    assert utils.all_gather_list({"loss": 1.5}, group=torch.distributed.group.WORLD, max_size=max_size) == [
        {"loss": 1.5}
    ]
