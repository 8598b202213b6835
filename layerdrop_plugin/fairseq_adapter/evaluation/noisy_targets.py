"""The loss of non-autoregressive models: of each word that they predict from a noisy target.

fairseq's criterion `nat_loss` gives a mean, of noise that is drawn anew each time. Here each batch gets its noise once,
by the seed, and the losses of words are summed, so that sets of layers are compared on the same words.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from fairseq.models.nat import IterNATransformerModel
from torch.nn import functional

Sample = dict[str, Any]


def with_noise(task: Any, sample: Sample, seed: int, number: int) -> Sample:
    """Return a batch with `prev_target`, the target with the task's noise; `number` is the batch's own."""
    with seeded(seed + number, torch.device("cpu")):
        return {**sample, "prev_target": task.inject_noise(sample["target"])}


def word_losses(model: Any, sample: Sample, seed: int) -> tuple[float, int]:
    """Return the sum of the losses of the predicted words, in nats, and how many words these are.

    It is the sum of which fairseq's `nll_loss` is the mean: without label smoothing, and without the losses of the
    target's length and of a CRF.
    """
    given, target = sample["net_input"], sample["target"]
    with seeded(seed, target.device):  # iterative_nonautoregressive_transformer draws more noise in its forward pass
        parts = model(given["src_tokens"], given["src_lengths"], sample["prev_target"], target)
    total, count = 0.0, 0
    for part in parts.values():
        if part.get("nll_loss", False):
            scores, words = part["out"][part["mask"]], part["tgt"][part["mask"]]
            total += float(functional.cross_entropy(scores.float(), words, reduction="sum"))
            count += words.numel()
    return total, count


def runs_decoder_repeatedly(model: Any) -> bool:
    """Return whether the model runs its decoder several times in a forward pass, each time on other words."""
    return isinstance(model, IterNATransformerModel)


@contextlib.contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Let torch draw from this seed, and leave its generators as they were."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
