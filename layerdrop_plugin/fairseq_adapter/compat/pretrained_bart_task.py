"""`--task translation_from_pretrained_bart` stops: the task "object has no attribute 'args'".

fairseq 0.12.2 and main (fairseq #3169, #4479). The task inherits from `TranslationTask`, which keeps its options as
`cfg` only. But the task still asks for `args` when it loads data or builds a generator.
"""

from __future__ import annotations

from typing import Any

from ..hooks import wrap


def needed() -> str | None:
    """Return the reason, where the task reads `args` and none of its bases sets them."""
    from fairseq.tasks.fairseq_task import LegacyFairseqTask
    from fairseq.tasks.translation_from_pretrained_bart import TranslationFromPretrainedBARTTask as Task

    if "args" in Task.load_dataset.__code__.co_names and not issubclass(Task, LegacyFairseqTask):
        return "fairseq's translation_from_pretrained_bart reads options that it does not keep"
    return None


def apply() -> None:
    """Let the task keep its options under both names."""
    from fairseq.tasks.translation_from_pretrained_bart import TranslationFromPretrainedBARTTask as Task

    wrap(Task, "__init__", _init)


def _init(original: Any, task: Any, args: Any, *dictionaries: Any, **named_dictionaries: Any) -> None:
    original(task, args, *dictionaries, **named_dictionaries)
    task.args = args
