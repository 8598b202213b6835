"""Resuming a training with several workers fails: `Weights only load failed`, omegaconf's DictConfig not allowed.

torch 2.6 and newer, fairseq 0.12.2 and main. The first worker reads the checkpoint and sends it to the others, which
unpickle it with `torch.load`. `torch.load` now takes plain data only, but a checkpoint's configuration is more. It is
safe to unpickle here, because the first worker checked the file as it read it.
"""

from __future__ import annotations

import io
import pickle
import types
import warnings
from typing import Any

import torch

from .. import hooks


def needed() -> str | None:
    """Return the reason, where torch refuses what a worker sends and fairseq does not ask it to take everything."""
    from fairseq.distributed import utils

    asks = "weights_only" in str(utils._broadcast_object_slow.__code__.co_consts)
    if not asks and _torch_refuses():
        return "torch refuses the checkpoint that fairseq's first worker sends to the others"
    return None


def apply() -> None:
    """Let the workers of one run send each other any object."""
    from fairseq.distributed import utils

    hooks.replace(utils, "torch", load=_load_any)


def _load_any(f: Any, **kwargs: Any) -> Any:
    return torch.load(f, weights_only=False, **kwargs)


def _torch_refuses() -> bool:
    buffer = io.BytesIO()
    torch.save(types.SimpleNamespace(), buffer)
    buffer.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of torch 2.4 and 2.5, about what 2.6 does
        try:
            torch.load(buffer)
        except pickle.UnpicklingError:
            return True
    return False
