"""Patch fairseq, then register the plugin's models with it."""

from __future__ import annotations

from . import compat

compat.apply_all()

# Only now can fairseq be imported on every Python.
from .checkpoints import at_load, language_model  # noqa: E402
from .evaluation import wrong_use  # noqa: E402
from .modeling import (  # noqa: E402
    bart,
    fine_tuning,
    nonautoregressive,
    roberta,
    speech,
    speech_to_text,
    transformer,
    transformer_align,
    transformer_lm,
)
from .training import backends, build, distillation, restore, steps  # noqa: E402

MODELS = (
    *(bart, nonautoregressive, roberta, transformer, transformer_align, transformer_lm),
    *(fine_tuning, speech, speech_to_text),
)
"""They register as they are imported."""

for part in (at_load, language_model, backends, build, distillation, restore, steps, wrong_use):
    part.install()
