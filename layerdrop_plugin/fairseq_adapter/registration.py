"""Registers the plugin's models with fairseq, after mending fairseq itself."""

from . import compat

compat.apply_all()

# Only now can fairseq be imported on every Python.
from . import checkpoints, language_model, roberta, training, transformer, transformer_lm  # noqa: E402

__all__ = ["checkpoints", "compat", "language_model", "roberta", "training", "transformer", "transformer_lm"]

checkpoints.install()
language_model.install()
training.install()
