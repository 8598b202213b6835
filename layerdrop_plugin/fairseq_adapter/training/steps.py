"""Structured dropout while fairseq trains: rates in the log, shares beside the loss, gradients of learned rates."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from fairseq.logging import metrics
from fairseq.trainer import Trainer
from torch import nn

from ... import depths_left, layer_spec
from ...dropping import LayerDropStack
from ...forward_pass import Passes
from ...selection import Kept
from ..errors import user_errors
from ..hooks import wrap
from ..modeling.transformer_align import LayerDropTransformerAlignModel
from ..options.model_options import ModelOptions

logger = logging.getLogger(__name__)

SHORT = {"encoder": "enc", "decoder": "dec"}


def install() -> None:
    """Put this around fairseq's function for one update."""
    wrap(Trainer, "train_step", train_step)


def log(model: nn.Module, options: ModelOptions) -> None:
    """Say once what a training drops: the rates of each layer, and the layers that each trained depth runs."""
    stacks = [module for module in model.modules() if isinstance(module, LayerDropStack)]
    for stack in stacks:
        _log_rates(stack)
    if not any(any(stack.rates) or stack.dropping.groups or stack.dropping.depths for stack in stacks):
        _warn_of_schedule(options)
    if isinstance(model, LayerDropTransformerAlignModel) and model.spared:
        logger.info("decoder layer %d, the --alignment-layer, is never dropped", model.alignment_layer)
    if options.trained_depths:
        _log_depths(options)


def _warn_of_schedule(options: ModelOptions) -> None:
    """Say that the schedule is of nothing; a sweep over rates may well have it beside a rate of 0."""
    for time in ("warmup", "cooldown"):
        updates = getattr(options.schedule, time)
        if updates:
            why = "as no drop rate is above 0 and there are no --layerdrop-depths"
            logger.warning("--layerdrop-%s-updates %d does nothing, %s", time, updates, why)


def _log_depths(options: ModelOptions) -> None:
    schedule = options.schedule
    when = ", between warm-up and cool-down" if schedule.warmup or schedule.cooldown else ""
    full, *smaller = options.trained_depths
    trained = [depth for depth in (full, *smaller) if depth.share > 0.0 or (when and depth is full)]
    for depth in trained:
        layers = _layers(depth.kept)
        logger.info("depth %s is trained in %.4g of the forward passes%s: %s", depth.name, depth.share, when, layers)
    never = {
        stack: tuple(i for i in range(depth) if not any(i in d.kept[stack] for d in trained))
        for stack, depth in options.depths.items()
    }
    if any(any(stack.layerdrop) for stack in options.stacks.values()):
        names = " and ".join(f"layerdrop_depth_{SHORT[stack]}" for stack in options.depths)
        logger.info("layers are dropped at their rates in forward passes at full depth; %s: how many ran", names)
    if any(never.values()):
        layers = _layers({stack: kept for stack, kept in never.items() if kept})
        logger.warning("not trained, as no depth of --layerdrop-depths has them: %s", layers)


def warn_of_lost(options: ModelOptions, kept: Mapping[str, Kept]) -> None:
    """Say once which of the depths that a training names are lost, as it prunes the model first.

    Raises:
        ValueError: one line: none is left.
    """
    lost = depths_left.lost(options.trained_depths, kept)
    if not lost:
        return
    names = ", ".join(lost)
    if len(lost) == sum(depth.share > 0.0 for depth in options.trained_depths[1:]):
        raise ValueError(
            f"`--layerdrop-depths` must name a depth that is left after pruning to {_layers(kept)}, but has {names}; "
            "depths count the layers before pruning."
        )
    logger.warning("not trained, as pruning leaves %s: %s of --layerdrop-depths", _layers(kept), names)


def _layers(kept: Mapping[str, Kept]) -> str:
    return "; ".join(f"{stack} layers [{layer_spec.describe(layers)}]" for stack, layers in kept.items())


def _log_rates(stack: LayerDropStack) -> None:
    """Say the drop rates of each layer, those over the whole of a schedule's middle."""
    named = {"layer": stack.rates, **{g.name: g.rates for g in stack.dropping.groups}}
    for name, rates in named.items():
        if any(rates):
            by_layer = " ".join(f"{rate:.4g}" for rate in rates)
            logger.info("drop rates of the %s, %s, from the first layer to the last: %s", stack.name, name, by_layer)


def train_step(original: Any, trainer: Any, *args: Any, **kwargs: Any) -> Any:
    """Go around `Trainer.train_step`: log the mean rate and the share of dropped layers of this update.

    Stacks hear of an update's end at once: fairseq tells the model only as it begins the next one, and a checkpoint
    that is saved in between would lack what learned rates have noted.
    """
    stacks = _stacks(trainer)
    for stack in stacks:
        stack.set_num_updates(trainer.get_num_updates())  # of a run that goes on, it does not know yet
    rates = {stack.name: stack.mean_rate_now() for stack in stacks}
    with user_errors.first_update(trainer):
        logged = original(trainer, *args, **kwargs)
    for stack in stacks:
        stack.set_num_updates(trainer.get_num_updates())
        share = stack.take_share()
        if share is None or logged is None:
            continue
        short = SHORT[stack.name]
        if stack.dropping.depths:  # the share of layers would be that of the depths that were drawn
            metrics.log_scalar(f"layerdrop_depth_{short}", len(stack) * (1 - share), weight=1, priority=252, round=2)
        elif any(stack.rates):
            metrics.log_scalar(f"layerdrop_{short}", share, weight=1, priority=250, round=3)
            metrics.log_scalar(f"layerdrop_{short}_rate", rates[stack.name], weight=1, priority=251, round=3)
    return logged


def _stacks(trainer: Any) -> list[LayerDropStack]:
    if not hasattr(trainer, "layerdrop_stacks"):
        trainer.layerdrop_stacks = [m for m in trainer._model.modules() if isinstance(m, LayerDropStack)]
        _count_passes(trainer._criterion, trainer.layerdrop_stacks)
        learning = [stack for stack in trainer.layerdrop_stacks if stack.learning is not None]
        if learning:
            trainer._criterion.register_forward_hook(_with_score_function_loss(learning))
    return trainer.layerdrop_stacks


def _count_passes(criterion: nn.Module, stacks: list[LayerDropStack]) -> None:
    """Let all stacks draw their depth by the number of the criterion's call.

    A criterion that calls the model twice compares what it returns, and that is one depth then.
    """
    with_depths = [stack for stack in stacks if stack.dropping.depths]
    if with_depths:
        passes = Passes()
        criterion.register_forward_pre_hook(passes)
        for stack in with_depths:
            stack.model_passes = passes


def _with_score_function_loss(stacks: list[LayerDropStack]) -> Any:
    def hook(criterion: nn.Module, inputs: Any, output: Any) -> Any:
        loss, sample_size, logging_output = output
        mean = loss.detach() / max(sample_size, 1)
        for stack in stacks:
            if stack.learning is not None and stack.learning.masks:  # in training
                loss = loss + sample_size * stack.score_function_loss(mean).to(loss)
        return loss, sample_size, logging_output

    return hook
