"""Spans of sound that a training masks come from its seed."""

from __future__ import annotations

import numpy
import pytest
from fairseq.data import data_utils

from layerdrop_plugin.fairseq_adapter.compat import unseeded_spans


def spans(seed):
    numpy.random.seed(seed)
    return data_utils.compute_mask_indices((4, 500), None, 0.3, 2)


def test_the_same_seed_masks_the_same_spans():
    """As fairseq 0.12.2 has it, and fairseq-fixed with the patch."""
    assert (spans(1) == spans(1)).all()
    assert (spans(1) != spans(2)).any()


def test_a_generator_without_a_seed_is_seen_as_the_fault(monkeypatch):
    monkeypatch.setattr(
        data_utils, "compute_mask_indices", lambda shape, *_: numpy.random.default_rng().random(shape) < 0.3
    )
    before = numpy.random.get_state()[1]
    assert unseeded_spans.needed() == "fairseq masks spans of sound by numbers that do not come from the seed"
    assert (numpy.random.get_state()[1] == before).all()


@pytest.mark.parametrize("given", [(), (7,)])
def test_generators_take_their_seed_from_numpys_own_where_they_have_none(given, monkeypatch):
    monkeypatch.setattr(data_utils, "np", numpy)
    unseeded_spans.apply()
    drawn = []
    for seed in (3, 3, 4):
        numpy.random.seed(seed)
        drawn.append(data_utils.np.random.default_rng(*given).random())
    assert drawn[0] == drawn[1]
    assert (drawn[0] == drawn[2]) == bool(given)
    assert data_utils.np.full is numpy.full
    assert data_utils.np.random.seed == numpy.random.seed
