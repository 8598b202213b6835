"""Every command begins with notices that a user can do nothing about: `Please install tensorboardX`, `pin_memory`.

fairseq 0.12.2 and main, any Python. fairseq.tasks.text_to_speech asks for a package that nothing else needs. Batches
are prepared for a GPU even where there is none. torch 2 warns that two calls are deprecated. layerdrop_plugin_startup
applies this patch before fairseq is imported.
"""

from __future__ import annotations

import logging
import warnings

ASKS = "fairseq.tasks.text_to_speech"
WANTED = "Please install tensorboardX"
MESSAGES = (
    "'pin_memory' argument is set as true but no accelerator is found",
    "Support for mismatched key_padding_mask and attn_mask is deprecated",
    r"`torch\.cuda\.amp\.autocast\(args\.\.\.\)` is deprecated",
)
"""What torch warns of; of the last one as a FutureWarning."""


def needed() -> str | None:
    """Return the reason, which holds for every version: what is said while fairseq is imported can't be probed for."""
    return "fairseq asks for tensorboardX, and torch for a GPU"


def apply() -> None:
    """Leave out these notices, and no others."""
    logger = logging.getLogger(ASKS)
    if not any(getattr(there, "__name__", None) == _is_for_the_user.__name__ for there in logger.filters):
        logger.addFilter(_is_for_the_user)
    for message in MESSAGES:
        for kind in (UserWarning, FutureWarning):
            warnings.filterwarnings("ignore", message, kind)


def _is_for_the_user(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(WANTED)
