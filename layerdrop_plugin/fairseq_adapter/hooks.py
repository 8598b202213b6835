"""Put a function of ours around one of fairseq's, or in the place of one that a module of fairseq's sees."""

from __future__ import annotations

import functools
import types
from typing import Any, Callable

PATCHES = "layerdrop_patches"
"""The attribute of a function that names the wrappers around it.

It is ours alone: `__wrapped__` is there after anybody's decorator.
"""

PACKAGES = (f"{__name__.rpartition('.')[0]}.", "layerdrop_plugin_startup.")
"""A wrapper has the same name whether its file was loaded in this package or by the start-up hook."""


def wrap(owner: Any, name: str, wrapper: Callable[..., Any]) -> None:
    """Replace `owner.name` by `wrapper`, which gets the original first, then the arguments.

    Several wrappers may go around one function, the last one outermost. A second call with one changes nothing, also
    where the wrapper's file was loaded twice: by the start-up hook and in this package.

    Raises:
        ValueError: the wrapper is no function of a module.
    """
    original = getattr(owner, name)
    around = getattr(original, PATCHES, ())
    patch = f"{wrapper.__module__}.{wrapper.__qualname__}"
    for package in PACKAGES:
        patch = patch[len(package) :] if patch.startswith(package) else patch
    if "<" in patch:
        raise ValueError(f"`wrapper` must be a function of a module, which its name tells apart, but is {patch}.")
    if patch in around:
        return

    @functools.wraps(original)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return wrapper(original, *args, **kwargs)

    setattr(wrapped, PATCHES, (*around, patch))
    setattr(owner, name, wrapped)


class Instead(types.ModuleType):
    """A module as another one sees it: some attributes are others, all else is the same."""

    def __init__(self, module: types.ModuleType, **others: Any) -> None:
        super().__init__(module.__name__)
        self.__dict__.update(others, layerdrop_module=module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["layerdrop_module"], name)


def replace(owner: types.ModuleType, name: str, **others: Any) -> None:
    """Let `owner` see its module `name` with other attributes. A second call changes nothing."""
    seen = getattr(owner, name)
    if not isinstance(seen, Instead):
        setattr(owner, name, Instead(seen, **others))
