"""Export models to CTranslate2 and Hugging Face: prepare what they read, refuse what they can't express."""

from __future__ import annotations

VOCABULARIES = tuple(f"{side}vocabulary.json" for side in ("", "shared_", "source_", "target_"))

SOUND = "preprocessor_config.json"
"""What transformers make of sound before a model of speech gets it."""

MARKS = {"model.bin": ("config.json", *VOCABULARIES), "model.safetensors": ("config.json", SOUND)}
"""Files of which an exported folder has one, with those that may come beside it; in a folder with neither, nothing is
ever replaced."""
