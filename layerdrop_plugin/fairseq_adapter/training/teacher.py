"""The teacher of a distillation: a model in evaluation mode, read from its checkpoint, that no training changes."""

from __future__ import annotations

import contextlib
import copy
import logging
import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from fairseq import checkpoint_utils
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.tasks.fairseq_task import StatefulContainer
from torch import Tensor

from ... import state_dict as names
from ...distillation import full_log_probabilities
from ..checkpoints import at_load, dictionaries, registered, usable
from ..checkpoints.checkpoint import Checkpoint
from ..checkpoints.overrides import overrides
from ..checkpoints.whole import refuse_shard
from ..errors.one_line import UserError, one_line, raising
from ..errors.user_errors import overriding
from ..reading import reader

logger = logging.getLogger(__name__)

TEACHER = "--layerdrop-teacher"
OVERRIDES = "--layerdrop-teacher-overrides"


class Teacher:
    """A model and what it predicts. No module: else its weights would be parameters of the criterion that holds it."""

    def __init__(self, model: Any, path: str) -> None:
        self.model, self.path = model.eval().requires_grad_(False), path
        self._follows = False

    @torch.no_grad()
    def scores(self, student: Any, *args: Any, **kwargs: Any) -> Tensor:
        """Return logits, or log-probabilities, for what the student was called with; it goes where the student is."""
        if not self._follows:
            self._follow(student)
            self._follows = True
        return scores(self.model, self.model(*args, **kwargs))

    def _follow(self, student: Any) -> None:
        longest, ours = (model.max_positions() for model in (student, self.model))
        if any(our < least for our, least in zip(_as_tuple(ours), _as_tuple(longest))):
            with one_line():
                raise ValueError(
                    f"`{TEACHER}` must take what the student takes, {longest} tokens, but {self.path} takes {ours}."
                )
        weight = next(student.parameters())
        self.model.to(device=weight.device, dtype=weight.dtype)


def _as_tuple(positions: Any) -> tuple[int, ...]:
    return positions if isinstance(positions, tuple) else (positions,)


def scores(model: Any, output: Any) -> Tensor:
    """Return logits of what a model returned; the log-probabilities of all words where it has an adaptive softmax."""
    softmax = getattr(getattr(model, "decoder", None), "adaptive_softmax", None)
    if softmax is None:
        return output[0]
    rows = output[0].flatten(0, -2)
    words = full_log_probabilities(softmax.head(rows), [tail(rows) for tail in softmax.tail])
    return words.unflatten(0, output[0].shape[:-1])


def load(path: str, changes_text: str, task: Any, arch: str | None, head: tuple[str, int] | None = None) -> Teacher:
    """Return the teacher that a checkpoint holds, for the data of the student's task.

    Args:
        changes_text: options of it, as for --model-overrides; they may prune.
        arch: the student's architecture, None where nobody knows it.
        head: the name of the classification head, and for how many classes it is, where one is trained.

    Raises:
        ValueError: one line: the checkpoint can't be read, or its model can't teach this student.
    """
    changes = overrides(changes_text, OVERRIDES)
    refuse_shard(path, TEACHER)
    reader.read(path, TEACHER)  # what is wrong with the file is not for its overrides to answer for
    with reader.unchanged(path), same_random_state(), at_load.named_by(TEACHER, OVERRIDES):
        with at_load.mapping(path), _overriding(changes, path):
            state = checkpoint_utils.load_checkpoint_to_cpu(path, changes)
        checkpoint = Checkpoint.of(state)
        refuse_shard(path, TEACHER, checkpoint.weights)
        usable.check_options(checkpoint, path, "model", "task")
        registered.check_checkpoint(checkpoint, path, "model")
        _check_kind(checkpoint, path, arch)
        cfg = checkpoint.cfg if checkpoint.args is None else convert_namespace_to_omegaconf(checkpoint.args)
        dictionaries.check(checkpoint, cfg.task, path, task, TEACHER)
        if head is not None:
            _check_head(checkpoint, path, *head)
        with usable.taken(path), usable.fitting(path), _overriding(changes, path):
            (model,), _, _ = checkpoint_utils.load_model_ensemble_and_task([path], task=_alike(task), state=state)
    depths = names.depths_or_none(dict(model.named_parameters()))
    layers = "+".join(map(str, depths.values()))
    logger.info(
        "the teacher is %s: %s layers, %s parameters", path, layers, f"{sum(p.numel() for p in model.parameters()):,}"
    )
    return Teacher(model, path)


@contextlib.contextmanager
def _overriding(changes: Mapping[str, Any], path: str) -> Iterator[None]:
    """Say of an error that it is one of the teacher's options, not of the student's."""
    try:
        with raising(), overriding(changes, [path], OVERRIDES):
            yield
    except UserError as error:
        if not changes or str(error).startswith(f"`{OVERRIDES}`"):
            raise
        raise ValueError(f"`{OVERRIDES}` must fit {path}, but is {str(dict(changes))!r}: {error}") from None


def _check_head(checkpoint: Checkpoint, path: str, head: str, classes: int) -> None:
    """Refuse a teacher that never learned to tell these classes apart; fairseq would draw a head for it."""
    weight = checkpoint.weights.get(f"classification_heads.{head}.out_proj.weight")
    if weight is None or len(weight) != classes:
        found = "has none" if weight is None else f"has one for {len(weight)}"
        raise ValueError(f"`{TEACHER}` must have a {head} for {classes} classes, but {path} {found}.")


def _check_kind(checkpoint: Checkpoint, path: str, arch: str | None) -> None:
    student, teacher = registered.kind(arch), registered.kind(checkpoint.architecture)
    if student and teacher and student != teacher:
        raise ValueError(f"`{TEACHER}` must be {student} as {arch} is, but {path} is {teacher}.")


def _alike(task: Any) -> Any:
    """Return a copy of a task to build the teacher: it may note its model, as for BLEU, or what a checkpoint says."""
    other = copy.copy(task)
    other.state = StatefulContainer()
    return other


@contextlib.contextmanager
def same_random_state() -> Iterator[None]:
    """Give the student the random numbers that it would get without a teacher, whose first weights are drawn, too."""
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])
