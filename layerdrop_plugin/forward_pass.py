"""One forward pass over a stack in training: what it drops, and how a layer that may be dropped is called."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from . import depths
from .masks import Mask, dropped_groups
from .unused import mark_used

if TYPE_CHECKING:
    from .dropping import LayerDropStack


class Passes:
    """Counts the forward passes of a model in one update, for stacks that must all run the same depth in one of them.

    It is the forward pre-hook of the model, or of a module that calls it:
    `handle = model.register_forward_pre_hook(passes)`. `torch.jit.script` takes no such hook: call `handle.remove()`
    before.

    Attributes:
        number: of the pass that began last, from 0; -1 before the first of an update.
    """

    def __init__(self) -> None:
        self.number = -1

    def __call__(self, model: nn.Module, inputs: Any) -> None:
        """Count a pass in training."""
        if model.training:
            self.number += 1


class ForwardPass:
    """One pass over a stack: the masks are drawn when a layer is first called, not when listed."""

    def __init__(self, stack: LayerDropStack) -> None:
        self.stack = stack
        self.layers: Mask | None = None
        self.groups: dict[str, Mask] = {}

    def drops(self, layer: int) -> bool:
        """Return whether a layer is dropped as a whole."""
        if self.layers is None:
            self.layers = self._draw()
        return self.layers[layer]

    def drops_of(self, layer: int) -> dict[str, Mask]:
        """The masks of the groups in a layer, where one of them is dropped."""
        groups = self.stack.dropping.groups
        masks = {g.name: self.groups[g.name][layer * g.size : (layer + 1) * g.size] for g in groups}
        return {name: mask for name, mask in masks.items() if any(mask)}

    def _draw(self) -> Mask:
        stack, dropping = self.stack, self.stack.dropping
        key = {"seed": dropping.seed, "update": stack.update, "forward_pass": stack.forward_passes}
        factor = dropping.schedule.factor(stack.update)
        depth = depths.draw(dropping.depths, **self._key_of_depth(key), factor=factor) if dropping.depths else None
        if depth is None or depth is dropping.depths[0]:
            layers = dropped_groups(stack.rates_now(), **key, name=stack.name)
        else:
            layers = tuple(i not in depth.kept[stack.name] for i in range(len(stack)))
        for g in dropping.groups:
            of_groups = [rate * factor for rate in g.rates for _ in range(g.size)]
            self.groups[g.name] = dropped_groups(of_groups, **key, name=f"{stack.name}.{g.name}")
        stack.forward_passes += 1
        stack.drawn += len(layers)
        stack.dropped += sum(layers)
        if stack.learning is not None:
            stack.learning.note_mask(layers, stack.mean_rate_now())
        return layers

    def _key_of_depth(self, key: dict[str, int]) -> dict[str, int]:
        """A criterion may call the encoder alone, besides: the stacks' own counts then differ, the model's is one."""
        passes = self.stack.model_passes
        return key if passes is None else {**key, "forward_pass": passes.number}


class DroppableLayer:
    """A layer in one forward pass: called, it runs or passes its input through; else it is the layer."""

    def __init__(self, one_pass: ForwardPass, index: int, layer: nn.Module) -> None:
        vars(self).update(_pass=one_pass, _index=index, _layer=layer)

    def __call__(self, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Call the layer, without what this forward pass drops of it."""
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
        run_without = self._pass.stack.dropping.run_without
        if dropped and run_without is not None:
            return run_without(self._layer, dropped, x, *args, **kwargs)
        return self._layer(x, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_layer":  # copying and pickling ask before there is a layer
            raise AttributeError(name)
        return getattr(self._layer, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._layer, name, value)

    def __repr__(self) -> str:
        return repr(self._layer)
