"""Encoder layers hold their weights twice, which plain DDP refuses ('Expected to have finished reduction').

fairseq 0.12.2 only, not main. For torch's BetterTransformer fast path each `TransformerEncoderLayerBase` registers
copies beside the real weights: `in_proj_weight`, `fc1_weight` and six more. The copies inflate parameter counts and
checkpoints, and never get a gradient. Here a layer is built without them, and skips them in a checkpoint. Stock fairseq
fills them itself when it loads our checkpoints.
"""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn

from ..hooks import wrap

COPIES = tuple(f"{of}_{kind}" for of in ("in_proj", "out_proj", "fc1", "fc2") for kind in ("weight", "bias"))


def needed() -> str | None:
    """Return the reason, where an encoder layer registers its weights twice."""
    from fairseq.modules.transformer_layer import TransformerEncoderLayerBase as Layer

    if "in_proj_weight" in inspect.unwrap(Layer.__init__).__code__.co_names:
        return "fairseq's encoder layers register their weights twice"
    return None


def apply() -> None:
    """Build encoder layers without the copies, and load checkpoints without them."""
    from fairseq.modules.transformer_layer import TransformerEncoderLayerBase as Layer

    wrap(Layer, "__init__", _init)
    wrap(Layer, "_load_from_state_dict", _load_from_state_dict)
    Layer.__constants__ = ["can_use_fastpath"]  # so torch.jit.script leaves out the code that reads the copies


def _init(original: Any, layer: Any, *args: Any, **kwargs: Any) -> None:
    original(layer, *args, **kwargs)
    for name in COPIES:
        delattr(layer, name)
    layer.can_use_fastpath = False  # it would read the copies


def _load_from_state_dict(original: Any, layer: Any, state_dict: Any, prefix: str, *args: Any) -> None:
    """Load as any module does: fairseq's method would fill the copies."""
    for name in COPIES:
        state_dict.pop(prefix + name, None)
    nn.Module._load_from_state_dict(layer, state_dict, prefix, *args)
