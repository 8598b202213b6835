"""The dictionaries of a checkpoint: how many words its weights are for, and whether they are those of a task."""

from __future__ import annotations

import logging
from typing import Any

from fairseq import tasks

from ...families import words_of
from ..errors.one_line import raising
from .checkpoint import Checkpoint
from .parameters import Weights

logger = logging.getLogger(__name__)


def sizes(weights: Weights) -> dict[str, int]:
    """Return how many words each stack can embed; an adaptive input has a table for each of its clusters."""
    rows: dict[tuple[str, str], int] = {}
    for name, table in weights.items():
        of = words_of(name)
        if of is not None:
            rows[of] = rows.get(of, 0) + len(table)
    return {stack: count for (stack, _), count in rows.items()}  # several encoders, as of pairs of languages, are alike


def check(checkpoint: Checkpoint, saved_task: Any, path: str, task: Any, option: str) -> None:
    """Refuse a checkpoint whose words are others than a task's.

    A checkpoint has no words but the folder in which their files lay. Where that is gone, their number must do.

    Args:
        saved_task: the configuration of the checkpoint's task.
        option: names the checkpoint, for errors.

    Raises:
        ValueError: one line.
    """
    held = sizes(checkpoint.weights)
    ours = {stack: _of(task, stack, held) for stack in held}
    for stack, rows in held.items():
        if ours[stack] is not None and len(ours[stack]) != rows:
            raise ValueError(
                f"`{option}` must have the dictionary of DATA, of {len(ours[stack])} words, but {path} has {rows}."
            )
    before = _task(saved_task)
    for stack, rows in held.items():
        theirs = None if before is None else _of(before, stack, held)
        if theirs is None or len(theirs) != rows:  # the folder is gone, or holds something else by now
            logger.info("only the size of the %s's dictionary was compared: that of %s is gone", stack, path)
        elif ours[stack] is not None:
            _check_words(theirs.symbols, ours[stack].symbols, path, option)


def _check_words(theirs: list[str], ours: list[str], path: str, option: str) -> None:
    for i, (their, our) in enumerate(zip(theirs, ours)):
        if their != our:
            raise ValueError(
                f"`{option}` must have the dictionary of DATA, whose word {i} is {our!r}, "
                f"but that of {path} is {their!r}."
            )


def _of(task: Any, stack: str, stacks: Any) -> Any:
    """Return the dictionary of what a stack embeds; a decoder alone, of a language model, embeds its source.

    What reads sound has words in its target only.
    """
    source = None if stack == "decoder" and "encoder" in stacks else task.source_dictionary
    return task.target_dictionary if source is None else source


def _task(saved_task: Any) -> Any:
    """Return a checkpoint's task, which reads its dictionaries; None where it can't."""
    try:
        with raising():
            return tasks.setup_task(saved_task)
    except Exception:  # a task may check anything of its data
        return None
