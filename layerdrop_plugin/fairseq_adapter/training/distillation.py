"""`--criterion layerdrop_distillation`: the user's own criterion, with a teacher beside it while the model trains.

Checkpoints name the user's own criterion, and nothing of the teacher: what evaluates them needs neither it nor this.
"""

from __future__ import annotations

import logging
import math
from typing import Any, Callable, NamedTuple

import torch
from fairseq.criterions import CRITERION_REGISTRY, FairseqCriterion, register_criterion
from fairseq.logging import metrics
from fairseq.trainer import Trainer
from torch import Tensor

from ...distillation import divergence, mixed
from ..errors.one_line import one_line
from ..hooks import wrap
from ..options.config import architecture_beside, get
from . import distillation_options as options
from .distillation_options import LOSS, DistillationConfig
from .teacher import Teacher, load, scores

logger = logging.getLogger(__name__)


def install() -> None:
    """Put this around what fairseq saves of a training."""
    wrap(Trainer, "state_dict", _state_dict)


@register_criterion(options.NAME, dataclass=DistillationConfig)
class LayerDropDistillation(FairseqCriterion):
    """The name for the command line and YAML; what it builds is the user's own criterion, `Distilling`."""

    @classmethod
    def build_criterion(cls, cfg: Any, task: Any) -> Any:
        """Build the user's own criterion with a teacher.

        Raises:
            ValueError: one line: an option that does not fit, or no such teacher.
        """
        name = cfg.layerdrop_distill_criterion
        weight, temperature = cfg.layerdrop_distill_weight, cfg.layerdrop_distill_temperature
        with one_line():
            options.check(cfg)
            head = (cfg.classification_head_name, _classes(task)) if name == "sentence_prediction" else None
            teacher = load(cfg.layerdrop_teacher, cfg.layerdrop_teacher_overrides, task, architecture_beside(cfg), head)
        logger.info("the loss: %.4g %s, %.4g distillation at temperature %.4g", 1 - weight, name, weight, temperature)
        own = CRITERION_REGISTRY[name]
        taught: Any = type(own.__name__, (Distilling, own), {})
        criterion = taught.build_criterion(cfg, task)
        criterion.lesson = Lesson(teacher, weight, temperature, COUNTED[name])
        return criterion


def _classes(task: Any) -> int:
    """Return how many classes the sentences of a task are of.

    Raises:
        ValueError: one line: it has none.
    """
    classes = get(task.cfg, "num_classes")
    if classes is None:
        found = f"sentence_prediction needs classes, and {type(task).__name__} has none"
        raise ValueError(f"`--layerdrop-distill-criterion` must fit the task, but {found}.")
    return int(classes)


class Lesson(NamedTuple):
    """Who teaches, how much of the loss that is, at which temperature, and which predictions count."""

    teacher: Teacher
    weight: float
    temperature: float
    counted: Callable[..., Tensor | None]


class Distilling(FairseqCriterion):
    """Goes before the user's own criterion among the bases of a class.

    That class has the name of the user's own: fairseq wants the same name before it takes an optimizer's state from a
    checkpoint. It has no parameters: fairseq would save the teacher's, and synchronize them among workers.
    """

    lesson: Lesson

    def forward(self, model: Any, sample: Any, reduce: bool = True) -> Any:
        """Return the loss to train by; in validation, the user's own."""
        if not self.training or not reduce:
            return super().forward(model, sample, reduce)
        student = _Noting(model)
        own, sample_size, logged = super().forward(student, sample, reduce)
        args, kwargs, output = student.called
        with torch.random.fork_rng([own.device] if own.device.type == "cuda" else []):  # dropout, of stock LayerDrop
            expected = self.lesson.teacher.scores(model, *args, **kwargs)
            counted = self.lesson.counted(self, sample, kwargs)
            distilled = divergence(scores(model, output), expected, self.lesson.temperature, counted)
        return mixed(own, distilled, self.lesson.weight), sample_size, {**logged, LOSS: distilled.detach()}

    @classmethod
    def reduce_metrics(cls, logging_outputs: Any) -> None:
        """Log what the user's own criterion does, and the teacher's part beside it, in bits as all losses."""
        super().reduce_metrics(logging_outputs)
        if any(LOSS in log for log in logging_outputs):
            loss, size = (sum(log.get(name, 0) for log in logging_outputs) for name in (LOSS, "sample_size"))
            metrics.log_scalar(LOSS, loss / size / math.log(2), size, round=3)


class _Noting:
    """Stands for a model and notes what it was called with, and what it returned."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        output = self.model(*args, **kwargs)
        self.called = args, kwargs, output
        return output

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)


def _words(criterion: Any, sample: Any, kwargs: Any) -> Tensor:
    return sample["target"].ne(criterion.padding_idx)


def _words_after_prefix(criterion: Any, sample: Any, kwargs: Any) -> Tensor:
    counted = _words(criterion, sample, kwargs)
    counted[:, : criterion.ignore_prefix_size] = False
    return counted


def _masked_words(criterion: Any, sample: Any, kwargs: Any) -> Tensor:
    counted, predicted = _words(criterion, sample, kwargs), kwargs["masked_tokens"]
    return counted if predicted is None else counted[predicted]


def _sentences(criterion: Any, sample: Any, kwargs: Any) -> None:
    return None


COUNTED: dict[str, Callable[..., Tensor | None]] = {
    "cross_entropy": _words,
    "label_smoothed_cross_entropy": _words_after_prefix,
    "adaptive_loss": _words,
    "masked_lm": _masked_words,
    "sentence_prediction": _sentences,
}
"""Which predictions of a batch each criterion counts; None for all."""


def _state_dict(original: Any, trainer: Any) -> Any:
    """Save the user's own criterion in the place of this one."""
    state = original(trainer)
    if isinstance(trainer.get_criterion(), Distilling):
        state["cfg"] = {**state["cfg"], "criterion": options.own_options(state["cfg"]["criterion"])}
    return state
