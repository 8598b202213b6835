"""`import fairseq` fails: "mutable default CommonConfig for field common is not allowed".

Python 3.11 and newer, fairseq 0.12.2; hydra-core 1.0.7 has the same fault. Their dataclasses have instances of other
dataclasses as defaults. Python now takes these for mutable, because they have no hash. fairseq reads the defaults back
from the fields, so they have to stay. layerdrop_plugin_startup applies this patch before fairseq is first imported.
"""

from __future__ import annotations

import dataclasses
import os
import re
from importlib.util import find_spec
from typing import Any

from ..hooks import wrap

PATCHED_PACKAGES = ("fairseq", "hydra")


def needed() -> str | None:
    """Return the reason, where both hold: Python refuses such defaults, and fairseq has them."""
    if _python_refuses() and _fairseq_has_them():
        return "Python refuses dataclass instances as defaults of fields, and fairseq has them"
    return None


def apply() -> None:
    """Give these defaults a hash while Python checks them."""
    wrap(dataclasses, "_get_field", _get_field)


def _get_field(original: Any, cls: type, name: str, *args: Any) -> Any:
    default = cls.__dict__.get(name)
    kind = type(default.default if isinstance(default, dataclasses.Field) else default)
    ours = cls.__module__.split(".")[0] in PATCHED_PACKAGES
    if not (ours and dataclasses.is_dataclass(kind) and kind.__hash__ is None):
        return original(cls, name, *args)
    kind.__hash__ = object.__hash__
    try:
        return original(cls, name, *args)
    finally:
        kind.__hash__ = None


def _python_refuses() -> bool:
    inner = dataclasses.make_dataclass("Inner", [])
    try:
        dataclasses.make_dataclass("Outer", [("inner", inner, inner())])
    except ValueError:
        return True
    return False


def _fairseq_has_them() -> bool:
    fairseq = find_spec("fairseq")
    if fairseq is None or fairseq.origin is None:
        return False
    path = os.path.join(os.path.dirname(fairseq.origin), "dataclass", "configs.py")
    try:
        with open(path, encoding="utf-8") as source:
            return re.search(r"^ +\w+: (\w+) = \1\(\)", source.read(), re.MULTILINE) is not None
    except OSError:
        return True  # no source to ask; the patch does no harm
