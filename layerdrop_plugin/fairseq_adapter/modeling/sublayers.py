"""Structured dropout inside of fairseq's layers (paper, section 3.2.1): heads, FFNs and sub-layers as groups.

A dropped head gives nothing to its attention's output: its columns of the output projection are zero. A dropped
sub-layer - self-attention, cross-attention or FFN - hands its input on, its layer norm included, so that a layer with
all its sub-layers dropped is a dropped layer. Nothing is rescaled.

The paper's 'FFN matrices' are taken for the FFN as a whole, both matrices in one group: without one of them the other
has nothing to work on, and only both save time. So it is the FFN's part of sub-layer dropout.

fairseq's own `forward` runs, with what is dropped replaced on the layer for as long as it takes.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from fairseq.modules.checkpoint_activations import _checkpointed_forward
from fairseq.modules.transformer_layer import TransformerDecoderLayerBase, TransformerEncoderLayerBase
from torch import Tensor, nn

from ...dropping import Dropping, Groups
from ...masks import Mask
from ...rates import Rates, describe
from ...unused import mark_used
from ..options.declared import DROPS, flag_of
from ..options.model_options import ModelOptions, StackOptions

WITH_PARTS = (TransformerEncoderLayerBase, TransformerDecoderLayerBase)
"""Layers of which parts can be dropped."""

MODULES = {
    "self_attn": ("self_attn", "self_attn_layer_norm"),
    "encoder_attn": ("encoder_attn", "encoder_attn_layer_norm"),
    "ffn": ("fc1", "fc2", "final_layer_norm"),
}
"""What belongs to a sub-layer."""
EXTRAS = {"self_attn": ("c_attn", "attn_ln"), "encoder_attn": (), "ffn": ("ffn_layernorm", "w_resid")}
"""What a decoder's sub-layer may have besides (fairseq's --scale-heads, --scale-attn, --scale-fc, --scale-resids)."""
HEADS = {f"{attention}.heads": attention for attention in ("self_attn", "encoder_attn")}
SKIPPED = {"ffn": "ffn", **{f"{sublayer}.sublayer": sublayer for sublayer in MODULES}}
"""By the names of groups, which enter the masks: the attention, or the sub-layer, that they are part of."""


def dropping(layers: Sequence[nn.Module], stack: str, options: ModelOptions) -> Dropping:
    """Return what is dropped of fairseq's layers of a stack.

    Raises:
        ValueError: one line: a part of layers is to be dropped that are dropped as a whole only.
    """
    of_stack = options.stacks[stack]
    if layers and not any(isinstance(layer, WITH_PARTS) for layer in layers):
        _check_whole(layers[0], stack, of_stack)
    return Dropping(
        rates=_of_layers(of_stack.layerdrop, layers),
        groups=tuple(_groups(layers, of_stack)) if layers else (),
        run_without=run_without,
        schedule=options.schedule,
        seed=options.seed,
        learned=of_stack.layerdrop_learned,
        depths=options.trained_depths,
    )


def _check_whole(layer: nn.Module, stack: str, options: StackOptions) -> None:
    for kind in DROPS[1:]:
        if any(getattr(options, kind)):
            raise ValueError(
                f"`{flag_of(f'{stack}_{kind}')}` must be left out: a {type(layer).__name__} is dropped as a whole only "
                f"(got {describe(getattr(options, kind))!r})."
            )


def _of_layers(rates: Rates, layers: Sequence[nn.Module]) -> Rates:
    """Return a rate for each layer; BASE layers, which fairseq puts between, have that of the layer before."""
    return tuple(rates[i * len(rates) // len(layers)] for i in range(len(layers)))


def _groups(layers: Sequence[nn.Module], options: StackOptions) -> Iterator[Groups]:
    sublayers = [name for name, (module, *_) in MODULES.items() if getattr(layers[0], module, None) is not None]
    attentions = [name for name in sublayers if name != "ffn"]
    heads = {f"{name}.heads": getattr(layers[0], name).num_heads for name in attentions if any(options.headdrop)}
    for rates, sizes in (
        (options.headdrop, heads),
        (options.ffndrop, {"ffn": 1}),
        (options.sublayerdrop, {f"{name}.sublayer": 1 for name in sublayers}),
    ):
        if any(rates):
            yield from (Groups(name, _of_layers(rates, layers), size) for name, size in sizes.items())


def run_without(layer: nn.Module, dropped: dict[str, Mask], x: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Call a layer of fairseq's without its dropped groups; a layer of another kind runs whole.

    Args:
        dropped: masks of the groups in this layer, by name, as in `HEADS` and `SKIPPED`.
    """
    if not isinstance(layer, WITH_PARTS):
        return layer(x, *args, **kwargs)
    skipped = {SKIPPED[name] for name in dropped if name in SKIPPED}
    heads = {HEADS[name]: mask for name, mask in dropped.items() if name in HEADS and HEADS[name] not in skipped}
    if skipped:
        x = mark_used(x, _unused(layer, skipped, args, kwargs))
    forward = vars(layer).get("forward")
    if isinstance(forward, functools.partial) and forward.func is _checkpointed_forward:
        # With --checkpoint-activations the layer runs once more in the backward pass, and without the same groups.
        whole, offload = forward.args
        return _checkpointed_forward(
            functools.partial(_forward, whole, layer, skipped, heads), offload, x, *args, **kwargs
        )
    return _forward(layer, layer, skipped, heads, x, *args, **kwargs)


def _unused(layer: nn.Module, skipped: set[str], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Any]:
    for sublayer in sorted(skipped):
        for name in MODULES[sublayer]:
            yield from getattr(layer, name).parameters()
        for name in EXTRAS[sublayer]:
            extra = getattr(layer, name, None)
            yield from extra.parameters() if isinstance(extra, nn.Module) else [extra]
    if skipped - {"ffn"}:  # with --cross-self-attention, it is the self-attention that reads the encoder's output
        yield from args
        yield from kwargs.values()


def _forward(whole: Any, layer: nn.Module, skipped: set[str], heads: dict[str, Mask], *args: Any, **kwargs: Any) -> Any:
    with contextlib.ExitStack() as until_done:
        for attention, mask in heads.items():
            module = getattr(layer, attention)
            until_done.enter_context(_replaced(module, out_proj=_WithoutHeads(module.out_proj, mask)))
        if skipped:
            until_done.enter_context(_replaced(layer, **_without(layer, skipped)))
        return whole(*args, **kwargs)


def _without(layer: Any, skipped: set[str]) -> dict[str, Any]:
    """What stands in for a layer's parts: nothing, an empty tensor, goes through a skipped sub-layer."""
    add = layer.residual_connection
    found: dict[str, Any] = {"residual_connection": lambda x, residual: add(x, residual) if x.numel() else residual}
    for sublayer in skipped:
        for name in MODULES[sublayer]:
            found[name] = _SkippedAttention(getattr(layer, name)) if name == sublayer else _passed_through
        found.update(dict.fromkeys(EXTRAS[sublayer]))
    if "ffn" in skipped:
        found["fc1"] = _nothing
    return found


def _passed_through(x: Tensor) -> Tensor:
    return x


def _nothing(x: Tensor) -> Tensor:
    return x.new_empty(0)


class _SkippedAttention:
    """Has the attention's attributes, and returns nothing."""

    def __init__(self, attention: nn.Module) -> None:
        self._attention = attention

    def __call__(self, query: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, None]:
        return _nothing(query), None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._attention, name)


class _WithoutHeads:
    """An output projection that gets nothing from dropped heads; fairseq calls it, or takes its weight and bias."""

    def __init__(self, projection: Any, mask: Mask) -> None:
        self._projection = projection
        weight: Tensor = projection.weight
        kept = torch.tensor([not dropped for dropped in mask], dtype=weight.dtype, device=weight.device)
        self._columns = kept.repeat_interleave(weight.size(1) // len(mask))

    def __call__(self, x: Tensor) -> Tensor:
        return self._projection(x * self._columns.to(x.dtype))

    @property
    def weight(self) -> Tensor:
        return self._projection.weight * self._columns

    def __getattr__(self, name: str) -> Any:
        return getattr(self._projection, name)


@contextlib.contextmanager
def _replaced(module: nn.Module, **attributes: Any) -> Iterator[None]:
    """Let attributes of the instance hide its modules, parameters and methods; torch looks for those afterwards."""
    before = {name: vars(module)[name] for name in attributes if name in vars(module)}
    vars(module).update(attributes)
    try:
        yield
    finally:
        for name in attributes:
            del vars(module)[name]
        vars(module).update(before)
