"""Find options among overrides that were meant as ours: fairseq ignores what a checkpoint does not have."""

from __future__ import annotations

import difflib
import re
from argparse import Namespace
from collections.abc import Iterable, Mapping
from typing import Any

from omegaconf import DictConfig

from ..options.declared import OPTIONS

NAMES = tuple(option.name for option in OPTIONS)
WORDS = re.compile("layer_?drop|head_?drop(?!out)|ffn_?drop(?!out)|layers?_?to_?keep")
"""What the name of an option of ours has in it, and few of fairseq's: those are no mistakes."""
OF_FAIRSEQ = ("layerdrop", "adaptor_layerdrop", "prenet_layerdrop")
ALIKE = 0.85  # encoder_layers is like encoder_layerdrop by 0.84


def suspects(names: Iterable[str]) -> list[str]:
    """Return the names that look like those of our options, but are none."""
    return [name for name in names if name not in (*NAMES, *OF_FAIRSEQ) and _looks_like_ours(_plain(name))]


def check(names: Iterable[str], saved: Any, option: str) -> None:
    """Refuse these names where the saved options lack them, at any depth.

    Args:
        option: what holds the overrides, for errors.

    Raises:
        ValueError: one line with the nearest names.
    """
    for name in names:
        if not _holds(saved, name):
            near = " or ".join(map(repr, nearest(name)))
            raise ValueError(f"`{option}` must name options that there are, but has {name!r}; did you mean {near}?")


def nearest(name: str) -> list[str]:
    """Return the option that a name is most like; several that are equally like it, as for two stacks.

    >>> nearest("encoder_layer_to_keep"), nearest("layers_to_keep")
    (['encoder_layers_to_keep'], ['encoder_layers_to_keep', 'decoder_layers_to_keep'])
    """
    scores = {known: _likeness(_plain(name), known) for known in NAMES}
    return [known for known, score in scores.items() if score == max(scores.values())]


def _plain(name: str) -> str:
    return name[:100].lower().lstrip("-").replace("-", "_")


def _looks_like_ours(name: str) -> bool:
    return bool(WORDS.search(name) or difflib.get_close_matches(name, NAMES, 1, ALIKE))


def _likeness(name: str, known: str) -> float:
    return difflib.SequenceMatcher(None, name, known).ratio()


def _holds(saved: Any, name: str) -> bool:
    options = vars(saved) if isinstance(saved, Namespace) else saved
    if not isinstance(options, (Mapping, DictConfig)):
        return False
    names = list(options)  # `in` is False for what has no value yet
    values = (options._get_node(key) if isinstance(options, DictConfig) else options[key] for key in names)
    return name in names or any(_holds(value, name) for value in values)
