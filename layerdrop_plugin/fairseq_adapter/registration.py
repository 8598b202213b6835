"""Patch fairseq, then register the plugin's models with it."""

from __future__ import annotations

from . import compat

compat.apply_all()

# Only now can fairseq be imported on every Python.
from .checkpoints import at_load, language_model  # noqa: E402
from .evaluation import wrong_use  # noqa: E402
from .modeling import fine_tuning, roberta, speech, speech_to_text, transformer, transformer_lm  # noqa: E402
from .training import backends, build, restore, steps  # noqa: E402

MODELS = (fine_tuning, roberta, speech, speech_to_text, transformer, transformer_lm)
"""They register as they are imported."""

for part in (at_load, language_model, backends, build, restore, steps, wrong_use):
    part.install()
