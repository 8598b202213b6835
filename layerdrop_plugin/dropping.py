"""Structured dropout (paper, section 3.2): a stack that skips layers, or parts of them, in training."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Callable, NamedTuple

from torch import Tensor, nn

from .learned_rates import Learning, is_own, of_layer
from .masks import Mask as Mask
from .masks import dropped_groups as dropped_groups
from .rates import Rates, Schedule, check_rate
from .unused import mark_used

hand_on = mark_used
"""Its name in version 0.1."""


class Groups(NamedTuple):
    """One kind of group inside of every layer: the heads of an attention, say, or the FFN."""

    name: str
    rates: Rates  # one for each layer
    size: int = 1  # groups in a layer


RunWithout = Callable[..., Any]
"""Called as `run(layer, dropped, x, *args, **kwargs)`: runs a layer without some of its groups.

`dropped` has a mask for each kind of group of which one is dropped, by name.
"""


class LayerDropStack(nn.ModuleList):
    """A `torch.nn.ModuleList` whose layers, or parts of them, are dropped while training.

    Iterate over it and call what comes, as one does with a `ModuleList`; there are always as
    many items as layers, and a dropped one hands its input on:

        for layer in stack:
            x = layer(x, padding_mask=mask)

    In evaluation every layer runs, whole, or those chosen with `running`; the others hand their
    input on, too, so that each layer keeps its place. Indexing, `len`, the state dict and
    attributes of the items are those of the layers.

    `torch.jit.script` compiles a stack as fairseq's `LayerDropModuleList`: every layer runs, whole, in
    training mode, too. So train in Python, and script afterwards. `torch.jit.trace` records what one
    forward pass does, so call `eval()` before.

    Args:
        layers: the modules; the first argument of each is the hidden state.
        rate: the drop rate p, 0 <= p < 1, or one for each layer.
        name: sets this stack apart from others in the same model.
        extra_outputs: how many values a layer returns after the hidden state, in a tuple; a
            dropped layer returns None for each of them.
        seed: of the masks.

    Attributes:
        groups: what else is dropped, inside of layers; with `run_without`, which does it.
        schedule: of all rates over time.
        learning: learns the rates of the layers around the given mean; None where they are fixed. Each layer then
            has a `LearnedRate`, `score_function_loss` is added to the loss, and `set_num_updates` ends an update.

    Raises:
        ValueError: the rate is out of range, or there are not as many as layers.
    """

    # What torch.jit leaves alone; it could not compile the properties, and stops at some of the attributes.
    __jit_unused_properties__ = ["rates", "learned_rates", "running_layers", "idle"]
    __jit_ignored_attributes__ = [
        *("rate", "name", "extra_outputs", "seed", "groups", "run_without", "schedule", "learning"),
        *("update", "forward_passes", "drawn", "dropped", "_running", "_instead"),
    ]

    def __init__(
        self,
        layers: Iterable[nn.Module] = (),
        rate: float | Sequence[float] = 0.0,
        name: str = "stack",
        extra_outputs: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__(layers)
        self.rate: float | Rates
        if isinstance(rate, (int, float, str)):
            self.rate = check_rate(rate)
        else:
            self.rate = tuple(map(check_rate, rate))
        if isinstance(self.rate, tuple) and len(self.rate) != len(self):
            raise ValueError(f"`rate` must be one, or one for each of {len(self)} layers, but is {self.rate}.")
        self.name = name
        self.extra_outputs = extra_outputs
        self.seed = seed
        self.groups: tuple[Groups, ...] = ()
        self.run_without: RunWithout | None = None
        self.schedule = Schedule()
        self.learning: Learning | None = None
        self.update = 0
        self.forward_passes = 0
        self.drawn = self.dropped = 0  # layers, since `take_share`
        self._running: tuple[int, ...] | None = None
        self._instead: tuple[Callable[..., Any], ...] | None = None

    @property
    def rates(self) -> Rates:
        """The drop rate of each layer, once the schedule's warm-up is over; of learned ones, the mean."""
        return self.rate if isinstance(self.rate, tuple) else (self.rate,) * len(self)

    @property
    def learned_rates(self) -> Rates | None:
        """The drop rate of each layer after the last update, if they are learned: what layers are chosen by."""
        if self.learning is None:
            return None
        return tuple(of_layer(self[i]).rate.item() for i in range(len(self)))

    def rates_now(self) -> Rates:
        """The drop rate of each layer in this update."""
        if self.learning is not None:
            return self.learning.rates(list(self._modules.values()), self.mean_rate_now())
        factor = self.schedule.factor(self.update)
        return tuple(rate * factor for rate in self.rates)

    def mean_rate_now(self) -> float:
        """The mean over layers of their drop rates in this update."""
        return _mean(self.rates) * self.schedule.factor(self.update)

    def set_num_updates(self, num_updates: int) -> None:
        """Begin update `num_updates`: the forward passes are counted from 0 again."""
        if num_updates != self.update:
            self.update = num_updates
            self.forward_passes = 0
            if self.learning is not None:
                self.learning.finish_update(list(self._modules.values()), _mean(self.rates))

    def take_share(self) -> float | None:
        """Return the share of layers that were dropped since the last call, None if there was no forward pass."""
        share = self.dropped / self.drawn if self.drawn else None
        self.drawn = self.dropped = 0
        return share

    def score_function_loss(self, loss: Tensor) -> Tensor:
        """Return what to add to a training loss so that learned rates get their gradient; see `Learning`."""
        assert self.learning is not None
        return self.learning.score_function_loss(list(self._modules.values()), loss)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Learned rates begin anew where a checkpoint has none, and are left out where none are learned here."""
        for name in [n for n in state_dict if n.startswith(prefix) and is_own(n)]:
            if self.learning is None:
                del state_dict[name]
        if self.learning is not None:
            for name, value in self.state_dict(prefix=prefix).items():
                if is_own(name):
                    state_dict.setdefault(name, value)
        super()._load_from_state_dict(state_dict, prefix, *args)

    @contextlib.contextmanager
    def running(self, kept: Sequence[int]) -> Iterator[LayerDropStack]:
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
    def instead(self, layers: Sequence[Callable[..., Any]]) -> Iterator[LayerDropStack]:
        """Call `layers`, any functions, in evaluation and within this context; they are called as the layers are."""
        before, self._instead = self._instead, tuple(layers)
        try:
            yield self
        finally:
            self._instead = before

    @property
    def running_layers(self) -> tuple[int, ...]:
        """The layers that an evaluation runs."""
        return tuple(range(len(self))) if self._running is None else self._running

    @property
    def idle(self) -> Callable[..., Any]:
        """What is called in place of a layer that does not run: it returns its input, None for each extra output."""
        return functools.partial(_idle, self.extra_outputs)  # no method, whose text would hold that of the stack

    def __prepare_scriptable__(self) -> LayerDropStack:
        """Return what `torch.jit.script` is to compile.

        Raises:
            ValueError: some layers run now, or other functions do; a scripted stack would run every layer.
        """
        if self._running is not None or self._instead is not None:
            raise ValueError("`torch.jit.script` must be called outside of `running` and `instead`, but is inside.")
        return self

    def __iter__(self) -> Iterator[Any]:
        layers = tuple(self._modules.values())
        if self.training and (self.groups or any(self.rates)):
            one_pass = _ForwardPass(self)
            return iter([_Droppable(one_pass, i, layer) for i, layer in enumerate(layers)])
        if not self.training and self._instead is not None:
            return iter(self._instead)
        if not self.training and self._running is not None:
            return iter([layer if i in self._running else self.idle for i, layer in enumerate(layers)])
        return iter(layers)


def _idle(extra_outputs: int, x: Tensor, *args: Any, **kwargs: Any) -> Any:
    return (x,) + (None,) * extra_outputs if extra_outputs else x


def _mean(rates: Rates) -> float:
    return sum(rates) / max(1, len(rates))


class _ForwardPass:
    """One pass over a stack: the masks are drawn when a layer is first called, not when listed."""

    def __init__(self, stack: LayerDropStack) -> None:
        self.stack = stack
        self.layers: Mask | None = None
        self.groups: dict[str, Mask] = {}

    def drops(self, layer: int) -> bool:
        if self.layers is None:
            self.layers = self._draw()
        return self.layers[layer]

    def drops_of(self, layer: int) -> dict[str, Mask]:
        """The masks of the groups in a layer, where one of them is dropped."""
        found = {g.name: self.groups[g.name][layer * g.size : (layer + 1) * g.size] for g in self.stack.groups}
        return {name: mask for name, mask in found.items() if any(mask)}

    def _draw(self) -> Mask:
        stack = self.stack
        key = {"seed": stack.seed, "update": stack.update, "forward_pass": stack.forward_passes}
        rates = stack.rates_now()
        layers = dropped_groups(rates, **key, name=stack.name)
        factor = stack.schedule.factor(stack.update)
        for g in stack.groups:
            of_groups = [rate * factor for rate in g.rates for _ in range(g.size)]
            self.groups[g.name] = dropped_groups(of_groups, **key, name=f"{stack.name}.{g.name}")
        stack.forward_passes += 1
        stack.drawn += len(layers)
        stack.dropped += sum(layers)
        if stack.learning is not None:
            stack.learning.note_mask(layers, stack.mean_rate_now())
        return layers


class _Droppable:
    """A layer in one forward pass: called, it runs or hands its input on; else it is the layer."""

    def __init__(self, one_pass: _ForwardPass, index: int, layer: nn.Module) -> None:
        vars(self).update(_pass=one_pass, _index=index, _layer=layer)

    def __call__(self, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        stack = self._pass.stack
        if self._pass.drops(self._index):
            # With every decoder layer gone, the encoder that they read would be out of the graph, so that counts too.
            return stack.idle(mark_used(x, itertools.chain(args, kwargs.values(), self._layer.parameters())))
        if stack.learning is None:
            return self._run(x, *args, **kwargs)
        result = self._run(mark_used(x, stack.learning.parameters(self._layer)), *args, **kwargs)
        stack.learning.note_change(self._index, x, result[0] if stack.extra_outputs else result)
        return result

    def _run(self, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        dropped = self._pass.drops_of(self._index)
        if dropped:
            return self._pass.stack.run_without(self._layer, dropped, x, *args, **kwargs)
        return self._layer(x, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_layer":  # copying and pickling ask before there is a layer
            raise AttributeError(name)
        return getattr(self._layer, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._layer, name, value)

    def __repr__(self) -> str:
        return repr(self._layer)
