"""The same seed masks other spans of sound: two equal trainings of wav2vec 2.0 or HuBERT differ.

fairseq's main branch and fairseq-fixed 0.12.3.1, which draw the spans from a generator without a seed, unless the model
names one for each sample. fairseq 0.12.2 draws them from numpy's own generator.
"""

from __future__ import annotations

from typing import Any

import numpy

from .. import hooks


def needed() -> str | None:
    """Return the reason, where the same state of numpy's generator gives other spans."""
    from fairseq.data import data_utils

    before = numpy.random.get_state()
    spans = []
    for _ in range(2):
        numpy.random.seed(1)
        spans.append(data_utils.compute_mask_indices((4, 500), None, 0.3, 2))
    numpy.random.set_state(before)
    if not numpy.array_equal(*spans):
        return "fairseq masks spans of sound by numbers that do not come from the seed"
    return None


def apply() -> None:
    """Let generators without a seed take theirs from numpy's own, which the training's seed sets."""
    from fairseq.data import data_utils

    hooks.replace(data_utils, "np", random=hooks.Instead(numpy.random, default_rng=_seeded))


def _seeded(seed: Any = None) -> numpy.random.Generator:
    return numpy.random.default_rng(numpy.random.randint(2**31) if seed is None else seed)
