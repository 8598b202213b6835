"""Hand models over to CTranslate2 and Hugging Face: prepare what they read, refuse what they can't express."""

MARKS = ("model.bin", "model.safetensors")
"""Files of which an exported folder has one; a folder with neither is never replaced."""
