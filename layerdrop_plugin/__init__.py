"""LayerDrop (Fan et al., 2019) for fairseq: train once, prune to any depth at load; use with --user-dir."""

from __future__ import annotations

import sys
from importlib.util import find_spec

__version__ = "0.1.0"

_commands = sys.modules.get("layerdrop_plugin_commands")

_argv = getattr(sys, "orig_argv", [])  # Python's own arguments, from 3.10 on
_asked = _argv[_argv.index("-m") :] if "-m" in _argv else []
_quick = _asked[:2] == ["-m", __name__] and _asked[2:] in (["--help"], ["-h"], ["--version"])

# fairseq takes two seconds to import: our own commands do so only where they need it.
if find_spec("fairseq") is not None and not getattr(_commands, "started", False) and not _quick:
    from .fairseq_adapter import registration as registration
