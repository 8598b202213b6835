"""LayerDrop (paper, section 3.2): a stack of layers that skips some of them in training."""

import contextlib
import hashlib
import itertools
import struct
from typing import Any, Callable, Iterable, Iterator, Optional, Sequence, Tuple

import torch
from torch import Tensor, distributed, nn

from .rates import check_rate


def dropped_layers(
    depth: int, rate: float, *, seed: int, update: int, forward_pass: int, stack: str
) -> Tuple[bool, ...]:
    """Return for each layer whether it is dropped: True with probability `rate`, independently.

    A pure function of its arguments, so it is the same on every worker and after a restart,
    and it leaves every random generator alone. Layer i is dropped when a number hashed from
    (seed, update, forward pass, stack, i), uniform in [0, 1), is below `rate`; so a mask does
    not depend on the depth, and a higher rate drops the same layers and more.

    Args:
        forward_pass: counts the passes of one update from 0: with `--update-freq 2` there are two.
        stack: a name that sets stacks apart, "encoder" or "decoder".
    """
    key = hashlib.blake2b(struct.pack("<qqq", seed, update, forward_pass) + stack.encode(), digest_size=32).digest()
    return tuple(_uniform(key, layer) < rate for layer in range(depth))


def _uniform(key: bytes, layer: int) -> float:
    digest = hashlib.blake2b(struct.pack("<q", layer), key=key, digest_size=8).digest()
    return (struct.unpack("<Q", digest)[0] >> 11) * 2.0**-53


class LayerDropStack(nn.ModuleList):
    """A `torch.nn.ModuleList` whose layers are dropped while training.

    Iterate over it and call what comes, as one does with a `ModuleList`; there are always as
    many items as layers, and a dropped one hands its input on:

        for layer in stack:
            x = layer(x, padding_mask=mask)

    In evaluation every layer runs, or those chosen with `running`. Indexing, `len`, the state
    dict and attributes of the items are those of the layers.

    Args:
        layers: the modules; the first argument of each is the hidden state.
        rate: the drop rate p, 0 <= p < 1.
        name: sets this stack apart from others in the same model.
        extra_outputs: how many values a layer returns after the hidden state, in a tuple; a
            dropped layer returns None for each of them.
        seed: of the masks.

    Raises:
        ValueError: the rate is out of range.
    """

    def __init__(
        self,
        layers: Iterable[nn.Module] = (),
        rate: float = 0.0,
        name: str = "stack",
        extra_outputs: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__(layers)
        self.rate = check_rate(rate)
        self.name = name
        self.extra_outputs = extra_outputs
        self.seed = seed
        self.update = 0
        self.forward_passes = 0
        self._running: Optional[Tuple[int, ...]] = None
        self._instead: Optional[Tuple[Callable[..., Any], ...]] = None

    def set_num_updates(self, num_updates: int) -> None:
        """Begin update `num_updates`: the forward passes are counted from 0 again."""
        if num_updates != self.update:
            self.update = num_updates
            self.forward_passes = 0

    @contextlib.contextmanager
    def running(self, kept: Sequence[int]) -> Iterator["LayerDropStack"]:
        """Run only the layers `kept`, in ascending order, in evaluation and within this context.

        Raises:
            ValueError: `kept` is empty, or names a layer that does not exist, or one twice.
        """
        layers = tuple(sorted(kept))
        if not layers or len(set(layers)) < len(layers) or not 0 <= layers[0] <= layers[-1] < len(self):
            raise ValueError(f"`kept` must name layers from 0 to {len(self) - 1}, each once, but is {list(kept)}.")
        before, self._running = self._running, layers
        try:
            yield self
        finally:
            self._running = before

    @contextlib.contextmanager
    def instead(self, layers: Sequence[Callable[..., Any]]) -> Iterator["LayerDropStack"]:
        """Call `layers`, any functions, in evaluation and within this context; they are called as the layers are."""
        before, self._instead = self._instead, tuple(layers)
        try:
            yield self
        finally:
            self._instead = before

    @property
    def running_depth(self) -> int:
        """How many layers an evaluation runs."""
        return len(self) if self._running is None else len(self._running)

    def __iter__(self) -> Iterator[Any]:
        layers = tuple(self._modules.values())
        if self.training and self.rate > 0.0:
            one_pass = _ForwardPass(self)
            return iter([_Droppable(one_pass, i, layer) for i, layer in enumerate(layers)])
        if not self.training and self._instead is not None:
            return iter(self._instead)
        if not self.training and self._running is not None:
            return iter([layers[i] for i in self._running])
        return iter(layers)


class _ForwardPass:
    """One pass over a stack: the mask is drawn when a layer is first called, not when listed."""

    def __init__(self, stack: LayerDropStack) -> None:
        self.stack = stack
        self.mask: Optional[Tuple[bool, ...]] = None

    def drops(self, layer: int) -> bool:
        if self.mask is None:
            stack = self.stack
            self.mask = dropped_layers(
                len(stack),
                stack.rate,
                seed=stack.seed,
                update=stack.update,
                forward_pass=stack.forward_passes,
                stack=stack.name,
            )
            stack.forward_passes += 1
        return self.mask[layer]


class _Droppable:
    """A layer in one forward pass: called, it runs or hands its input on; else it is the layer."""

    def __init__(self, one_pass: _ForwardPass, index: int, layer: nn.Module) -> None:
        vars(self).update(_pass=one_pass, _index=index, _layer=layer)

    def __call__(self, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        if not self._pass.drops(self._index):
            return self._layer(x, *args, **kwargs)
        # With every decoder layer gone, the encoder that they read would be out of the graph, so that counts too.
        x = hand_on(x, itertools.chain(args, kwargs.values(), self._layer.parameters()))
        extra = self._pass.stack.extra_outputs
        return (x,) + (None,) * extra if extra else x

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_layer":  # copying and pickling ask before there is a layer
            raise AttributeError(name)
        return getattr(self._layer, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._layer, name, value)

    def __repr__(self) -> str:
        return repr(self._layer)


def hand_on(x: Tensor, unused: Iterable[Any]) -> Tensor:
    """Return `x` such that, where several workers train, `unused` counts as used.

    DistributedDataParallel waits for a gradient of every parameter that the forward pass might
    have used and stops with 'Expected to have finished reduction' when one never comes. As
    inputs of a function that gives them none, the parameters in `unused` and those behind other
    tensors in it count as ready in the backward pass, at no compute. One worker waits for nobody,
    and is spared the search for them, unless `x` itself needs them to have a backward pass at all.
    """
    alone = not (distributed.is_available() and distributed.is_initialized())
    if not torch.is_grad_enabled() or (alone and x.requires_grad):
        return x
    return _HandOn.apply(x, *(t for t in unused if isinstance(t, Tensor) and t.requires_grad))


class _HandOn(torch.autograd.Function):
    """The identity of its first input; the others get no gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *unused: Tensor) -> Tensor:
        ctx.unused = len(unused)
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tuple[Optional[Tensor], ...]:
        return (grad,) + (None,) * ctx.unused
