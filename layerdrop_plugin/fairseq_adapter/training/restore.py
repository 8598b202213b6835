"""Train a pruned model on: fairseq's own functions that read and save checkpoints in training.

`Trainer.load_checkpoint` prunes the full checkpoint that it reads to the run's plan, once, with the optimizer's state;
`Trainer.state_dict` notes where the layers came from, so that a run that is started again goes on from its own
checkpoint.
"""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fairseq import checkpoint_utils
from fairseq.trainer import Trainer

from ... import families, layer_spec, message
from ... import state_dict as names
from ..checkpoints import (
    at_load,
    layer_settings,
    optimizer_state,
    provenance,
    pruning,
    same_function,
    trained_depths,
    usable,
)
from ..checkpoints.buffers import is_buffer
from ..checkpoints.checkpoint import Checkpoint
from ..checkpoints.optimizer_state import OptimizerState, Parameter
from ..checkpoints.parameters import Weights
from ..checkpoints.provenance import Pruned
from ..errors.one_line import one_line
from ..hooks import wrap
from ..options.config import put
from ..options.declared import KEEP, flag_of
from ..reading import reader
from . import save_dir
from .save_dir import DEFAULT_RESTORE_FILE

logger = logging.getLogger(__name__)

OPTIMIZER_IS_LOST = "layerdrop_optimizer_is_lost"
RESETS = ("reset_optimizer", "reset_lr_scheduler", "reset_meters", "reset_dataloader")


def install() -> None:
    """Put pruning into fairseq's functions that read and save the checkpoints of a training."""
    wrap(checkpoint_utils, "load_checkpoint", _restore)
    wrap(Trainer, "load_checkpoint", _load_checkpoint)
    wrap(Trainer, "state_dict", _state_dict)


def _plan(trainer):
    return getattr(trainer._model, "layerdrop_plan", {})  # a user's task may build models in its own way


def _restore(original, cfg, trainer, **kwargs):
    """Continue a pruned run that is started again; fairseq would go back to its `--restore-file`."""
    if cfg.restore_file != DEFAULT_RESTORE_FILE:
        with one_line():
            cfg = _continued(cfg, {stack: p for stack, p in _plan(trainer).items() if len(p.kept) < p.depth})
    return original(cfg, trainer, **kwargs)


def _continued(cfg, plan):
    """Return fairseq's configuration, so changed that a run which is started again goes on from its own checkpoint."""
    try:
        own = save_dir.own_checkpoint(cfg.save_dir, cfg.restore_file)
        held = None if own is None else Checkpoint.of(reader.read(own, "--save-dir"))
    except ValueError:
        if plan:
            raise
        return cfg  # what can't be read is not needed
    origins = {} if held is None else held.origins
    if not plan or any(stack not in origins or origins[stack].last != p for stack, p in plan.items()):
        if own is not None and held is not None and os.path.isfile(cfg.restore_file) and not cfg.no_save:
            save_dir.check_layers(own, held, cfg.restore_file, plan)
        return cfg
    again = copy.deepcopy(cfg)
    for reset in RESETS:
        put(again, reset, False)
    if own != cfg.restore_file:
        logger.info("%s is pruned as asked: this run goes on from there, not from %s", own, cfg.restore_file)
        put(again, "restore_file", DEFAULT_RESTORE_FILE)
    return again


@dataclass(frozen=True)
class TrainingRun:
    """What a training wants of the checkpoint that it reads.

    Attributes:
        plan: what the run's options ask for.
        depths: of the model that trains.
        parameters: of the model, then the criterion; None where the optimizer starts fresh.
        stores_ema: whether it needs moving averages of the weights.
    """

    plan: Mapping[str, Pruned]
    depths: Mapping[str, int]
    parameters: Sequence[Parameter] | None
    stores_ema: bool


def _load_checkpoint(original, trainer, filename, reset_optimizer=False, reset_lr_scheduler=False, *args, **kwargs):
    if trainer.is_fsdp:  # a stock model, whose weights are split among the workers under names of fairscale's
        return original(trainer, filename, reset_optimizer, reset_lr_scheduler, *args, **kwargs)
    option = "--save-dir"
    if filename == trainer.cfg.checkpoint.finetune_from_model:
        option = "--finetune-from-model"
    elif trainer.cfg.checkpoint.restore_file != DEFAULT_RESTORE_FILE:
        option = "--restore-file"
        with one_line():  # where it is missing, fairseq would train from scratch
            reader.check_file(filename, option)
    depths = names.depths_or_none(dict(trainer._model.named_parameters()))
    parameters = None if reset_optimizer else _parameters(trainer)
    run = TrainingRun(_plan(trainer), depths, parameters, trainer.cfg.ema.store_ema)
    trainer.layerdrop_origins = {}

    notes = []

    def prepare(checkpoint, path):
        prepared = _prepare(run, checkpoint, path)
        notes.append(same_function.check(checkpoint, trainer.cfg.model, path, not _is_fairseqs(trainer._model)))
        trainer.layerdrop_origins = prepared.origins
        return prepared

    with at_load.prepared_by(prepare, filename, option), usable.fitting(filename), usable.same_training(filename):
        extra_state = original(trainer, filename, reset_optimizer, reset_lr_scheduler, *args, **kwargs)
    for note in filter(None, notes):  # only now, as the weights may not fit at all
        logger.warning("%s", message.one_line(note))
    last = trainer._optim_history[-1] if trainer._optim_history else {}
    if last.pop(OPTIMIZER_IS_LOST, False):  # fairseq goes on with schedule and count only with an optimizer
        if not reset_lr_scheduler:
            trainer.lr_scheduler.load_state_dict(last["lr_scheduler_state"])
        trainer.set_num_updates(last["num_updates"])
    _warn_of_the_end(trainer, filename)
    return extra_state


def _is_fairseqs(model):
    """Return whether a model is of fairseq's own class, or of this package's."""
    return type(model).__module__.partition(".")[0] in ("fairseq", __package__.partition(".")[0])


def _warn_of_the_end(trainer, filename):
    """Say that the training ends at once, as the updates before it count, too."""
    made, most = trainer.get_num_updates(), trainer.cfg.optimization.max_update
    if 0 < most <= made:
        logger.warning(
            "`--max-update` counts the updates of %s, too, which has %s: with %s, the training ends after one more; "
            "--max-update %s makes as many more, and --finetune-from-model counts from 0",
            filename,
            f"{made:,}",
            f"{most:,}",
            made + most,
        )


def _state_dict(original, trainer):
    state = original(trainer)
    origins = getattr(trainer, "layerdrop_origins", None)
    if origins:
        state[provenance.KEY] = provenance.as_entry(origins)
    return state


def _parameters(trainer):
    modules = (("", trainer._model), ("criterion.", trainer._criterion))
    return [
        Parameter(prefix + name, tuple(p.shape))
        for prefix, module in modules
        for name, p in module.named_parameters()
        if p.requires_grad
    ]


def _prepare(run: TrainingRun, checkpoint: Checkpoint, path: str) -> Checkpoint:
    """Return what was read, pruned as the run's options say, unless that was done before."""
    todo = {stack: p for stack, p in run.plan.items() if not _is_done(checkpoint, stack, p, path)}
    small, note = checkpoint, trained_depths.note(checkpoint, todo)
    if note is not None:
        logger.warning("%s: %s", path, note)
    if todo:  # the run's own options say which layer aligns
        small = pruning.keeping(checkpoint.with_options(lambda cfg: {layer_settings.ALIGNMENT: None}), todo)
    _check_depths(small, run, path)
    if small.history[-1].get("criterion_name") is None and small.optimizer is None:
        logger.info("%s tells nothing of its training: this one begins with its first update", path)
    if run.stores_ema and "ema" not in small.extra_state:  # fairseq 0.12.2 says that it does so, and fails: KeyError
        small = small.with_entries(extra_state={**small.extra_state, "ema": dict(small.weights)})
    if run.parameters is None or small.optimizer is None:
        return replace(small, optimizer=None)
    optimizer = _carried_over(small.optimizer, checkpoint.weights, todo, run.parameters)
    if optimizer is None:
        *before, last = small.history
        lost = {**last, OPTIMIZER_IS_LOST: True}  # for all workers, who get this entry
        small = small.with_entries(optimizer_history=[*before, lost])
    return replace(small, optimizer=optimizer)


def _is_done(checkpoint: Checkpoint, stack: str, planned: Pruned, path: str) -> bool:
    """Whether a checkpoint holds just the planned layers already: then a run was started again."""
    depth = names.depths(checkpoint.weights).get(stack)
    if depth is None:
        spec = layer_spec.describe(planned.kept)
        pruning.plan({stack: spec}, {}, arch=checkpoint.architecture)
    origin = checkpoint.origins.get(stack)
    if origin is not None and origin.last == planned:
        return True
    if depth == planned.depth:
        return False
    if origin is not None:
        raise ValueError(
            f"`{KEEP[stack]}` must fit the checkpoint, but asks for layers {planned}, "
            f"and {path} was pruned before and holds layers {origin.first}."
        )
    if depth == len(planned.kept):
        return True  # pruned by fairseq, which leaves no note
    option = _depth_option(checkpoint, stack)
    advice = "" if option is None else f": `{option}` must be {depth}, too"
    raise ValueError(
        f"`{KEEP[stack]}` must fit the checkpoint, but asks for layers {planned}, and {path} has {depth}{advice}."
    )


def _check_depths(checkpoint: Checkpoint, run: TrainingRun, path: str) -> None:
    """Say plainly what fairseq would report as missing keys."""
    for stack, depth in checkpoint.depths.items():
        there = run.depths.get(stack, depth)
        if there != depth:
            option = _depth_option(checkpoint, stack)
            words = f"`--w2v-path` must fit the checkpoint, but gives it {there} {stack} layers"
            if option is not None:
                words = f"`{option}` must fit the checkpoint, but is {there}"
            raise ValueError(f"{words}, and {path} has {depth}.")


def _depth_option(checkpoint: Checkpoint, stack: str) -> str | None:
    """Return the option that holds the depth of a stack, None where a model inside the model has it."""
    option = checkpoint.family.stacks.get(stack, families.PLAIN.stacks[stack]).depth[0]
    return None if "." in option else flag_of(option)


def _carried_over(
    optimizer: OptimizerState, weights: Weights, pruned: Mapping[str, Pruned], parameters: Sequence[Parameter]
) -> OptimizerState | None:
    """Return the optimizer's state for the run's parameters; None where it is lost."""
    ours = {p.name for p in parameters if names.layer_of(p.name)}
    if not pruned and ours == {name for name in weights if names.layer_of(name) and not is_buffer(name)}:
        return optimizer
    try:
        return optimizer_state.carry_over(optimizer, weights, pruned, parameters)
    except ValueError as error:
        logger.warning("the optimizer starts fresh: its state could not be carried over, as %s", error)
        return optimizer_state.fresh(optimizer, len(parameters))
