"""Encoder layers hold their weights once, whoever builds them, and take stock checkpoints."""

from __future__ import annotations

import pytest
import torch
from fairseq.models.transformer import TransformerConfig
from fairseq.modules.transformer_layer import TransformerEncoderLayerBase

from layerdrop_plugin.fairseq_adapter.compat import ACTIVE, encoder_weight_copies

pytestmark = pytest.mark.skipif("encoder_weight_copies" not in ACTIVE, reason="this fairseq has no copies")

NAMES = [
    *("in_proj_weight", "in_proj_bias", "out_proj_weight", "out_proj_bias"),
    *("fc1_weight", "fc1_bias", "fc2_weight", "fc2_bias"),
]


@pytest.fixture
def layer():
    cfg = TransformerConfig()
    cfg.encoder.embed_dim, cfg.encoder.ffn_embed_dim, cfg.encoder.attention_heads = 8, 12, 2
    torch.manual_seed(1)
    return TransformerEncoderLayerBase(cfg)


def test_the_copies_are_the_eight_of_fairseq():
    assert list(encoder_weight_copies.COPIES) == NAMES


def test_a_layer_has_no_copies(layer):
    names = dict(layer.named_parameters())
    assert set(names) & set(NAMES) == set()
    # Four projections of 8 x 8 with biases, two norms, 8 to 12 and back.
    assert sum(p.numel() for p in names.values()) == 4 * (64 + 8) + 2 * 16 + (96 + 12) + (96 + 8)


def test_a_layer_takes_a_stock_state_and_leaves_it_as_it_was(layer):
    state = dict(layer.state_dict())
    stock = {**state, **{name: torch.zeros(1) for name in NAMES}}
    before = list(stock)
    result = layer.load_state_dict(stock, strict=True)
    assert (result.missing_keys, result.unexpected_keys) == ([], [])
    assert list(stock) == before


def test_other_unknown_names_are_still_refused(layer):
    with pytest.raises(RuntimeError, match="fc3_weight"):
        layer.load_state_dict({**layer.state_dict(), "fc3_weight": torch.zeros(1)})


def test_evaluation_with_padding_works_and_agrees_with_each_sentence_alone(layer):
    layer.eval()
    x = torch.randn(5, 2, 8)
    padding = torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    out = layer(x, encoder_padding_mask=padding)
    alone = layer(x[:3, 1:], encoder_padding_mask=torch.zeros(1, 3, dtype=torch.bool))
    assert torch.allclose(out[:3, 1:], alone, atol=1e-6)


def test_applying_twice_changes_nothing(layer):
    before = TransformerEncoderLayerBase.__init__
    encoder_weight_copies.apply()
    assert TransformerEncoderLayerBase.__init__ is before
    assert encoder_weight_copies.needed() == "fairseq's encoder layers register their weights twice"
