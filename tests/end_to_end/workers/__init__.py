"""A user's own --user-dir: imports the plugin, adds a criterion, and writes what each worker's weights are."""

import atexit
import hashlib
import os

import torch
from fairseq.criterions import register_criterion
from fairseq.criterions.label_smoothed_cross_entropy import (
    LabelSmoothedCrossEntropyCriterion,
    LabelSmoothedCrossEntropyCriterionConfig,
)
from fairseq.trainer import Trainer

import layerdrop_plugin  # noqa: F401  registers


@register_criterion("twice", dataclass=LabelSmoothedCrossEntropyCriterionConfig)
class Twice(LabelSmoothedCrossEntropyCriterion):
    """The mean loss of two forward passes of the same batch."""

    def forward(self, model, sample, reduce=True):
        first, size, log = super().forward(model, sample, reduce)
        second, _, _ = super().forward(model, sample, reduce)
        return (first + second) / 2, size, log


stock = Trainer.consolidate_optimizer  # every worker comes here before it saves, or does not


def consolidate_optimizer(trainer):
    digest = hashlib.sha256()
    for parameter in trainer.model.parameters():
        digest.update(parameter.detach().numpy().tobytes())
    with open(f"{os.environ['WEIGHTS']}.{trainer.data_parallel_rank}", "w") as file:
        file.write(f"{trainer.get_num_updates()} {digest.hexdigest()}")
    return stock(trainer)


Trainer.consolidate_optimizer = consolidate_optimizer


@atexit.register
def end_group():
    """fairseq leaves its process group to the interpreter's end, where gloo's threads may abort the process."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
