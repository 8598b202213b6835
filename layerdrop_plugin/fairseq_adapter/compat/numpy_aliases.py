"""Training stops with "module 'numpy' has no attribute 'compat'" (or 'float', 'int').

numpy 2 took away `np.compat`, numpy 1.24 `np.float` and `np.int`. fairseq 0.12.2 still uses `np.compat.long` in
token_block_dataset.py and language_pair_dataset.py, `np.int` in data_utils.py, `np.float` in dynamic_crf_layer.py.
"""

from __future__ import annotations

import re
import types
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy

ALIASES = {"compat": types.SimpleNamespace(long=int), "float": float, "int": int}
USERS = (
    "data/data_utils.py",
    "data/language_pair_dataset.py",
    "data/token_block_dataset.py",
    "modules/dynamic_crf_layer.py",
)


def needed() -> str | None:
    """Return the reason: the aliases that fairseq uses and numpy no longer has."""
    names = _used_and_gone()
    return f"fairseq uses {', '.join('np.' + name for name in names)}, which this numpy lacks" if names else None


def apply() -> None:
    """Add those aliases to numpy, and no others."""
    for name in _used_and_gone():
        setattr(numpy, name, ALIASES[name])


def _used_and_gone() -> tuple[str, ...]:
    source = "\n".join(path.read_text(encoding="utf-8") for path in _user_files() if path.exists())
    used = (name for name in ALIASES if re.search(rf"\bnp\.{name}\b", source))
    return tuple(name for name in used if not _numpy_has(name))


def _user_files() -> tuple[Path, ...]:
    fairseq = find_spec("fairseq")
    if fairseq is None or fairseq.origin is None:
        return ()
    return tuple(Path(fairseq.origin).parent / name for name in USERS)


def _numpy_has(name: str) -> bool:
    if getattr(numpy, "__dict__", {}).get(name) is ALIASES[name]:
        return False  # put back by this patch: the fault is numpy's still
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy 1.20 to 1.23 warn on each look
        return hasattr(numpy, name)
