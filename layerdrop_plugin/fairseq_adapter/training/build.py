"""Build the model of a training: the small one that the options ask for, with a note of the plan."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import replace

from fairseq import models
from fairseq.dataclass import utils
from omegaconf import DictConfig, open_dict

from ... import depths
from ...message import did_you_mean
from ..checkpoints import at_load, pruning, registered, trained_depths, usable
from ..errors.one_line import in_command, one_line
from ..hooks import wrap
from ..modeling.architectures import check_names
from ..modeling.config_class import completed
from ..modeling.encoder_decoder import EncoderDecoder
from ..modeling.fine_tuning import FineTuningModel
from ..modeling.roberta import LayerDropRobertaModel
from ..modeling.speech import SpeechModel
from ..modeling.speech_to_text import SpeechToText
from ..modeling.transformer_lm import LayerDropTransformerLanguageModel
from ..options import model_options
from ..options.config import get, has, put, without
from ..options.declared import KEEP, OPTIONS
from ..options.model_options import ModelOptions
from . import known_metrics, pretrained, start, steps, validation

logger = logging.getLogger(__name__)

OURS = (
    *(EncoderDecoder, LayerDropTransformerLanguageModel, LayerDropRobertaModel),
    *(SpeechModel, SpeechToText, FineTuningModel),
)


def install() -> None:
    """Put this into fairseq's function that builds a model, and into that which completes its configuration."""
    wrap(models, "build_model", _build_model)
    wrap(utils, "merge_with_parent", _merge_with_parent)


def _merge_with_parent(original, config, cfg, *args, **kwargs):
    """Say which option in YAML is unknown, as for our models without a dataclass.

    A model of fairseq's own may be pruned, too, before it is trained, although its dataclass has no option for that.
    """
    arch = get(cfg, "_name")
    if models.MODEL_DATACLASS_REGISTRY.get(arch) is not config:
        return original(config, cfg, *args, **kwargs)
    if issubclass(models.MODEL_REGISTRY[arch], OURS):
        with one_line():
            check_names(cfg, arch)
        return original(config, cfg, *args, **kwargs)
    known = config.__dataclass_fields__
    kept = {name: get(cfg, name) for name in KEEP.values() if has(cfg, name) and name not in known}
    with one_line():
        _check_options(cfg, arch, known)
    merged = original(config, without(cfg, kept), *args, **kwargs)
    for name, spec in kept.items():
        put(merged, name, spec)
    return merged


def _check_options(cfg, arch, known):
    """Refuse an option of ours that a model of fairseq's own lacks: fairseq ends with a traceback."""
    lacking = [option for option in OPTIONS if has(cfg, option.name) and option.name not in {*known, *KEEP.values()}]
    if lacking and f"layerdrop_{arch}" in models.MODEL_REGISTRY:
        raise ValueError(
            f"`model.{lacking[0].name}` must be left out for {arch}, which is fairseq's, or go with layerdrop_{arch}."
        )


def _build_model(original, cfg, task, *args, **kwargs):
    arch = get(cfg, "_name") or get(cfg, "arch")
    owner = models.ARCH_MODEL_REGISTRY.get(arch) or models.MODEL_REGISTRY.get(arch)
    loading = at_load.is_loading()
    trains = not loading and not model_options.is_building()  # a part of a model is told by that one
    with one_line():
        _check_known(arch)
        if trains:
            start.check(cfg, arch)
        if issubclass(owner or object, OURS):
            cfg = completed(cfg, arch)
            source = pretrained.read(cfg)
            options = _options(cfg, arch, source)
        else:
            source, options = None, _options(cfg, arch)
            model_options.check_stock(cfg)
        small, plan = _pruned(cfg, options, arch, loading, source)
        if loading:  # pruning may have left full depth a share of 0, for it was not trained
            small = replace(small, trained_depths=depths.with_full_depth(small.trained_depths))
        elif trains:
            validation.check(cfg, options, small)
            known_metrics.check(cfg, task)
    building = usable.building(owner) if loading else contextlib.nullcontext()
    with model_options.being_built(cfg, small), building, pretrained.pruned(cfg, plan, source):
        model = original(cfg, task, *args, **kwargs)
    if trains:
        steps.log(model, small)
        known_metrics.install()
        if small.validate_depths:
            validation.install()
    model.layerdrop_plan = plan
    return model


def _pruned(cfg, options, arch, loading, source):
    """Prune a model's configuration as its options say, in place; return the options of what is left, and the plan."""
    specs, learned = options.layers_to_keep, {}
    if not loading:
        options.check_training()
        specs, learned = start.with_learned(cfg, specs) if source is None else (specs, source.learned_rates)
    plan = pruning.plan(specs, options.depths, learned, arch=arch)
    if not plan:
        return options, plan
    kept = {stack: p.kept for stack, p in plan.items()}
    small = options.pruned(kept)
    if source is None:
        changes = pruning.changed_options(cfg, plan, options.stacks)
    else:
        changes = pretrained.changed_options(cfg, small)
    for name, value in changes.items():
        put(cfg, name, value)  # in place: fairseq shows and saves this very object
    _leave_out_unknown(cfg, arch, plan)
    pruning.log(plan)
    for note in pruning.single_layer_notes(options.layers_to_keep, plan):
        logger.warning("%s", note)
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


def _options(cfg, arch, source=None):
    """Complete a model's configuration, in place, as fairseq will do again: it sets the depths. Return our options."""
    options = None
    if arch in models.ARCH_CONFIG_REGISTRY and arch not in models.MODEL_DATACLASS_REGISTRY:
        with open_dict(cfg) if isinstance(cfg, DictConfig) else contextlib.nullcontext():
            options = models.ARCH_CONFIG_REGISTRY[arch](cfg)
    if isinstance(options, ModelOptions):
        return options
    return model_options.read(cfg, None if source is None else source.depths)
