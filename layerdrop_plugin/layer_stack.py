"""A stack of layers of which an evaluation runs some: pruning without a copy of the weights."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Callable

from torch import Tensor, nn


class LayerStack(nn.ModuleList):
    """A `torch.nn.ModuleList` that runs every layer, or those chosen with `running`.

    Iterate over it and call each item. There are always as many items as layers: a layer that does not run returns its
    input, so that each layer keeps its place.

    Args:
        layers: the modules; the first argument of each is the hidden state.
        extra_outputs: how many values a layer returns after the hidden state, in a tuple. A layer that does not run
            returns None for each of them. If `extra_outputs` is a tuple, that layer returns its values instead.

    *Shape:* the hidden state may have any shape; in fairseq it is T x B x C (length, batch, channels).
    """

    # What torch.jit leaves alone; it could not compile the properties, and stops at some of the attributes.
    __jit_unused_properties__ = ["running_layers", "idle"]
    __jit_ignored_attributes__ = ["extra_outputs", "_running", "_instead"]

    def __init__(self, layers: Iterable[nn.Module] = (), extra_outputs: int | tuple[Any, ...] = 0) -> None:
        super().__init__(layers)
        self.extra_outputs = extra_outputs
        self._running: tuple[int, ...] | None = None
        self._instead: tuple[Callable[..., Any], ...] | None = None

    @contextlib.contextmanager
    def running(self, kept: Sequence[int]) -> Iterator[LayerStack]:
        """Run only the layers `kept`, in ascending order, in evaluation and within this context.

        Raises:
            ValueError: `kept` is empty, or names a layer that does not exist, or a layer twice.
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
    def instead(self, layers: Sequence[Callable[..., Any]]) -> Iterator[LayerStack]:
        """Call the functions `layers` in place of the stack's layers, in evaluation and within this context."""
        before, self._instead = self._instead, tuple(layers)
        try:
            yield self
        finally:
            self._instead = before

    @property
    def running_layers(self) -> tuple[int, ...]:
        """The indices of the layers that an evaluation runs."""
        return tuple(range(len(self))) if self._running is None else self._running

    @property
    def idle(self) -> Callable[..., Any]:
        """What is called in place of a layer that does not run: it returns its input, and what stands for the rest."""
        extra = self.extra_outputs
        instead = (None,) * extra if isinstance(extra, int) else extra
        return functools.partial(_idle, instead)  # no method, whose text would hold that of the stack

    def __iter__(self) -> Iterator[Any]:
        layers = tuple(self._modules.values())
        if not self.training and self._instead is not None:
            return iter(self._instead)
        if not self.training and self._running is not None:
            return iter(
                [layer if i in self._running else _IdleLayer(layer, self.idle) for i, layer in enumerate(layers)]
            )
        return iter(layers)

    def __prepare_scriptable__(self) -> LayerStack:
        """Return what `torch.jit.script` is to compile.

        Raises:
            ValueError: some layers run now, or other functions do; a scripted stack would run every layer.
        """
        if self._running is not None or self._instead is not None:
            raise ValueError("`torch.jit.script` must be called outside of `running` and `instead`, but is inside.")
        return self


class _IdleLayer:
    """A layer that does not run: called, it passes its input through; else it is the layer."""

    def __init__(self, layer: nn.Module, idle: Callable[..., Any]) -> None:
        self._layer, self._idle = layer, idle

    def __call__(self, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        return self._idle(x, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_layer":  # copying and pickling ask before there is a layer
            raise AttributeError(name)
        return getattr(self._layer, name)


def _idle(extra_outputs: tuple[Any, ...], x: Tensor, *args: Any, **kwargs: Any) -> Any:
    return (x, *extra_outputs) if extra_outputs else x
