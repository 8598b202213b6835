"""Data Driven Pruning (paper, section 3.2.3): drop rates that are learned, one for each layer, around a given mean.

The more a layer is missed, the lower its rate gets. `learned:K` keeps the K layers of the lowest rates. What was chosen
where the paper leaves it open, and why, is in docs/explanation/learned-rates.md; the names here are those of that page:
activation (`change`), non-linearity (`scores`), softmax and constraint (`rates`), gradient (`score_function_loss`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, distributed, nn

from . import state_dict as names
from .rates import Rates

LIMIT, GAIN, GRADIENT = 4.0, 3.0, 0.01
KEEP_OF_CHANGE, KEEP_OF_LOSS = 0.99, 0.95
"""How much of a running mean stays, from update to update."""


class LearnedRate(nn.Module):
    """What a layer carries to have its rate learned: it is saved, pruned and renumbered with the layer.

    `change` and `loss` are running means of the activation and of the loss, 0 where there was none yet; `rate` is the
    drop rate after the last update, the schedule left out: what a layer is chosen by.
    """

    if TYPE_CHECKING:  # torch.jit reads annotations of classes, and knows none that is text
        change: Tensor
        loss: Tensor
        rate: Tensor

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.bias = nn.Parameter(torch.zeros(1))
        self.register_buffer("change", torch.zeros(1))
        self.register_buffer("loss", torch.zeros(1))
        self.register_buffer("rate", torch.full((1,), rate))

    def _apply(self, *args: Any, **kwargs: Any) -> LearnedRate:
        """Keep float32 in a model that becomes fp16 or bf16, where the small steps of running means are rounded off."""
        before = {name: getattr(self, name) for name in BUFFERS}
        super()._apply(*args, **kwargs)
        for name, value in before.items():
            converted = getattr(self, name)
            if converted.dtype != value.dtype:
                setattr(self, name, value.to(converted.device))
        return self


BUFFERS = ("change", "loss", "rate")
NAME = "learned_rate"
"""Of the module in a layer, and in the names of its parameters."""


def rates(scores: Tensor, mean: float) -> Tensor:
    """Return drop rates in the order of the scores, between 0 and 1, whose mean is `mean`.

    Args:
        scores: (layers,), float64.
        mean: from 0, below 1.

    Returns:
        (layers,), differentiable by the scores.

    >>> rates(torch.tensor([0.0, 0.0, 2.0], dtype=torch.float64), mean=0.5).mean().item()
    0.5
    """
    if mean <= 0.0:
        return scores * 0.0
    log_c = _log_c(scores.detach().tolist(), mean)
    with torch.no_grad():
        slope = _sigmoid_slope(scores + log_c)
    # The value is 0 up to rounding; the gradient is that of c by the scores.
    correction = (mean - torch.sigmoid(scores + log_c).mean()) / slope.mean()
    return torch.sigmoid(scores + log_c + correction)


def _sigmoid_slope(x: Tensor) -> Tensor:
    return torch.sigmoid(x) * torch.sigmoid(-x)


def _log_c(scores: Sequence[float], mean: float) -> float:
    """log(c), less the logarithm of the softmax's denominator: c q / (1 + c q) is the sigmoid of score + log_c."""
    odds = math.log(mean / (1.0 - mean))
    low, high = odds - max(scores), odds - min(scores)
    while low < (middle := (low + high) / 2) < high:
        if sum(1.0 / (1.0 + math.exp(-s - middle)) for s in scores) < mean * len(scores):
            low = middle
        else:
            high = middle
    return (low + high) / 2


class Learning:
    """Learns the rates of a stack's layers, each of which has a `LearnedRate`."""

    def __init__(self, depth: int) -> None:
        self.masks: list[tuple[tuple[bool, ...], float]] = []  # with the mean rate, of passes without their loss yet
        self.changes: list[list[Tensor]] = [[] for _ in range(depth)]
        self.losses: list[Tensor] = []

    @staticmethod
    def parameters(layer: nn.Module) -> Iterator[nn.Parameter]:
        """Return the parameters that the rate of a layer is learned by."""
        return of_layer(layer).parameters()

    @staticmethod
    def rates(layers: Sequence[nn.Module], mean: float) -> Rates:
        """The drop rate of each layer, as its scores are now."""
        with torch.no_grad():
            return tuple(rates(scores(layers), mean).tolist())

    def note_mask(self, mask: tuple[bool, ...], mean: float) -> None:
        """Remember which layers a forward pass drops, and the mean of their rates in it."""
        self.masks.append((mask, mean))

    def note_change(self, layer: int, x: Tensor, y: Tensor) -> None:
        """Remember how much a layer changed its input x into y, two hidden states of any one shape."""
        with torch.no_grad():
            before, change = x.detach().float(), y.detach().float() - x.detach().float()
            self.changes[layer].append((change.norm() / before.norm().clamp(min=1e-20)).clamp(min=1e-20).log())

    def score_function_loss(self, layers: Sequence[nn.Module], loss: Tensor) -> Tensor:
        """Return 0, with the gradient by the scores that the expected loss has, as estimated from the last passes.

        Args:
            loss: the mean over what the criterion counts, in its units, of the passes since the last call.
        """
        loss = loss.detach().double().cpu()
        self.losses.append(loss)
        usual = of_layer(layers[0]).loss.double().cpu()
        log_probability = torch.zeros((), dtype=torch.float64)
        for mask, mean in self.masks:
            if mean > 0.0:
                dropped = torch.tensor(mask)
                r = rates(scores(layers), mean)
                log_probability = log_probability + torch.where(dropped, r, 1.0 - r).log().sum()
        self.masks.clear()
        worse = torch.where(usual != 0.0, loss - usual, torch.zeros_like(loss))
        return GRADIENT * (worse * (log_probability - log_probability.detach())).sum()

    def finish_update(self, layers: Sequence[nn.Module], mean: float) -> None:
        """Take what was noted in an update, on all workers, into the running means."""
        own = list(map(of_layer, layers))
        if self.losses or any(self.changes):
            *changes, loss = self._means(own[0].loss.device)
            for rate, change in zip(own, changes):
                if math.isfinite(change):  # else the layer did not run
                    rate.change.mul_(KEEP_OF_CHANGE).add_((1 - KEEP_OF_CHANGE) * change)
                if math.isfinite(loss):
                    keep = KEEP_OF_LOSS if rate.loss.item() != 0.0 else 0.0
                    rate.loss.mul_(keep).add_((1 - keep) * loss)
        self.masks.clear()
        self.losses.clear()
        for noted in self.changes:
            noted.clear()
        for rate, value in zip(own, self.rates(layers, mean)):
            rate.rate.fill_(value)

    def _means(self, device: torch.device) -> list[float]:
        """The mean change of each layer and the mean loss, over passes and workers; nan where there is none."""
        noted = [*self.changes, self.losses]
        sums = [float(torch.stack(values).double().sum()) if values else 0.0 for values in noted]
        counts = [float(len(values)) for values in noted]
        both = torch.tensor([sums, counts], dtype=torch.float64, device=device)
        if distributed.is_available() and distributed.is_initialized():
            distributed.all_reduce(both)
        means: list[float] = (both[0] / both[1]).tolist()
        return means


def add_to(layers: Iterable[nn.Module], mean: float) -> None:
    """Give each layer, in place, a `LearnedRate` that begins at the mean."""
    for layer in layers:
        setattr(layer, NAME, LearnedRate(mean))


def of_layer(layer: nn.Module) -> LearnedRate:
    """Return what a layer carries."""
    found = getattr(layer, NAME)
    assert isinstance(found, LearnedRate)
    return found


def scores(layers: Sequence[nn.Module]) -> Tensor:
    """The score of each layer, (layers,), float64, on the CPU; the higher, the more it is dropped."""
    linear = torch.cat([r.weight * r.change + r.bias for r in map(of_layer, layers)])
    return LIMIT * torch.tanh(GAIN / LIMIT * linear.double().cpu())


def saved(weights: Mapping[str, Tensor]) -> dict[str, Rates]:
    """Return the learned drop rate of each layer, by stack, that a checkpoint's weights hold; nothing if it has none.

    >>> saved({"decoder.layers.0.learned_rate.rate": torch.tensor([0.5])})
    {'decoder': (0.5,)}
    """
    found: dict[str, dict[int, float]] = {}
    for name, value in weights.items():
        layer = names.layer_of(name)
        if layer is not None and name.endswith(f".{NAME}.rate"):
            found.setdefault(layer[0], {})[layer[1]] = float(value)
    return {stack: tuple(rate for _, rate in sorted(of_layers.items())) for stack, of_layers in found.items()}


def without(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights without what learning adds to layers."""
    return {name: value for name, value in weights.items() if not is_own(name)}


def is_buffer(name: str) -> bool:
    """Return whether this is the name of what learning adds to a layer, but of no parameter."""
    return is_own(name) and name.rpartition(".")[2] in BUFFERS


def is_own(name: str) -> bool:
    """Return whether this is the name of something that learning adds to a layer.

    >>> is_own("decoder.layers.0.learned_rate.bias"), is_own("decoder.layers.0.fc1.bias")
    (True, False)
    """
    return names.layer_of(name) is not None and name.split(".")[-2] == NAME
