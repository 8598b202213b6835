"""Build the model of a training: the small one that the options ask for, with a note of the plan."""

from __future__ import annotations

import contextlib
from dataclasses import replace

from fairseq import models
from omegaconf import DictConfig, open_dict

from ... import depths
from ...message import did_you_mean
from ..checkpoints import at_load, pruning, registered, trained_depths, usable
from ..errors.one_line import in_command, one_line
from ..hooks import wrap
from ..modeling.encoder_decoder import EncoderDecoder
from ..modeling.roberta import LayerDropRobertaModel
from ..modeling.transformer_lm import LayerDropTransformerLanguageModel
from ..options import model_options
from ..options.config import get, put
from ..options.declared import KEEP
from ..options.model_options import ModelOptions
from . import start, steps, validation

OURS = (EncoderDecoder, LayerDropTransformerLanguageModel, LayerDropRobertaModel)


def install() -> None:
    """Put this into fairseq's function that builds a model."""
    wrap(models, "build_model", _build_model)


def _build_model(original, cfg, task, *args, **kwargs):
    arch = get(cfg, "_name") or get(cfg, "arch")
    owner = models.ARCH_MODEL_REGISTRY.get(arch) or models.MODEL_REGISTRY.get(arch)
    loading = at_load.is_loading()
    with one_line():
        _check_known(arch)
        if not loading:
            start.check(cfg, arch)
        options = _options(cfg, arch)
        if not issubclass(owner or object, OURS):
            model_options.check_stock(cfg)
        small, plan = _pruned(cfg, options, arch, loading)
        if loading:  # pruning may have left full depth a share of 0, for it was not trained
            small = replace(small, trained_depths=depths.with_full_depth(small.trained_depths))
        else:
            validation.check(cfg, options, small)
    with model_options.being_built(cfg, small), usable.building(owner) if loading else contextlib.nullcontext():
        model = original(cfg, task, *args, **kwargs)
    if not loading:
        steps.log(model, small)
        if small.validate_depths:
            validation.install()
    model.layerdrop_plan = plan
    return model


def _pruned(cfg, options, arch, loading):
    """Prune a model's configuration as its options say, in place; return the options of what is left, and the plan."""
    specs, learned = options.layers_to_keep, {}
    if not loading:
        options.check_training()
        specs, learned = start.with_learned(cfg, specs)
    plan = pruning.plan(specs, options.depths, learned, arch=arch)
    if not plan:
        return options, plan
    for name, value in pruning.changed_options(cfg, plan, options.stacks).items():
        put(cfg, name, value)  # in place: fairseq shows and saves this very object
    _leave_out_unknown(cfg, arch, plan)
    pruning.log(plan)
    kept = {stack: p.kept for stack, p in plan.items()}
    small = options.pruned(kept)
    if options.trained_depths and not loading:  # the smaller full depth is trained now
        put(cfg, trained_depths.OPTION, depths.spec(small.trained_depths) or None)
        steps.warn_of_lost(options, kept)
    return small, plan


def _leave_out_unknown(cfg, arch, plan):
    """Remove what was carried out from the configuration of a model that has no such option: fairseq refuses it."""
    fields = getattr(models.MODEL_DATACLASS_REGISTRY.get(arch), "__dataclass_fields__", KEEP.values())
    for stack in plan if isinstance(cfg, DictConfig) else ():
        if KEEP[stack] not in fields:
            with open_dict(cfg):
                del cfg[KEEP[stack]]


def _check_known(arch):
    if arch and arch not in {*models.ARCH_MODEL_REGISTRY, *models.MODEL_REGISTRY}:
        if at_load.is_loading() and in_command():
            registered.check("model", arch)
        near = did_you_mean(arch, registered.known("model"))
        raise ValueError(f"`model._name` must be a registered architecture, but is {arch!r} instead{near or '.'}")


def _options(cfg, arch):
    """Complete a model's configuration, in place, as fairseq will do again: it sets the depths. Return our options."""
    options = None
    if arch in models.ARCH_CONFIG_REGISTRY and arch not in models.MODEL_DATACLASS_REGISTRY:
        with open_dict(cfg) if isinstance(cfg, DictConfig) else contextlib.nullcontext():
            options = models.ARCH_CONFIG_REGISTRY[arch](cfg)
    return options if isinstance(options, ModelOptions) else model_options.read(cfg)
