"""Check that fairseq can load a checkpoint: build its model, without its data, and give it the weights.

The model is built on torch's meta device, where it takes no memory, whatever sizes the configuration has.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, Callable

import torch
from fairseq import checkpoint_utils, tasks
from fairseq.data import Dictionary
from fairseq.tasks import FairseqTask
from torch.overrides import TorchFunctionMode

from ... import families, message
from ..errors.one_line import raising
from . import at_load


def check(path: str, origin: str) -> str | None:
    """Refuse a checkpoint that fairseq can't load, although it can load `origin`, which this one was made of.

    Returns:
        Why nothing could be checked: `origin` can't be loaded here either, say because its model is a user's own or
        needs more than dictionaries. None where the checkpoint loads.

    Raises:
        ValueError: one line: the checkpoint can't be loaded.
    """
    failures = []
    for task_of in (_Task, _own_task):
        failure = _failure(path, task_of)
        if failure is None:
            return None
        before = _failure(origin, task_of)
        if before is None:
            raise ValueError(
                f"`--output` must be a checkpoint that fairseq can load, but this one would not be: {failure}"
            )
        failures.append(before)
    return failures[0]


def _failure(path: str, task_of: Callable[[Mapping[str, Any]], FairseqTask]) -> str | None:
    """Say in a line why a checkpoint can't be loaded with a task that is made of it; None where it can."""
    with _quiet(), raising(), at_load.mapping(path):
        try:
            state = checkpoint_utils.load_checkpoint_to_cpu(path)
            state["optimizer_history"] = []  # the number of updates, at which learned rates are computed
            task = task_of(state)
            with _on_meta():
                checkpoint_utils.load_model_ensemble_and_task([path], task=task, state=state)
        except Exception as error:  # whatever a model's own code raises
            return message.cut(" ".join(str(error).split())) or type(error).__name__
    return None


def _own_task(state: Mapping[str, Any]) -> FairseqTask:
    """Return the checkpoint's own task, which may need files, say dictionaries."""
    return tasks.setup_task(state["cfg"].task)


class _Task(FairseqTask):
    """Stands for a checkpoint's task, of which its model asks only how many words there are."""

    def __init__(self, state: Mapping[str, Any]) -> None:
        super().__init__(state["cfg"].task)
        rows: dict[str, int] = {}
        for name, table in state["model"].items():
            of = families.words_of(name)
            if of is not None:
                rows[of[0]] = rows.get(of[0], 0) + len(table)
        self._words = {stack: _Words(count) for stack, count in rows.items()}

    @property
    def source_dictionary(self) -> Dictionary | None:
        return self._words.get("encoder", self._words.get("decoder"))

    @property
    def target_dictionary(self) -> Dictionary | None:
        return self._words.get("decoder", self._words.get("encoder"))

    @property
    def dictionary(self) -> Dictionary | None:
        """What a language model's task calls the dictionary of its input."""
        return self.source_dictionary

    @property
    def output_dictionary(self) -> Dictionary | None:
        return self.target_dictionary


class _Words(Dictionary):
    """A dictionary of so many words, whatever they are."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def __len__(self) -> int:
        return self.count


class _LeftOnMeta(TorchFunctionMode):
    """RoBERTa draws its first weights on the CPU; what is on the meta device can't go there."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.Tensor.cpu and args[0].is_meta:
            return args[0]
        return func(*args, **(kwargs or {}))


@contextlib.contextmanager
def _on_meta() -> Iterator[None]:
    """Let a model be built on the meta device; with torch before 2.0, which can't do so, on the CPU."""
    with contextlib.ExitStack() as contexts:
        if hasattr(torch.device, "__enter__"):
            contexts.enter_context(torch.device("meta"))
            contexts.enter_context(_LeftOnMeta())
        yield


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep to ourselves what fairseq logs about heads without a task, and torch about weights without memory."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
