"""`--task denoising` with BART, its own pre-training, stops: "conflicting option string: --max-source-positions".

fairseq 0.12.2. Both the model and the task declare this option and `--max-target-positions`, since the options of
fairseq's transformer come from a dataclass. `--task multilingual_denoising` has the same fault.
"""

from __future__ import annotations

from argparse import ArgumentError, ArgumentParser
from typing import Any

from ..hooks import wrap


def needed() -> str | None:
    """Return the reason, where the task does not take the place of the model's option."""
    from fairseq.tasks.denoising import DenoisingTask

    parser = ArgumentParser(add_help=False)
    parser.add_argument("--max-source-positions")
    try:
        DenoisingTask.add_args(parser)
    except ArgumentError:
        return "fairseq's denoising task declares options that the model has declared"
    return None


def apply() -> None:
    """Let the task's options take the place of the model's: their values go to both, and the defaults are the same."""
    from fairseq.tasks.denoising import DenoisingTask

    wrap(DenoisingTask, "add_args", _add_args)


def _add_args(original: Any, parser: Any) -> None:
    group = parser.add_argument_group()
    group.conflict_handler = "resolve"
    original(group)
