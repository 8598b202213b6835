"""Run a model with many sets of its layers; sets that begin with the same layers share their computation."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Callable, NamedTuple, TypeVar

from torch import Tensor

from .candidates import Candidate
from .dropping import LayerDropStack

Layer = tuple[int, int]  # the number of the stack, and of the layer in it
Result = TypeVar("Result")


def route(candidate: Candidate) -> list[Layer]:
    """Return the layers that run, in their order.

    >>> route(((0, 2), (1,)))
    [(0, 0), (0, 2), (1, 1)]
    """
    return [(stack, layer) for stack, kept in enumerate(candidate) for layer in kept]


def layer_evaluations(candidates: Sequence[Candidate]) -> int:
    """Return how many times a layer runs for one batch when sorted candidates share their beginnings.

    >>> from itertools import combinations
    >>> layer_evaluations([(kept,) for kept in combinations(range(16), 8)])
    24309
    """
    count = 0
    before: list[Layer] = []
    for candidate in candidates:
        layers = route(candidate)
        count += len(layers) - _in_common(before, layers)
        before = layers
    return count


def layer_evaluations_apart(candidates: Iterable[Candidate]) -> int:
    """Return how many times a layer runs for one batch when each candidate runs by itself.

    >>> from itertools import combinations
    >>> layer_evaluations_apart([(kept,) for kept in combinations(range(16), 8)])
    102960
    """
    return sum(len(kept) for candidate in candidates for kept in candidate)


class SharedPrefixes:
    """Compute a model's results for candidates, bit for bit as if only each candidate's layers ran.

    The outputs of the last candidate's layers are kept. The layers that the next candidate begins with are
    not run again. So sorted candidates are a depth-first walk over the tree of their prefixes. The model
    itself runs what is outside the stacks, such as the embedding and the output layer, around layers that
    return their known outputs, attention included.

    Args:
        stacks: of the model, in evaluation mode, in the order in which they run.
        forward: runs the model on the current batch and returns the result.

    Attributes:
        layer_evaluations: how many layers have run.
    """

    def __init__(self, stacks: Sequence[LayerDropStack], forward: Callable[[], Result]) -> None:
        self.stacks = stacks
        self.forward = forward
        self.layer_evaluations = 0
        self._route: list[Layer] = []
        self._outputs: list[Any] = []  # of each layer of the route
        self._calls: dict[int, tuple[list[Layer], list[_Call]]] = {}  # by stack: after which layers; of each layer

    def result(self, candidate: Candidate) -> Any:
        """Return what the model gives when just these layers run."""
        layers = route(candidate)
        common = _in_common(self._route, layers)
        self._route = layers[:common]
        del self._outputs[common:]
        for place in range(common, len(layers)):
            self._outputs.append(self._run(layers, place))
        self._route = layers
        with self._at_the_end_of(layers):
            return self.forward()

    def _run(self, layers: list[Layer], place: int) -> Any:
        stack, layer = layers[place]
        begins = place == 0 or layers[place - 1][0] != stack
        if begins and (stack not in self._calls or self._calls[stack][0] != layers[:place]):
            self._calls[stack] = layers[:place], self._capture(stack, layers[:place])
        call = self._calls[stack][1][layer]
        self.layer_evaluations += 1
        x = call.x if begins else _hidden_state(self._outputs[place - 1])
        return self.stacks[stack][layer](x, *call.args, **call.kwargs)

    def _capture(self, stack: int, before: list[Layer]) -> list[_Call]:
        """Run the model to the end of this stack, whose layers do nothing, and note how it calls each layer."""
        calls: list[_Call] = []
        layers = self.stacks[stack]

        def note(x: Tensor, *args: Any, **kwargs: Any) -> Any:
            calls.append(_Call(x, args, kwargs))
            if len(calls) == len(layers):
                raise _Captured
            return layers.idle(x)

        with self._at_the_end_of(before), layers.instead([note] * len(layers)):
            try:
                self.forward()
            except _Captured:
                return calls
        raise ValueError(f"the model must call the layers of its {layers.name}, but does not.")

    @contextlib.contextmanager
    def _at_the_end_of(self, layers: list[Layer]) -> Iterator[None]:
        """Let the layers in `layers` return their known outputs, and the other layers of their stacks do nothing."""
        known: dict[int, dict[int, Any]] = {}
        for (number, layer), output in zip(layers, self._outputs):
            known.setdefault(number, {})[layer] = output
        with contextlib.ExitStack() as contexts:
            for number, outputs in known.items():
                stack = self.stacks[number]
                instead = [_giving(outputs[i]) if i in outputs else stack.idle for i in range(len(stack))]
                contexts.enter_context(stack.instead(instead))
            yield


class EachApart:
    """Compute a model's results for candidates, each by itself: of a model that runs a stack several times in a pass.

    Args:
        stacks: as of `SharedPrefixes`.
        forward: the same.

    Attributes:
        layer_evaluations: how many layers have run, each counted once in a pass.
    """

    def __init__(self, stacks: Sequence[LayerDropStack], forward: Callable[[], Result]) -> None:
        self.stacks = stacks
        self.forward = forward
        self.layer_evaluations = 0

    def result(self, candidate: Candidate) -> Any:
        """Return what the model gives when just these layers run."""
        self.layer_evaluations += len(route(candidate))
        with contextlib.ExitStack() as contexts:
            for stack, kept in zip(self.stacks, candidate):
                contexts.enter_context(stack.running(kept))
            return self.forward()


class _Call(NamedTuple):
    x: Tensor
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class _Captured(Exception):
    """Raised to leave the model when its calls are known."""


def _giving(value: Any) -> Callable[..., Any]:
    return lambda *args, **kwargs: value


def _hidden_state(output: Any) -> Tensor:
    state: Tensor = output[0] if isinstance(output, tuple) else output
    return state


def _in_common(one: list[Layer], other: list[Layer]) -> int:
    """Return how many layers two routes share at their beginning."""
    count = 0
    for a, b in zip(one, other):
        if a != b:
            break
        count += 1
    return count
