"""Heads of fairseq's attention that are dropped."""

from __future__ import annotations

import copy

import pytest
import torch
from shared.single_layers import SCALES, assert_equal, columns, gradients, inputs, make, without

ATTENTIONS = [("encoder", "self_attn"), ("decoder", "self_attn"), ("decoder", "encoder_attn")]
MASKS = [(True, False, False, False), (False, True, False, True), (True, True, True, True)]


@pytest.mark.parametrize("scales", [{}, dict.fromkeys(SCALES, True)], ids=["", "scaled"])
@pytest.mark.parametrize("before", [False, True], ids=["post-norm", "pre-norm"])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize(("kind", "attention"), ATTENTIONS)
def test_a_dropped_head_is_one_whose_columns_of_the_output_projection_are_0(kind, attention, mask, before, scales):
    """What goes into the projection is then as good as 0 there, and so are the gradients of those columns."""
    layer = make(kind, before, **scales)
    twin = copy.deepcopy(layer)
    projection = getattr(twin, attention).out_proj
    with torch.no_grad():
        projection.weight.mul_(columns(mask))
    x, kwargs = inputs(kind)
    y, same = inputs(kind)
    found = without(layer, {f"{attention}.heads": mask}, x, **kwargs)
    expected = twin(y, **same)
    expected = expected if kind == "encoder" else expected[0]
    assert torch.allclose(found, expected, atol=1e-6)
    assert not torch.allclose(found, without(layer, {}, x, **kwargs), atol=1e-3)
    ours, theirs = gradients(layer, found, x, kwargs), gradients(twin, expected, y, same)
    theirs[f"{attention}.out_proj.weight"] *= columns(mask)
    assert_equal(ours, theirs, close=True)
    of_dropped = columns(mask) == 0.0
    assert ours[f"{attention}.out_proj.weight"][:, of_dropped].abs().max() == 0.0
    for part in ("q_proj", "k_proj", "v_proj"):
        assert ours[f"{attention}.{part}.weight"][of_dropped].abs().max() == 0.0
        if not all(mask):
            assert ours[f"{attention}.{part}.weight"][~of_dropped].abs().min() > 0.0


@pytest.mark.parametrize("mask", MASKS)
def test_a_dropped_head_gives_0_to_the_output_projection(mask):
    """The projection of the cross-attention is called by fairseq, so a hook can put the zeros there."""
    layer = make("decoder")
    twin = copy.deepcopy(layer)
    twin.encoder_attn.out_proj.register_forward_pre_hook(lambda _, args: (args[0] * columns(mask),))
    x, kwargs = inputs("decoder")
    y, same = inputs("decoder")
    found, expected = without(layer, {"encoder_attn.heads": mask}, x, **kwargs), twin(y, **same)[0]
    assert torch.equal(found, expected)
    assert_equal(gradients(layer, found, x, kwargs), gradients(twin, expected, y, same))
