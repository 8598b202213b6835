"""What one worker sends another is taken; what comes from elsewhere still is not."""

from __future__ import annotations

import io
import pickle
import types

import pytest
import torch
from fairseq.distributed import utils

from layerdrop_plugin.fairseq_adapter.compat import broadcast_between_workers

TAKES_ALL = not hasattr(torch.serialization, "get_unsafe_globals_in_checkpoint")
from_2_6 = pytest.mark.skipif(TAKES_ALL, reason="torch before 2.6 takes any object by itself")


def test_it_is_needed_from_torch_2_6_on():
    reason = "torch refuses the checkpoint that fairseq's first worker sends to the others"
    assert broadcast_between_workers.needed() == (None if TAKES_ALL else reason)


@from_2_6
def test_workers_take_any_object_and_nobody_else_does():
    buffer = io.BytesIO()
    torch.save(types.SimpleNamespace(a=1), buffer)
    buffer.seek(0)
    assert utils.torch.load(buffer, map_location="cpu").a == 1
    buffer.seek(0)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(buffer)
    assert utils.torch.Tensor is torch.Tensor


@from_2_6
def test_applying_twice_changes_nothing():
    before = utils.torch
    broadcast_between_workers.apply()
    assert utils.torch is before
