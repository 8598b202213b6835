"""Distillation in the tests: its arguments, a tiny model for each criterion, and its loss from the definition."""

from __future__ import annotations

import math

import pytest

PLAIN = ["--dropout", "0", "--attention-dropout", "0", "--activation-dropout", "0"]
"""A model in training that computes the same again and again, if its rates are 0, too."""

ADAPTIVE = [
    *("--adaptive-softmax-cutoff", "10,42", "--adaptive-softmax-factor", "2", "--adaptive-input"),
    *("--adaptive-input-cutoff", "10,42", "--adaptive-input-factor", "2", "--tie-adaptive-weights"),
    *("--decoder-input-dim", "16", "--decoder-output-dim", "16"),
]


def distilling(criterion, teacher, *options):
    """The options that follow those of a training, its own criterion included."""
    own = ["--criterion", "layerdrop_distillation", "--layerdrop-distill-criterion", criterion]
    return [*own, "--layerdrop-teacher", teacher, *options]


@pytest.fixture(scope="session")
def adaptive(tiny, data, train, made_once):
    """A language model with adaptive input and softmax, after 3 updates."""
    argv = [data["transformer_lm"], "--arch", "layerdrop_transformer_lm", *tiny["transformer_lm"], *ADAPTIVE]
    argv += ["--criterion", "adaptive_loss", "--max-update", 3, "--disable-validation", "--save-dir"]
    return made_once("full_adaptive", lambda folder: train(*argv, folder)) / "checkpoint_last.pt"


def kl(teacher, student, temperature):
    """T^2 KL(teacher || student) of two lists of logits, as its definition says."""

    def softened(logits):
        powers = [math.exp(x / temperature - max(logits) / temperature) for x in logits]
        return [power / sum(powers) for power in powers]

    pairs = zip(softened(teacher), softened(student))
    return temperature**2 * sum(p * math.log(p / q) for p, q in pairs)
