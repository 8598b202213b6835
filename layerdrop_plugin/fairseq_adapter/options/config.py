"""Read and write a model's configuration, which fairseq keeps as a Namespace or as a DictConfig."""

from __future__ import annotations

import re
from argparse import Namespace
from typing import Any, Union

from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict

ModelConfig = Union[Namespace, DictConfig]


def get(cfg: Any, name: str, default: Any = None) -> Any:
    """Return an option as plain Python, `default` where it is missing; a file may hold options in a dict."""
    value = getattr(cfg, name, default) if isinstance(cfg, Namespace) else default
    if isinstance(cfg, (dict, DictConfig)) and name in cfg:  # its get() raises in omegaconf 2.0
        value = cfg[name]
    return OmegaConf.to_container(value) if isinstance(value, (DictConfig, ListConfig)) else value


def has(cfg: ModelConfig, name: str) -> bool:
    """Return whether an option is there, if only as None."""
    return name in cfg if isinstance(cfg, DictConfig) else hasattr(cfg, name)


def put(cfg: ModelConfig, name: str, value: Any) -> None:
    """Set an option in place: what fairseq saves and shows is this very object."""
    if isinstance(cfg, DictConfig):
        with open_dict(cfg):
            cfg[name] = value
    else:
        setattr(cfg, name, value)


def as_namespace(cfg: ModelConfig) -> Namespace:
    """Return the options as a Namespace; a Namespace is passed on as it is."""
    return Namespace(**as_dict(cfg)) if isinstance(cfg, DictConfig) else cfg


def as_dict(cfg: ModelConfig) -> dict[str, Any]:
    """Return the options that are set, as plain Python."""
    if isinstance(cfg, DictConfig):
        return dict(OmegaConf.to_container(cfg, resolve=True, enum_to_str=True))  # type: ignore[arg-type]
    return vars(cfg)


def take_from_task(cfg: ModelConfig, task: Any, names: tuple[str, ...]) -> None:
    """Set, in place, options that a model shares with its task; from YAML only the task has them."""
    options = getattr(task, "cfg", None) or getattr(task, "args", None)
    for name in names:
        value = getattr(options, name, None)
        if get(cfg, name) is None and value is not None:
            put(cfg, name, value)


def root_option(cfg: ModelConfig, group: str, name: str) -> Any:
    """Return an option of another group, say `common.seed`, None where it can't be seen.

    From the command line a legacy model's Namespace holds the options of all groups; from YAML
    the model is one node of the whole configuration.
    """
    if isinstance(cfg, DictConfig):
        return OmegaConf.select(cfg._get_root(), f"{group}.{name}")
    return getattr(cfg, name, None)


def architecture_beside(cfg: ModelConfig) -> str | None:
    """Return the architecture of the model that goes with the options of a task or criterion; None where none does."""
    model = cfg if isinstance(cfg, Namespace) else OmegaConf.select(cfg._get_root(), "model")
    return get(model, "_name") or get(model, "arch")


def depths_of(cfg: ModelConfig) -> dict[str, int]:
    """Return how many layers each stack has; fconv's `encoder_layers`, a list of sizes, is no depth."""
    layers = {stack: get(cfg, f"{stack}_layers") for stack in ("encoder", "decoder")}
    return {stack: int(n) for stack, n in layers.items() if re.fullmatch("[0-9]+", str(n))}
