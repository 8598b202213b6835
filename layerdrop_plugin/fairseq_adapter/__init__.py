"""Registers the plugin's models with fairseq, after mending fairseq itself."""

from . import compat

compat.apply_all()
