"""Read and write a model's configuration, which fairseq keeps as a Namespace or as a DictConfig."""

from __future__ import annotations

import contextlib
import copy
from argparse import Namespace
from collections.abc import Collection
from typing import Any, Union

from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict

ModelConfig = Union[Namespace, DictConfig]


def get(cfg: Any, name: str, default: Any = None) -> Any:
    """Return an option as plain Python, `default` where it is missing; a file may hold options in a dict.

    A dot in the name leads into an option that holds options.
    """
    value = _held(cfg, name, default)
    return OmegaConf.to_container(value) if isinstance(value, (DictConfig, ListConfig)) else value


def _held(cfg: Any, name: str, default: Any = None) -> Any:
    head, _, rest = name.partition(".")
    value = getattr(cfg, head, default) if isinstance(cfg, Namespace) else default
    if isinstance(cfg, (dict, DictConfig)) and head in cfg:  # its get() raises in omegaconf 2.0
        value = cfg[head]
    return _held(value, rest, default) if rest else value


def has(cfg: Any, name: str) -> bool:
    """Return whether an option is there, if only as None."""
    head, _, rest = name.partition(".")
    there = head in cfg if isinstance(cfg, (dict, DictConfig)) else hasattr(cfg, head)
    return there and (not rest or has(_held(cfg, head), rest))


def put(cfg: Any, name: str, value: Any) -> None:
    """Set an option in place: what fairseq saves and shows is this very object.

    Of an option that holds options, a changed copy takes the place, as others may hold the same one.
    """
    head, _, rest = name.partition(".")
    if rest:
        inner = copy.deepcopy(_held(cfg, head))
        put(inner, rest, value)
        value = inner
    if isinstance(cfg, DictConfig):
        with open_dict(cfg):
            if isinstance(value, Namespace):
                cfg._get_node(head)._val = value  # type: ignore[union-attr]  # which omegaconf lets nobody replace
            else:
                cfg[head] = value
    elif isinstance(cfg, dict):
        cfg[head] = value
    else:
        setattr(cfg, head, value)


def without(cfg: ModelConfig, names: Collection[str]) -> ModelConfig:
    """Return the options without these; the same ones where none of these is there."""
    left = [name for name in names if has(cfg, name)]
    if not left:
        return cfg
    new = copy.deepcopy(cfg)
    with open_dict(new) if isinstance(new, DictConfig) else contextlib.nullcontext():
        for name in left:
            del new[name]
    return new


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
