"""A user's own --user-dir: imports the plugin, adds a criterion, notes workers' masks and weights, and kills one."""

from __future__ import annotations

import hashlib
import os
import signal
from pathlib import Path

from fairseq.criterions import register_criterion
from fairseq.criterions.label_smoothed_cross_entropy import (
    LabelSmoothedCrossEntropyCriterion,
    LabelSmoothedCrossEntropyCriterionConfig,
)
from fairseq.trainer import Trainer

from layerdrop_plugin import depths, forward_pass
from layerdrop_plugin.fairseq_adapter.hooks import wrap


@register_criterion("twice", dataclass=LabelSmoothedCrossEntropyCriterionConfig)
class Twice(LabelSmoothedCrossEntropyCriterion):
    """The mean loss of two forward passes of the same batch."""

    def forward(self, model, sample, reduce=True):
        first, size, log = super().forward(model, sample, reduce)
        second, _, _ = super().forward(model, sample, reduce)
        return (first + second) / 2, size, log


class Notes:
    """Files `masks.RANK`, `weights.RANK` and `pid.RANK` in the folder of the training's checkpoints."""

    def __init__(self, trainer):
        self.folder = Path(trainer.cfg.checkpoint.save_dir)
        self.rank = trainer.data_parallel_rank
        self.folder.mkdir(parents=True, exist_ok=True)
        self.write("pid", str(os.getpid()))

    def write(self, name, line, mode="w"):
        with open(self.folder / f"{name}.{self.rank}", mode) as file:
            file.write(line)


notes = None


def begin(original, trainer, *args, **kwargs):
    global notes
    original(trainer, *args, **kwargs)
    notes = Notes(trainer)


def draw(original, rates, *, seed, update, forward_pass, name):
    mask = original(rates, seed=seed, update=update, forward_pass=forward_pass, name=name)
    notes.write("masks", f"{update} {forward_pass} {name} {''.join('-x'[dropped] for dropped in mask)}\n", "a")
    return mask


def draw_depth(original, trained, *, update, forward_pass, **options):
    depth = original(trained, update=update, forward_pass=forward_pass, **options)
    notes.write("masks", f"{update} {forward_pass} depth {depth.name}\n", "a")
    return depth


def start_update(original, trainer):
    if os.environ.get("KILL") == f"worker {trainer.data_parallel_rank}, update {trainer.get_num_updates()}":
        os.kill(os.getpid(), signal.SIGKILL)
    return original(trainer)


def save(original, trainer):
    digest = hashlib.sha256()
    for name, value in trainer.model.state_dict().items():
        if not name.endswith("_float_tensor"):  # fairseq never sets it
            digest.update(value.numpy().tobytes())
    notes.write("weights", f"{trainer.get_num_updates()} {digest.hexdigest()}")
    return original(trainer)


wrap(Trainer, "__init__", begin)
wrap(Trainer, "zero_grad", start_update)  # the first that an update does
wrap(Trainer, "consolidate_optimizer", save)  # every worker comes here before it saves, or does not
wrap(forward_pass, "dropped_groups", draw)
wrap(depths, "draw", draw_depth)
