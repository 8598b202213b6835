"""Read `--model-overrides`, and what else holds options of a checkpoint as the text of a Python dict."""

from __future__ import annotations

from typing import Any

from ..compat import option_evaluation


def overrides(text: str, option: str = "--model-overrides") -> dict[str, Any]:
    """Return what an option says that holds a dict of others.

    Raises:
        ValueError: one line: it is no dict.
    """
    rule = f"`{option}` must be a Python dict"
    values = option_evaluation.value_of(text, rule)
    if not isinstance(values, dict):
        raise ValueError(f"{rule}, but is {text!r} instead.")
    for name in values:
        if not isinstance(name, str):
            raise ValueError(f"{rule} of values by the names of options, but has {name!r} in {text!r}.")
    return values
