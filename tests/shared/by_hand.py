"""Build a tiny model of `tiny_families`, save it, take layers out of it by hand, and compare outputs."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

import torch
from fairseq import models
from omegaconf import OmegaConf
from shared.tiny_families import TRANSLATION, Tiny
from torch import nn


def options_of(tiny: Tiny) -> Any:
    """Return the configuration of a tiny model, as fairseq's commands make it."""
    dataclass = models.MODEL_DATACLASS_REGISTRY.get(tiny.arch)
    if dataclass is not None:
        cfg = OmegaConf.structured(dataclass())
        OmegaConf.set_struct(cfg, False)
        for name, value in {**tiny.options, "_name": tiny.arch}.items():
            cfg[name] = value
        return OmegaConf.create({name: value for name, value in cfg.items_ex(resolve=False) if "${" not in str(value)})
    parser = ArgumentParser()
    models.ARCH_MODEL_REGISTRY[tiny.arch].add_args(parser)
    given = {
        name: value for name, value in vars(parser.parse_args([])).items() if value is not None and value is not False
    }
    return Namespace(**{**given, **tiny.options, "arch": tiny.arch, "_name": tiny.arch})


def build(tiny: Tiny) -> Any:
    """Return a new tiny model, the same at each call."""
    torch.manual_seed(1)
    return models.build_model(options_of(tiny), tiny.task()).eval()


def save(
    model: Any, options: Any, path: Path, form: str = "cfg", task: dict[str, Any] = TRANSLATION, **entries: Any
) -> str:
    """Write a checkpoint as fairseq does now (`cfg`), or did before 2020 (`args`); return its path."""
    plain = OmegaConf.to_container(options, enum_to_str=True) if OmegaConf.is_config(options) else options
    if form == "args":
        named = vars(plain) if isinstance(plain, Namespace) else plain
        held: dict[str, Any] = {"args": Namespace(**{**task, "arch": named["_name"], **named, "task": task["_name"]})}
    else:
        held = {"args": None, "cfg": {"model": plain, "task": task, "criterion": None, "common": {"seed": 1}}}
    history = [{"num_updates": 1, "optimizer_name": "", "lr_scheduler_state": {}, "criterion_name": ""}]
    training = {"optimizer_history": history, "extra_state": {}, "last_optimizer_state": None}
    weights = model.state_dict()
    for name in weights:
        if name.endswith("_float_tensor"):  # fairseq never sets it; NaN by chance, it is unequal to itself
            weights[name].zero_()
    torch.save({**held, "model": weights, **training, **entries}, path)
    return str(path)


def cut(model: Any, layers: dict[str, tuple[str, ...]], kept: dict[str, list[int]]) -> None:
    """Leave a model only these layers, taken out of its lists by hand."""
    for stack, numbers in kept.items():
        owners = [(model.get_submodule(place.rpartition(".")[0]), place.rpartition(".")[2]) for place in layers[stack]]
        for part, name in set(owners):  # language pairs may share one
            setattr(part, name, nn.ModuleList([getattr(part, name)[i] for i in numbers]))
            part.num_layers = part.n_transformer_layers = len(numbers)


def equal(one: Any, other: Any) -> bool:
    """Return whether two outputs of models are equal, bit for bit."""
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[name], other[name]) for name in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(equal, one, other))
    return bool(one == other)
