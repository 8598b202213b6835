"""What one worker sends another is taken; what comes from elsewhere still is not."""

import io
import pickle
import types

import pytest
import torch
from fairseq.distributed import utils

from layerdrop_plugin.fairseq_adapter.compat import broadcast_between_workers


def test_it_is_needed_here():
    reason = "torch refuses the checkpoint that fairseq's first worker sends to the others"
    assert broadcast_between_workers.needed() == reason


def test_workers_take_any_object_and_nobody_else_does():
    buffer = io.BytesIO()
    torch.save(types.SimpleNamespace(a=1), buffer)
    buffer.seek(0)
    assert utils.torch.load(buffer, map_location="cpu").a == 1
    buffer.seek(0)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(buffer)
    assert utils.torch.Tensor is torch.Tensor


def test_applying_twice_changes_nothing():
    before = utils.torch
    broadcast_between_workers.apply()
    assert utils.torch is before
