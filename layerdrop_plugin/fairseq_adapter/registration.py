"""Registers the plugin's models with fairseq, after mending fairseq itself."""

from . import compat

compat.apply_all()

# Only now can fairseq be imported on every Python.
from . import (  # noqa: E402
    checkpoints,
    language_model,
    roberta,
    training,
    transformer,
    transformer_lm,
    user_errors,
    wrong_use,
)

__all__ = [
    "checkpoints",
    "compat",
    "language_model",
    "roberta",
    "training",
    "transformer",
    "transformer_lm",
    "user_errors",
    "wrong_use",
]

checkpoints.install()
language_model.install()
training.install()
user_errors.install()
wrong_use.install()
