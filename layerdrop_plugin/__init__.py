"""LayerDrop (Fan et al., 2019) for fairseq: train once, prune to any depth at load; use with --user-dir."""

import sys
from importlib.util import find_spec
from pathlib import Path

__version__ = "0.1.0"

_COMMAND = Path(sys.argv[0] if getattr(sys, "argv", None) else "").name.startswith("layerdrop-")

# fairseq takes two seconds to import: our own commands do so only where they need it.
if find_spec("fairseq") is not None and not _COMMAND:
    from .fairseq_adapter import registration as registration
