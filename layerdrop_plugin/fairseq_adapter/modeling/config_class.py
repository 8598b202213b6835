"""Add our options to fairseq's dataclass of a model: Hydra, YAML and checkpoints then know them as its own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import field, make_dataclass
from typing import Any

from fairseq.models import MODEL_DATACLASS_REGISTRY
from omegaconf import DictConfig, OmegaConf

from ..options.config import ModelConfig, put
from ..options.declared import Option


def config_class(config: type, options: Iterable[Option]) -> type:
    """Return a dataclass of all that `config` has and these options, which any text may fill; they keep its defaults.

    Annotations that are text, as in a file with `from __future__ import annotations`, are none for fairseq.
    """
    known: dict[str, Any] = config.__dataclass_fields__  # type: ignore[attr-defined]
    fields = [
        (o.name, Any, field(default=known[o.name].default if o.name in known else None, metadata={"help": o.help}))
        for o in options
    ]
    return make_dataclass(f"LayerDrop{config.__name__}", fields, bases=(config,), namespace={"__module__": __name__})


def completed(cfg: ModelConfig, arch: str) -> ModelConfig:
    """Set the defaults of a model's dataclass where its configuration has nothing, in place, if it has a dataclass.

    A Namespace is made a DictConfig, which is what such models take.
    """
    config = MODEL_DATACLASS_REGISTRY.get(arch)
    if config is None:
        return cfg
    if not isinstance(cfg, DictConfig):
        values = config.from_namespace(cfg)
        values._name = arch
        return OmegaConf.structured(values)
    defaults = OmegaConf.structured(config)
    for name in config.__dataclass_fields__:
        if name not in cfg.keys():  # noqa: SIM118  a value may be missing, or stand elsewhere
            put(cfg, name, defaults._get_node(name))
    return cfg
