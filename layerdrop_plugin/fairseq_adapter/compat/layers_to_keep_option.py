"""`--encoder-layers-to-keep 0,2` crashes on stock `transformer`: 'list' object has no attribute 'split'.

fairseq 0.12.2 and main. `transformer` declares the option as a list of ints, so the command line makes a list, but
`build_model` expects a string to split. `transformer_lm` declares a string, so YAML can't hold a list. Here the option
is declared as `Any`, which also takes our specifications.
"""

from __future__ import annotations

from typing import Any, get_args, get_origin


def needed() -> str | None:
    """Return the reason, where the option is declared as a list of ints."""
    from fairseq.models.transformer.transformer_config import EncDecBaseConfig

    declared = EncDecBaseConfig.__dataclass_fields__["layers_to_keep"].type
    if any(get_origin(kind) is list for kind in get_args(declared)):
        return "fairseq declares `layers_to_keep` as a list of ints and splits a string"
    return None


def apply() -> None:
    """Declare the option as `Any`, in both dataclasses."""
    from fairseq.models.transformer.transformer_config import EncDecBaseConfig
    from fairseq.models.transformer_lm import TransformerLanguageModelConfig

    for config, name in (
        (EncDecBaseConfig, "layers_to_keep"),
        (TransformerLanguageModelConfig, "decoder_layers_to_keep"),
    ):
        config.__dataclass_fields__[name].type = Any
        config.__annotations__[name] = Any  # omegaconf reads these
