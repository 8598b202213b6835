"""Registers the plugin's models with fairseq, after mending fairseq itself."""

from . import compat

compat.apply_all()

# Only now can fairseq be imported on every Python.
from . import checkpoints, roberta, training, transformer, transformer_lm  # noqa: E402

__all__ = ["checkpoints", "compat", "roberta", "training", "transformer", "transformer_lm"]

checkpoints.install()
training.install()
