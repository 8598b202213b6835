"""LayerDrop (Fan et al., 2019) for fairseq: train once, prune to any depth at load; use with --user-dir."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from . import message

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from .layer_spec import LayerSpec

__version__ = "0.1.0"

_commands = sys.modules.get("layerdrop_plugin_commands")

_argv = getattr(sys, "orig_argv", [])  # Python's own arguments, from 3.10 on
_start = next((i for i, word in enumerate(_argv) if i and not word.startswith("-")), 0)  # the module of -m, or a file
_quick = _argv[_start - 1 :] in [["-m", __name__, option] for option in ("--help", "-h", "--version")]

# fairseq takes two seconds to import: our own commands do so only where they need it.
if find_spec("fairseq") is not None and not getattr(_commands, "started", False) and not _quick:
    from .fairseq_adapter import registration as registration


def running(
    model: Any, encoder: LayerSpec | None = None, decoder: LayerSpec | None = None
) -> AbstractContextManager[None]:
    """Return a context in which a loaded model runs only these layers, in evaluation; nothing is copied or reloaded.

    The results equal those of the model pruned to these layers, but lists of inner states keep a place for each layer.
    Contexts nest: the inner one counts.

    Args:
        model: a model of fairseq's or of this package's, a hub interface as `from_pretrained` returns it, or a list of
            models. It must be in evaluation mode, so call `model.eval()` before.
        encoder: the layers to run, as a specification ("every_other:3", "0,2,4") or a list; None changes nothing.
        decoder: the same.

    Raises:
        ValueError: one line, as the context begins: this is no model, or it is in training mode, or it lacks the stack
            or these layers.
        ModuleNotFoundError: one line: fairseq is not installed.
    """
    try:
        from .fairseq_adapter.modeling import running as of_fairseq
    except ModuleNotFoundError as error:
        if error.name not in ("fairseq", "omegaconf"):
            raise
        raise ModuleNotFoundError(message.no_fairseq(), name=error.name) from None

    specs = {"encoder": encoder, "decoder": decoder}
    return of_fairseq.running(model, {stack: spec for stack, spec in specs.items() if spec is not None})
