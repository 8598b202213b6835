"""What the state of another search differs in, in words of the command line."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Any

from ..message import cut

Settings = Mapping[str, Any]

NAMES = {
    "version": "version",
    "model_overrides": "--model-overrides",
    "fp16": "--fp16",
    "split": "--gen-subset",
    "seed": "--seed",
    "stacks": "--stack",
    "keep": "--keep",
    "strategy": "--strategy",
    "metric": "--metric",
}
"""By setting with a value to show, the option."""

MOST = 3
"""So many state files are shown at most."""


def differences(before: Settings, now: Settings) -> list[str]:
    """Return a clause for each setting that differs, with the value of before first.

    >>> differences({"keep": [6, 3], "seed": 1, "checkpoint": "1:a"}, {"keep": (6, 2), "seed": 1, "checkpoint": "2:b"})
    ['another checkpoint', '--keep 6+3, not 6+2']
    """
    now = json.loads(json.dumps(dict(now)))
    differ = {name for name in now if name in before and before[name] != now[name]}
    if differ & {"split", "seed"}:  # which change the batches
        differ.discard("batches")
    others = {"checkpoint": "another checkpoint", "batches": "other batches"}
    clauses = [clause for name, clause in others.items() if name in differ]
    return clauses + [_clause(option, before[name], now[name]) for name, option in NAMES.items() if name in differ]


def no_state_of(path: str, settings: Settings) -> str:
    """Return an error: `path`, the state of a search with these settings, does not exist; name those that do."""
    states = [(differences(before, settings), name) for name, before in _states(os.path.dirname(path)).items()]
    states.sort(key=lambda state: len(state[0]))  # the nearest first
    if not states:
        return f"`--resume` must find the state of an interrupted search, but {path} does not exist."
    listed = "; ".join(
        f"{name} is of one with {' and '.join(clauses) or 'other options'}" for clauses, name in states[:MOST]
    )
    more = f", and {len(states) - MOST} more" if len(states) > MOST else ""
    return (
        f"`--resume` must go on with the same search, but {listed}{more}: give the options of that search, "
        "or leave --resume out."
    )


def _states(folder: str) -> dict[str, Settings]:
    """Return the settings of each search whose state was left here."""
    found: dict[str, Settings] = {}
    for name in sorted(os.listdir(folder or ".")):
        if re.fullmatch(r"layerdrop-search-[0-9a-f]{8}\.json", name):
            try:
                with open(os.path.join(folder, name), encoding="utf-8") as file:
                    found[name] = dict(json.load(file)["settings"])
            except (OSError, ValueError, KeyError, TypeError, RecursionError):
                continue
    return found


def _clause(option: str, before: Any, now: Any) -> str:
    was = _shown(before)
    return f"{was if was.startswith('--') else f'{option} {was}'}, not {_shown(now)}"  # a budget has its own option


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "on" if value else "left out"
    return cut("+".join(map(str, value)) if isinstance(value, list) else str(value))
