"""Checkpoints of models whose random weights are so big that no layer passes its input on nearly unchanged."""

from __future__ import annotations

import torch
from omegaconf import OmegaConf


def save_with_big_weights(model, cfg, like, path):
    """Enlarge a model's weights, in place, and save it with its configuration, else as the checkpoint `like`."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.4 * torch.randn(weight.shape, generator=generator)
    saved = OmegaConf.to_container(cfg, resolve=True, enum_to_str=True)
    torch.save({**torch.load(like), "cfg": saved, "model": model.state_dict()}, path)
