"""Train a pruned model: fairseq's own functions that build models, read and save checkpoints in training.

`build_model` builds the small model that the options ask for and remembers the plan;
`Trainer.load_checkpoint` prunes the full checkpoint that it reads to that plan, once, with the
optimiser's state; `Trainer.state_dict` notes where the layers came from, so that a run that is
started again goes on from its own checkpoint.
"""

import contextlib
import copy
import functools
import logging
import os
from typing import Dict, List, Optional

from fairseq import checkpoint_utils, models
from fairseq.trainer import Trainer
from omegaconf import DictConfig, open_dict

from ... import layer_spec, learned_rates
from ... import state_dict as names
from ...dropping import LayerDropStack
from ...message import did_you_mean
from ..checkpoints import at_load, layer_settings, optimizer_state, provenance, pruning, registered, usable
from ..checkpoints.optimizer_state import Parameter
from ..checkpoints.provenance import Pruned
from ..config import depths_of, get, put, root_option
from ..errors import in_command, one_line
from ..hooks import wrap
from ..modeling.architectures import PREFIX, check_names
from ..modeling.roberta import LayerDropRobertaModel
from ..modeling.transformer import LayerDropTransformerModel
from ..modeling.transformer_lm import LayerDropTransformerLanguageModel
from ..options import KEEP, check_options, check_stock, check_training, schedule
from ..reading import reader
from . import backends, save_dir, steps
from .save_dir import DEFAULT_RESTORE_FILE

logger = logging.getLogger(__name__)

OURS = (LayerDropTransformerModel, LayerDropTransformerLanguageModel, LayerDropRobertaModel)
OPTIMIZER_IS_LOST = "layerdrop_optimizer_is_lost"
RESETS = ("reset_optimizer", "reset_lr_scheduler", "reset_meters", "reset_dataloader")


def install() -> None:
    """Put pruning into fairseq's functions that build and train models."""
    backends.install()
    wrap(models, "build_model", _build_model)
    wrap(checkpoint_utils, "load_checkpoint", _restore)
    wrap(Trainer, "load_checkpoint", _load_checkpoint)
    wrap(Trainer, "state_dict", _state_dict)
    wrap(Trainer, "train_step", steps.train_step)


def _build_model(stock, cfg, task, *args, **kwargs):
    arch = get(cfg, "_name") or get(cfg, "arch")
    with one_line():
        if arch and arch not in {*models.ARCH_MODEL_REGISTRY, *models.MODEL_REGISTRY}:
            if at_load.is_loading() and in_command():
                registered.check("model", arch)
            near = did_you_mean(arch, registered.known("model"))
            raise ValueError(f"`model._name` must be a registered architecture, but is {arch!r} instead{near or '.'}")
        if not at_load.is_loading():
            _check_before_training(cfg, arch)
        if arch in models.ARCH_CONFIG_REGISTRY and arch not in models.MODEL_DATACLASS_REGISTRY:
            with open_dict(cfg) if isinstance(cfg, DictConfig) else contextlib.nullcontext():
                models.ARCH_CONFIG_REGISTRY[arch](cfg)  # sets the depths; fairseq does so again
        check_options(cfg)
        if not issubclass(models.ARCH_MODEL_REGISTRY.get(arch) or models.MODEL_REGISTRY.get(arch) or object, OURS):
            check_stock(cfg)
        specs = {stack: get(cfg, name) for stack, name in KEEP.items() if get(cfg, name) is not None}
        max_update = int(root_option(cfg, "optimization", "max_update") or 0)
        learned = {}
        if not at_load.is_loading():
            check_training(cfg, max_update)
            specs, learned = _with_learned(cfg, specs)
        plan = pruning.plan(specs, depths_of(cfg), learned, arch=arch)
        if plan:
            pruning.configure(cfg, plan)
            pruning.log(plan)
    owner = models.ARCH_MODEL_REGISTRY.get(arch) or models.MODEL_REGISTRY.get(arch)
    with usable.building(owner) if at_load.is_loading() else contextlib.nullcontext():
        model = stock(cfg, task, *args, **kwargs)
    for module in model.modules():
        if isinstance(module, LayerDropStack):
            module.seed = int(root_option(cfg, "common", "seed") or 0)
            module.schedule = schedule(cfg, max_update)
            if not at_load.is_loading():
                steps.log(module)
    model.layerdrop_plan = plan
    return model


def _check_before_training(cfg, arch):
    """Find what is wrong before any data is read."""
    if isinstance(cfg, DictConfig) and str(arch).startswith(PREFIX):
        check_names(cfg, arch)
    folder, restore = (root_option(cfg, "checkpoint", name) for name in ("save_dir", "restore_file"))
    if not in_command():
        return
    if not os.path.exists(save_dir.last_checkpoint(folder)):
        for name in ("restore_file", "finetune_from_model"):
            path = root_option(cfg, "checkpoint", name)
            if path and path != DEFAULT_RESTORE_FILE:
                reader.check_file(path, "--" + name.replace("_", "-"))
    elif restore == DEFAULT_RESTORE_FILE:
        save_dir.own_checkpoint(folder, restore)


def _with_learned(cfg, specs):
    """Return specifications and learned rates, where one asks for them, as in the checkpoint that this run begins with.

    A run that was pruned so, and is started again, keeps the layers that it has.
    """
    if not any(map(layer_spec.is_learned, specs.values())):
        return specs, {}
    own = save_dir.own_checkpoint(*(root_option(cfg, "checkpoint", name) for name in ("save_dir", "restore_file")))
    depths = depths_of(cfg)
    if own is not None:
        for stack, origin in provenance.read(reader.read(own, "--save-dir")).items():
            depth, kept = origin.last
            spec = specs.get(stack)
            if layer_spec.is_learned(spec) and (depth, len(kept)) == (depths[stack], layer_spec.learned_count(spec)):
                specs = {**specs, stack: layer_spec.describe(kept)}
    if not any(map(layer_spec.is_learned, specs.values())):
        return specs, {}
    option, path = _begins_with(cfg, own)
    found = learned_rates.saved(reader.read(path, option)["model"]) if path else {}
    for stack, rates in found.items():
        if layer_spec.is_learned(specs.get(stack)) and len(rates) != depths[stack]:
            raise ValueError(
                f"`{KEEP[stack]}` must fit the checkpoint, but is {specs[stack]!r} of {depths[stack]}, "
                f"and {path} has {len(rates)}."
            )
    return specs, found


def _begins_with(cfg, own):
    """Return the checkpoint that fairseq reads first, None where it reads none, and the option that names it."""
    restore, finetune = (root_option(cfg, "checkpoint", name) for name in ("restore_file", "finetune_from_model"))
    if restore and restore != DEFAULT_RESTORE_FILE:
        found = "--restore-file", restore
    elif own is not None:
        return "--save-dir", own
    else:
        found = "--finetune-from-model", finetune
    if found[1]:
        reader.check_file(found[1], found[0])
    return found


def _plan(trainer):
    return getattr(trainer._model, "layerdrop_plan", {})  # a user's task may build models in its own way


def _restore(stock, cfg, trainer, **kwargs):
    """Continue a pruned run that is started again; fairseq would go back to its `--restore-file`."""
    if cfg.restore_file != DEFAULT_RESTORE_FILE:
        with one_line():
            cfg = _continued(cfg, {stack: p for stack, p in _plan(trainer).items() if len(p.kept) < p.depth})
    return stock(cfg, trainer, **kwargs)


def _continued(cfg, plan):
    """Return fairseq's configuration, so changed that a run which is started again goes on from its own checkpoint."""
    try:
        own = save_dir.own_checkpoint(cfg.save_dir, cfg.restore_file)
        state = {} if own is None else reader.read(own, "--save-dir")
    except ValueError:
        if plan:
            raise
        return cfg  # what can't be read is not needed
    origins = provenance.read(state)
    if not plan or any(stack not in origins or origins[stack].last != p for stack, p in plan.items()):
        if state and os.path.isfile(cfg.restore_file) and not cfg.no_save:
            save_dir.check_layers(own, state, cfg.restore_file, plan)
        return cfg
    again = copy.deepcopy(cfg)
    for reset in RESETS:
        put(again, reset, False)
    if own != cfg.restore_file:
        logger.info("%s is pruned as asked: this run goes on from there, not from %s", own, cfg.restore_file)
        put(again, "restore_file", DEFAULT_RESTORE_FILE)
    return again


class TrainingRun:
    """A training run that reads a checkpoint.

    Args:
        plan: what the run's options ask for.
        depths: of the model that trains.
        parameters: of the model, then the criterion; None where the optimiser starts fresh.
    """

    def __init__(self, plan: Dict[str, Pruned], depths: Dict[str, int], parameters: Optional[List[Parameter]]) -> None:
        self.plan = plan
        self.depths = depths
        self.parameters = parameters
        self.origins: Dict[str, provenance.Origin] = {}
        self.stores_ema = False


def _load_checkpoint(stock, trainer, filename, reset_optimizer=False, reset_lr_scheduler=False, *args, **kwargs):
    if trainer.is_fsdp:  # a stock model, whose weights are split among the workers under names of fairscale's
        return stock(trainer, filename, reset_optimizer, reset_lr_scheduler, *args, **kwargs)
    option = "--save-dir"
    if filename == trainer.cfg.checkpoint.finetune_from_model:
        option = "--finetune-from-model"
    elif trainer.cfg.checkpoint.restore_file != DEFAULT_RESTORE_FILE:
        option = "--restore-file"
        with one_line():  # where it is missing, fairseq would train from scratch
            reader.check_file(filename, option)
    depths = pruning.depths_or_none(dict(trainer._model.named_parameters()))
    run = TrainingRun(_plan(trainer), depths, None if reset_optimizer else _parameters(trainer))
    run.stores_ema = trainer.cfg.ema.store_ema
    prepared = at_load.prepared_by(functools.partial(_prepare, run), filename, option)
    with prepared, usable.fitting(filename), usable.same_training(filename):
        extra_state = stock(trainer, filename, reset_optimizer, reset_lr_scheduler, *args, **kwargs)
    last = trainer._optim_history[-1] if trainer._optim_history else {}
    if last.pop(OPTIMIZER_IS_LOST, False):  # fairseq goes on with schedule and count only with an optimiser
        if not reset_lr_scheduler:
            trainer.lr_scheduler.load_state_dict(last["lr_scheduler_state"])
        trainer.set_num_updates(last["num_updates"])
    trainer.layerdrop_origins = run.origins
    return extra_state


def _state_dict(stock, trainer):
    state = stock(trainer)
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


def _prepare(run, state, path):
    """Prune what was read as the run's options say, unless that was done before; in place."""
    todo = {stack: p for stack, p in run.plan.items() if not _is_done(state, stack, p, path)}
    weights = state["model"]
    if todo:
        for cfg in pruning.model_configs(state):
            put(cfg, layer_settings.ALIGNMENT, None)  # the run's own options say which it is
        pruning.apply(state, todo)
    _check_depths(state, run, path)
    if state["optimizer_history"][-1].get("criterion_name") is None and state.get("last_optimizer_state") is None:
        logger.info("%s tells nothing of its training: this one begins with its first update", path)
    run.origins.update(provenance.read(state))
    if run.parameters is None:
        state["last_optimizer_state"] = None
    elif state.get("last_optimizer_state") is not None:
        _carry_optimizer_over(state, weights, todo, run.parameters)
        if state["last_optimizer_state"] is None:
            state["optimizer_history"][-1][OPTIMIZER_IS_LOST] = True  # for all workers, who get this entry
    if run.stores_ema and "ema" not in state["extra_state"]:
        state["extra_state"]["ema"] = dict(state["model"])  # fairseq 0.12.2 says that it does so, and fails: KeyError


def _is_done(state, stack, planned, path):
    """Whether a checkpoint holds just the planned layers already: then a run was started again."""
    depth = names.depths(state["model"]).get(stack)
    if depth is None:
        spec = layer_spec.describe(planned.kept)
        pruning.plan({stack: spec}, {}, parameters=state["model"], arch=pruning.architecture(state))
    origin = provenance.read(state).get(stack)
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
    raise ValueError(f"`{KEEP[stack]}` must fit the checkpoint, but asks for layers {planned}, and {path} has {depth}.")


def _check_depths(state, run, path):
    """Say plainly what fairseq would report as missing keys."""
    for stack, depth in pruning.depths_or_none(state["model"]).items():
        if run.depths.get(stack, depth) != depth:
            raise ValueError(
                f"`--{stack}-layers` must fit the checkpoint, but is {run.depths[stack]}, and {path} has {depth}."
            )


def _carry_optimizer_over(state, weights, pruned, parameters):
    ours = {p.name for p in parameters if names.layer_of(p.name)}
    if not pruned and ours == {name for name in weights if names.layer_of(name) and not learned_rates.is_buffer(name)}:
        return
    optimizer = state["last_optimizer_state"]
    try:
        state["last_optimizer_state"] = optimizer_state.carry_over(optimizer, weights, pruned, parameters)
    except ValueError as error:
        logger.warning("the optimiser starts fresh: its state could not be carried over, as %s", error)
        state["last_optimizer_state"] = optimizer_state.fresh(optimizer, len(parameters))
