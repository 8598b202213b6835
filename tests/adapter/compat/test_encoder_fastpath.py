"""The stock encoder layer in evaluation, with padding: it runs, and as in training without dropout."""

from __future__ import annotations

import torch
from fairseq.models.transformer import TransformerConfig
from fairseq.modules.transformer_layer import TransformerEncoderLayerBase

from layerdrop_plugin.fairseq_adapter.compat import encoder_fastpath

REASON = "fairseq's encoder layer calls torch's fast path without the mask type that torch asks for"


def stock_layer(**options):
    cfg = TransformerConfig(dropout=0.0, **options)
    cfg.encoder.embed_dim = cfg.encoder.ffn_embed_dim = 8
    cfg.encoder.attention_heads = 2
    layer = TransformerEncoderLayerBase(cfg)
    layer.load_state_dict(layer.state_dict())  # the fast path is for loaded layers only
    return layer


def test_a_loaded_layer_evaluates_with_padding():
    torch.manual_seed(0)
    layer = stock_layer()
    x, padding = torch.randn(5, 2, 8), torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    evaluated = layer.eval()(x, padding)
    trained = layer.train()(x, padding)
    assert torch.allclose(evaluated, trained, atol=1e-6)
    assert evaluated.shape == (5, 2, 8)


def test_layers_of_a_subclass_are_patched_too():
    class Layer(TransformerEncoderLayerBase):
        pass

    cfg = TransformerConfig()
    cfg.encoder.embed_dim = cfg.encoder.ffn_embed_dim = 8
    cfg.encoder.attention_heads = 2
    assert not getattr(Layer(cfg), "can_use_fastpath", False)


def test_torch_is_asked_by_the_very_call(monkeypatch):
    monkeypatch.setattr(encoder_fastpath, "_torch_refuses", lambda: False)
    assert encoder_fastpath.needed() is None
    monkeypatch.setattr(encoder_fastpath, "_torch_refuses", lambda: True)
    assert encoder_fastpath.needed() in (REASON, None)  # None: a fairseq whose layer makes no such call


def test_asking_draws_no_random_numbers():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    encoder_fastpath.needed()
    assert torch.equal(before, torch.get_rng_state())


def test_applying_twice_wraps_once():
    encoder_fastpath.apply()
    once = TransformerEncoderLayerBase.__init__
    encoder_fastpath.apply()
    assert TransformerEncoderLayerBase.__init__ is once
