"""Generation with a post-norm encoder and padding stops with "Mask Type should be defined".

torch 1.13 and newer, fairseq 0.12.2. In evaluation fairseq's encoder layer calls
`torch._transformer_encoder_layer_fwd` without the mask type that torch requires since 1.13. Here the layer takes its
ordinary path, which gives the same results.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch

from ..hooks import wrap


def needed() -> str | None:
    """Return the reason, where both hold: the stock encoder layer makes that call, and torch refuses it."""
    from fairseq.modules.transformer_layer import TransformerEncoderLayerBase

    forward = inspect.unwrap(TransformerEncoderLayerBase.forward)
    calls = "_transformer_encoder_layer_fwd" in forward.__code__.co_names
    if calls and _torch_refuses():
        return "fairseq's encoder layer calls torch's fast path without the mask type that torch asks for"
    return None


def apply() -> None:
    """Make each stock encoder layer, as it is built, one that does not take the fast path."""
    from fairseq.modules.transformer_layer import TransformerEncoderLayerBase

    wrap(TransformerEncoderLayerBase, "__init__", _init)


def _init(original: Any, layer: Any, *args: Any, **kwargs: Any) -> None:
    original(layer, *args, **kwargs)
    layer.can_use_fastpath = False


def _torch_refuses() -> bool:
    """Make the call as fairseq does, on one head of width 2 and two positions, one of them padding."""
    width, zeros = 2, torch.zeros
    call: Any = torch._transformer_encoder_layer_fwd
    attention = (zeros(3 * width, width), zeros(3 * width), zeros(width, width), zeros(width))
    norms = (1e-5, zeros(width), zeros(width), zeros(width), zeros(width))
    ffn = (zeros(width, width), zeros(width), zeros(width, width), zeros(width))
    padding = torch.tensor([[False, True]])
    try:
        with torch.no_grad():
            call(zeros(1, 2, width), width, 1, *attention, False, False, *norms, *ffn, padding)
    except RuntimeError:
        return True
    return False
