"""The options of `--criterion layerdrop_distillation`: its own, and those of the criterions that it goes with."""

# ruff: noqa: FA100, I002
# Real types, no `from __future__ import annotations`: fairseq reads them.

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Optional

from fairseq.criterions import CRITERION_DATACLASS_REGISTRY
from fairseq.criterions.adaptive_loss import AdaptiveLossConfig
from fairseq.criterions.label_smoothed_cross_entropy import LabelSmoothedCrossEntropyCriterionConfig
from fairseq.criterions.masked_lm import MaskedLmConfig
from fairseq.criterions.sentence_prediction import SentencePredictionConfig

from ... import distillation
from ..options.config import root_option
from .best_metric import METRIC
from .teacher import TEACHER

NAME = "layerdrop_distillation"
CRITERIA = ("cross_entropy", "label_smoothed_cross_entropy", "adaptive_loss", "masked_lm", "sentence_prediction")
"""What it goes with."""
LOSS = "distill_loss"
"""The teacher's part of the loss in the log."""


@dataclass
class DistillationConfig(
    LabelSmoothedCrossEntropyCriterionConfig, MaskedLmConfig, SentencePredictionConfig, AdaptiveLossConfig
):
    """The options of distillation, and those of each criterion that it can go with."""

    layerdrop_distill_criterion: Optional[str] = field(
        default=None,
        metadata={
            "help": "the usual criterion of the training, whose options stay (e.g. label_smoothed_cross_entropy)"
        },
    )
    layerdrop_teacher: Optional[str] = field(
        default=None, metadata={"help": "checkpoint of the model to learn from; it must have the same dictionary"}
    )
    layerdrop_teacher_overrides: str = field(
        default="{}",
        metadata={"help": "overrides options of the teacher (e.g. \"{'decoder_layers_to_keep': '0-3'}\")"},
    )
    layerdrop_distill_weight: float = field(
        default=0.5, metadata={"help": "the teacher's share of the loss, from 0 to 1 (e.g. 0.5)"}
    )
    layerdrop_distill_temperature: float = field(
        default=1.0, metadata={"help": "above 1, softens the predictions of teacher and student (e.g. 2)"}
    )


def check(cfg: Any) -> None:
    """Find what is wrong before the teacher is read.

    Raises:
        ValueError: one line with the option, the rule and the value.
    """
    name = cfg.layerdrop_distill_criterion
    if name not in CRITERIA:
        found = "is missing" if name is None else f"is {name!r} instead"
        raise ValueError(f"`--layerdrop-distill-criterion` must be one of {', '.join(CRITERIA)}, but {found}.")
    for option, value in _of_others(cfg, name).items():
        flag = "--" + option.replace("_", "-")
        raise ValueError(f"`{flag}` must be left out with {name}, which has no such option, but is {value!r}.")
    if cfg.regression_target:
        raise ValueError(f"`--regression-target` must be left out with {NAME}: a number is no distribution.")
    weight, temperature = "--layerdrop-distill-weight", "--layerdrop-distill-temperature"
    distillation.check(cfg.layerdrop_distill_weight, cfg.layerdrop_distill_temperature, (weight, temperature))
    if not cfg.layerdrop_teacher:
        raise ValueError(f"`{TEACHER}` must be the checkpoint of a model to learn from, but is missing.")
    _check_place(cfg)
    if root_option(cfg, "checkpoint", METRIC) == LOSS:
        raise ValueError(f"`--best-checkpoint-metric` must be one of validation, which has no {LOSS}.")


def own_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the options that are the criterion's which it goes with, and its name."""
    name = options["layerdrop_distill_criterion"]
    own = CRITERION_DATACLASS_REGISTRY[name].__dataclass_fields__
    return {**{option: value for option, value in options.items() if option in own}, "_name": name}


def _of_others(cfg: Any, name: str) -> dict[str, Any]:
    """Return the options given that only other criterions have."""
    own = CRITERION_DATACLASS_REGISTRY[name].__dataclass_fields__
    others = [option for option in fields(DistillationConfig) if option.name not in own]
    others = [option for option in others if not option.name.startswith(("_", "layerdrop_"))]
    others = [option for option in others if not str(option.default).startswith("${")]  # of other groups
    return {option.name: cfg[option.name] for option in others if cfg[option.name] != option.default}


def _check_place(cfg: Any) -> None:
    """Refuse a teacher over which the student would be written: started again, it would learn from itself."""
    folder, file = os.path.split(os.path.realpath(cfg.layerdrop_teacher))
    save_dir, no_save = (root_option(cfg, "checkpoint", name) for name in ("save_dir", "no_save"))
    if save_dir and not no_save and os.path.realpath(save_dir) == folder and file.startswith("checkpoint"):
        raise ValueError(
            f"`{TEACHER}` must lie outside of `--save-dir`, where this training would write over it, "
            f"but is {cfg.layerdrop_teacher}."
        )
