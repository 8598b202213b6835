"""Structured dropout (paper, section 3.2): a stack that skips layers, or parts of them, in training."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Callable, NamedTuple

from torch import Tensor, nn

from . import depths, learned_rates
from .depths import Depth
from .forward_pass import DroppableLayer, ForwardPass, Passes
from .layer_stack import LayerStack
from .learned_rates import Learning
from .masks import Mask as Mask
from .masks import dropped_groups as dropped_groups
from .rates import ALWAYS, Rates, Schedule, check_rate, describe
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


@dataclass(frozen=True)
class Dropping:
    """What a stack drops while it trains.

    Attributes:
        rates: the drop rate p of a layer, 0 <= p < 1, or one for each layer.
        groups: what else is dropped, inside of layers.
        run_without: runs a layer without some of its groups.
        schedule: how all rates change over time.
        seed: of the masks.
        learned: whether the rates of the layers are learned, around the mean of `rates`.
        depths: the depths to train, as `depths.parse` returns them, of all stacks of the model. A forward pass at a
            smaller depth runs just the layers of that depth. `rates` then count in passes at full depth only: a dropped
            layer would turn a smaller depth into one that nobody asked for. `groups` count in all passes.

    Raises:
        ValueError: a rate is out of range, there are groups but no `run_without`, or learned rates beside depths.
    """

    rates: float | Sequence[float] = 0.0
    groups: tuple[Groups, ...] = ()
    run_without: RunWithout | None = None
    schedule: Schedule = ALWAYS
    seed: int = 0
    learned: bool = False
    depths: tuple[Depth, ...] = ()

    def __post_init__(self) -> None:
        one = isinstance(self.rates, (int, float, str))
        rates = check_rate(self.rates) if one else tuple(map(check_rate, self.rates))  # type: ignore[arg-type]
        object.__setattr__(self, "rates", rates)
        if self.groups and self.run_without is None:
            raise ValueError("`run_without` must be given where there are `groups`, but is None.")
        if self.learned and self.depths:
            raise ValueError("`learned` must be False where there are `depths`, but is True.")

    def layer_rates(self, depth: int) -> Rates:
        """Return the drop rate of each of `depth` layers.

        Raises:
            ValueError: there are not as many rates as layers, of the layers or of a kind of groups.
        """
        for name, rates in [("rates", self.rates), *((g.name, g.rates) for g in self.groups)]:
            if isinstance(rates, tuple) and len(rates) != depth:
                raise ValueError(f"`{name}` must be one rate, or one for each of {depth} layers, but is {rates}.")
        return self.rates if isinstance(self.rates, tuple) else (self.rates,) * depth  # type: ignore[return-value]


NOTHING = Dropping()


class LayerDropStack(LayerStack):
    """A `LayerStack` whose layers, or parts of them, are dropped while training.

    Iterate over it and call each item, as with a `ModuleList`. There are always as many items as layers, and a dropped
    one returns its input:

        for layer in stack:
            x = layer(x, padding_mask=mask)

    In evaluation nothing is dropped: all layers run, or those chosen with `running`. Indexing, `len`, the state dict
    and attributes of the items are those of the layers.

    `torch.jit.script` compiles a stack as fairseq's `LayerDropModuleList`: nothing is dropped, not even in training
    mode. So train in Python, and script afterwards. `torch.jit.trace` records what one forward pass does, so call
    `eval()` before.

    Args:
        layers: the modules; the first argument of each is the hidden state.
        dropping: what is dropped.
        name: sets this stack apart from others in the same model.
        extra_outputs: how many values a layer returns after the hidden state, in a tuple. A dropped layer returns None
            for each of them. If `extra_outputs` is a tuple, a dropped layer returns its values instead.

    Attributes:
        learning: learns the rates of the layers; None if they are fixed. When it learns, each layer has a
            `LearnedRate`, `score_function_loss` is added to the loss, and `set_num_updates` ends an update.
        model_passes: counts the forward passes of the model, so that all its stacks run the same depth in a pass. If it
            is None, the stack's own count draws its depths.

    Raises:
        ValueError: there are not as many rates as layers.

    *Shape:* the hidden state may have any shape; in fairseq it is T x B x C (length, batch, channels).
    """

    __jit_unused_properties__ = [*LayerStack.__jit_unused_properties__, "rates", "learned_rates"]
    __jit_ignored_attributes__ = [
        *LayerStack.__jit_ignored_attributes__,
        *("name", "dropping", "learning", "update", "forward_passes", "model_passes", "drawn", "dropped", "_shared"),
    ]

    def __init__(
        self,
        layers: Iterable[nn.Module] = (),
        dropping: Dropping = NOTHING,
        name: str = "stack",
        extra_outputs: int | tuple[Any, ...] = 0,
    ) -> None:
        if not isinstance(dropping, Dropping):
            raise ValueError(f"`dropping` must be a Dropping, say Dropping(0.2), but is {dropping!r}.")
        super().__init__(layers, extra_outputs)
        self.name = name
        self.dropping = dropping
        mean = _mean(self.rates)
        full = dropping.depths[0].kept.get(name) if dropping.depths else None
        if dropping.depths and full != tuple(range(len(self))):
            raise ValueError(f"`depths` must have all {len(self)} layers of {name} as full depth, but has {full}.")
        self.learning: Learning | None = None
        if dropping.learned and len(self):
            learned_rates.add_to(self._layers(), mean)
            self.learning = Learning(len(self))
        self.update = 0
        self.forward_passes = 0
        self.model_passes: Passes | None = None
        self._shared: ForwardPass | None = None
        self.drawn = self.dropped = 0  # layers, since `take_share`

    @property
    def rates(self) -> Rates:
        """The drop rate of each layer after the schedule's warm-up; where rates are learned, their mean."""
        return self.dropping.layer_rates(len(self))

    @property
    def learned_rates(self) -> Rates | None:
        """The learned drop rate of each layer after the last update, by which `learned:K` chooses; None if fixed."""
        if self.learning is None:
            return None
        return tuple(learned_rates.of_layer(layer).rate.item() for layer in self._layers())

    def rates_now(self) -> Rates:
        """The drop rate of each layer in this update."""
        if self.learning is not None:
            return self.learning.rates(self._layers(), self.mean_rate_now())
        factor = self.dropping.schedule.factor(self.update)
        return tuple(rate * factor for rate in self.rates)

    def mean_rate_now(self) -> float:
        """The mean over layers of their drop rates in this update."""
        return _mean(self.rates) * self.dropping.schedule.factor(self.update)

    def set_num_updates(self, num_updates: int) -> None:
        """Begin update `num_updates`: the forward passes are counted from 0 again."""
        if num_updates != self.update:
            self.update = num_updates
            self.forward_passes = 0
            if self.model_passes is not None:
                self.model_passes.number = -1
            if self.learning is not None:
                self.learning.finish_update(self._layers(), _mean(self.rates))

    @contextlib.contextmanager
    def one_pass(self) -> Iterator[LayerDropStack]:
        """Let all runs through the stack within this context drop the same: they are one forward pass of a model."""
        before, self._shared = self._shared, ForwardPass(self)
        try:
            yield self
        finally:
            self._shared = before

    def take_share(self) -> float | None:
        """Return the share of layers that were dropped since the last call, None if there was no forward pass."""
        share = self.dropped / self.drawn if self.drawn else None
        self.drawn = self.dropped = 0
        return share

    def score_function_loss(self, loss: Tensor) -> Tensor:
        """Return what to add to a training loss so that learned rates get their gradient; see `Learning`."""
        assert self.learning is not None
        return self.learning.score_function_loss(self._layers(), loss)

    def _layers(self) -> list[nn.Module]:
        return list(self._modules.values())  # type: ignore[arg-type]

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Learned rates begin anew where a checkpoint has none, and are left out where none are learned here."""
        for name in [n for n in state_dict if n.startswith(prefix) and learned_rates.is_own(n)]:
            if self.learning is None:
                del state_dict[name]
        if self.learning is not None:
            for name, value in self.state_dict(prefix=prefix).items():
                if learned_rates.is_own(name):
                    state_dict.setdefault(name, value)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def __iter__(self) -> Iterator[Any]:
        if self.training and (self.dropping.groups or self.dropping.depths or any(self.rates)):
            one_pass = self._shared or ForwardPass(self)
            return iter([DroppableLayer(one_pass, i, layer) for i, layer in enumerate(self._layers())])
        return super().__iter__()

    def extra_repr(self) -> str:
        """What is dropped, of how many layers: `name=encoder, rates=0.2, ffn=0.1`."""
        shown = {"name": self.name, "rates": describe(self.rates) or 0.0}
        if self.dropping.depths:
            shown["depths"] = depths.describe(self.dropping.depths)
        shown.update({g.name: describe(g.rates) for g in self.dropping.groups})
        return ", ".join(f"{name}={value}" for name, value in shown.items())

    def __repr__(self) -> str:
        shown, extra = super().__repr__(), self.extra_repr()
        # From torch 2.0 on, a ModuleList's own does without extra_repr.
        return shown if extra in shown else shown.replace("(", f"(\n  {extra}", 1)


def _mean(rates: Rates) -> float:
    return sum(rates) / max(1, len(rates))
