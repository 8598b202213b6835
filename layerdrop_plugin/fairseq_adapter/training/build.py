"""Build the model of a training: the small one that the options ask for, with a note of the plan."""

from __future__ import annotations

import contextlib

from fairseq import models
from omegaconf import DictConfig, open_dict

from ...dropping import LayerDropStack
from ...message import did_you_mean
from ..checkpoints import at_load, pruning, registered, usable
from ..config import depths_of, get, put, root_option
from ..errors import in_command, one_line
from ..hooks import wrap
from ..modeling.roberta import LayerDropRobertaModel
from ..modeling.transformer import LayerDropTransformerModel
from ..modeling.transformer_lm import LayerDropTransformerLanguageModel
from ..options import KEEP, check_options, check_stock, check_training, schedule
from . import start, steps

OURS = (LayerDropTransformerModel, LayerDropTransformerLanguageModel, LayerDropRobertaModel)


def install() -> None:
    """Put this into fairseq's function that builds a model."""
    wrap(models, "build_model", _build_model)


def _build_model(original, cfg, task, *args, **kwargs):
    arch = get(cfg, "_name") or get(cfg, "arch")
    with one_line():
        if arch and arch not in {*models.ARCH_MODEL_REGISTRY, *models.MODEL_REGISTRY}:
            if at_load.is_loading() and in_command():
                registered.check("model", arch)
            near = did_you_mean(arch, registered.known("model"))
            raise ValueError(f"`model._name` must be a registered architecture, but is {arch!r} instead{near or '.'}")
        if not at_load.is_loading():
            start.check(cfg, arch)
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
            specs, learned = start.with_learned(cfg, specs)
        plan = pruning.plan(specs, depths_of(cfg), learned, arch=arch)
        if plan:
            for name, value in pruning.changed_options(cfg, plan).items():
                put(cfg, name, value)  # in place: fairseq shows and saves this very object
            pruning.log(plan)
    owner = models.ARCH_MODEL_REGISTRY.get(arch) or models.MODEL_REGISTRY.get(arch)
    with usable.building(owner) if at_load.is_loading() else contextlib.nullcontext():
        model = original(cfg, task, *args, **kwargs)
    for module in model.modules():
        if isinstance(module, LayerDropStack):
            module.seed = int(root_option(cfg, "common", "seed") or 0)
            module.schedule = schedule(cfg, max_update)
            if not at_load.is_loading():
                steps.log(module)
    model.layerdrop_plan = plan
    return model
