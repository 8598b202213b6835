"""Register a `layerdrop_*` architecture for each of fairseq's, taken from its registry."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any, Callable

from fairseq.models import (
    ARCH_CONFIG_REGISTRY,
    ARCH_MODEL_NAME_REGISTRY,
    ARCH_MODEL_REGISTRY,
    MODEL_DATACLASS_REGISTRY,
    register_model_architecture,
)

from ... import message
from ..errors.one_line import one_line
from ..options.config import as_dict, put
from ..options.model_options import ModelOptions, check_depths, known, read

PREFIX = "layerdrop_"


def register_architectures(model: str, afterwards: Callable[[Any], None] = lambda args: None) -> None:
    """Register our counterpart of every architecture of fairseq's `model`.

    Args:
        afterwards: sets what the architectures leave open.
    """
    names = [arch for arch, of in ARCH_MODEL_NAME_REGISTRY.items() if of == model]
    for name in names:
        register_model_architecture(PREFIX + model, PREFIX + name)(
            _architecture(ARCH_CONFIG_REGISTRY[name], afterwards)
        )


def _architecture(original: Callable[[Any], None], afterwards: Callable[[Any], None]) -> Callable[[Any], ModelOptions]:
    def architecture(args: Any) -> ModelOptions:
        """Fill in what is not set, in place, as fairseq wants it; return our options, which fairseq leaves."""
        # A Namespace, because `getattr(cfg, name, default)` of omegaconf 2.0 gives None for a
        # missing name, and fairseq's functions ask that way.
        filled = args if isinstance(args, Namespace) else Namespace(**as_dict(args))
        original(filled)
        afterwards(filled)
        if getattr(filled, "base_layers", None) is None:
            filled.base_layers = 0  # the trainer asks every model's configuration for it
        if filled is not args:
            for name, value in vars(filled).items():
                put(args, name, value)
        with one_line():
            check_depths(args)
            return known(args) or read(args)

    return architecture


def check_names(cfg: Any, arch: str) -> None:
    """Refuse an option in YAML that our architecture does not know; fairseq would ignore it.

    Raises:
        ValueError: one line that names the option, and the one that is most like it.
    """
    names = known_names(arch)
    unknown = sorted(set(as_dict(cfg)) - names)
    if unknown:
        near = message.did_you_mean(unknown[0], sorted(names), 1, 0.85) or "."
        raise ValueError(f"`model.{unknown[0]}` must be an option of {arch}, but is none{near}")


def known_names(arch: str) -> set[str]:
    """Return the options of one of our architectures, with underscores."""
    if arch in MODEL_DATACLASS_REGISTRY:
        return set(MODEL_DATACLASS_REGISTRY[arch].__dataclass_fields__)
    parser = ArgumentParser(add_help=False)
    ARCH_MODEL_REGISTRY[arch].add_args(parser)
    defaults = Namespace()
    ARCH_CONFIG_REGISTRY[arch](defaults)
    fairseqs = {"_name", "arch", "tokens_per_sample", "max_target_positions", "max_positions"}
    return {action.dest for action in parser._actions} | set(vars(defaults)) | fairseqs
