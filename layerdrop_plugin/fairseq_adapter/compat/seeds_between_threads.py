"""With `--num-workers 0`, the masks of RoBERTa and the noise of BART may differ from run to run with the same seed.

fairseq 0.12.2 and main. A thread of each data iterator reads batches ahead. The training's thread may still read while
another thread reads validation data. For each sentence, both seed numpy's one random state, draw, and put the state
back. So each may draw from the other's seed.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import threading
from collections.abc import Iterator
from typing import Any

from ..hooks import wrap

_lock = threading.RLock()  # a seed may be set inside of another


def needed() -> str | None:
    """Return the reason, where a seed holds for all threads."""
    from fairseq.data import data_utils

    if "set_state" in inspect.unwrap(data_utils.numpy_seed).__code__.co_names:
        return "fairseq draws masks in several threads from one random state"
    return None


def apply() -> None:
    """Let one thread at a time draw with a seed of its own; a forked process begins with nobody drawing."""
    from fairseq.data import data_utils

    wrap(data_utils, "numpy_seed", _numpy_seed)
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


def _numpy_seed(original: Any, *seeds: Any) -> Any:
    return _alone(original(*seeds))


@contextlib.contextmanager
def _alone(seeded: Any) -> Iterator[None]:
    with _lock, seeded:
        yield
