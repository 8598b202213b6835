"""Checkpoints of models that were not trained."""

from __future__ import annotations

import torch
from fairseq import tasks
from omegaconf import OmegaConf


def untrained(cfg, path):
    """Write the checkpoint of a new model."""
    torch.manual_seed(1)
    task = tasks.setup_task(cfg.task)
    weights = task.build_model(cfg.model).state_dict()
    history = [{"num_updates": 1, "optimizer_name": "", "lr_scheduler_state": {}, "criterion_name": ""}]
    extra = {"optimizer_history": history, "extra_state": {}, "last_optimizer_state": None, "args": None}
    torch.save({"cfg": OmegaConf.to_container(cfg, enum_to_str=True), "model": weights, **extra}, path)
    return path
