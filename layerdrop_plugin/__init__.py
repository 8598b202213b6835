"""LayerDrop (Fan et al., 2019) for fairseq: train once, prune to any depth at load; use with --user-dir."""

from importlib.util import find_spec

__version__ = "0.1.0"

if find_spec("fairseq") is not None:
    from . import fairseq_adapter as fairseq_adapter
