"""LayerDrop (Fan et al., 2019) for fairseq: train once, prune to any depth at load; use with --user-dir."""

from __future__ import annotations

import sys
from importlib.util import find_spec

__version__ = "0.1.0"

_commands = sys.modules.get("layerdrop_plugin_commands")

# fairseq takes two seconds to import: our own commands do so only where they need it.
if find_spec("fairseq") is not None and not getattr(_commands, "started", False):
    from .fairseq_adapter import registration as registration
