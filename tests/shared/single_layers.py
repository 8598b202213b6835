"""Single layers of fairseq, and their inputs."""

from __future__ import annotations

import torch
from fairseq.models.transformer import TransformerConfig
from fairseq.modules.transformer_layer import TransformerDecoderLayerBase, TransformerEncoderLayerBase

from layerdrop_plugin.fairseq_adapter.modeling.sublayers import run_without

WIDTH, HEADS, LENGTH, BATCH = 8, 4, 5, 2


PADDING = torch.tensor([[False] * 5, [False] * 3 + [True] * 2])


FUTURE = torch.triu(torch.full((LENGTH, LENGTH), float("-inf")), 1)


NORMS = {"self_attn": "self_attn_layer_norm", "encoder_attn": "encoder_attn_layer_norm", "ffn": "final_layer_norm"}


SCALES = ("scale_heads", "scale_attn", "scale_fc", "scale_resids")


def make(kind, before=False, dropout=0.0, no_encoder_attn=False, **options):
    """A layer of fairseq's, in training, whose parameters are all unlike 0 and 1."""
    cfg = TransformerConfig()
    for part in (cfg.encoder, cfg.decoder):
        part.embed_dim, part.ffn_embed_dim, part.attention_heads, part.normalize_before = WIDTH, 12, HEADS, before
    cfg.dropout = cfg.attention_dropout = cfg.activation_dropout = dropout
    for name, value in options.items():
        setattr(cfg, name, value)
    if kind == "encoder":
        layer = TransformerEncoderLayerBase(cfg)
    else:
        layer = TransformerDecoderLayerBase(cfg, no_encoder_attn=no_encoder_attn)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.3)
    return layer


def inputs(kind, seed=0):
    """The hidden state and what else a layer is called with, as fairseq's encoder and decoder do."""
    generator = torch.Generator().manual_seed(seed)
    x, memory = torch.randn(2, LENGTH, BATCH, WIDTH, generator=generator)
    x.requires_grad_()
    if kind == "encoder":
        return x, {"encoder_padding_mask": PADDING}
    memory.requires_grad_()
    return x, {"encoder_out": memory, "encoder_padding_mask": PADDING, "self_attn_mask": FUTURE}


def without(layer, dropped, x, **kwargs):
    """The hidden state after a layer without groups."""
    result = run_without(layer, dropped, x, **kwargs)
    return result[0] if isinstance(result, tuple) else result


def gradients(layer, output, x, kwargs):
    """By name, of a sum in which no two numbers count alike; None for a parameter that had no part."""
    weights = torch.linspace(1.0, 2.0, output.numel()).view(output.shape)
    (output * weights).sum().backward()
    found = {name: p.grad for name, p in layer.named_parameters()}
    found["x"] = x.grad
    memory = kwargs.get("encoder_out")
    return found if memory is None else {**found, "encoder_out": memory.grad}


def assert_equal(found, expected, close=False):
    assert list(found) == list(expected)
    for name in found:
        if expected[name] is None or found[name] is None:
            assert found[name] is expected[name], name
        elif close:
            assert torch.allclose(found[name], expected[name], atol=1e-6), name
        else:
            assert torch.equal(found[name], expected[name]), name


def calls_in(layer):
    """A list that fills with the names of the parts that are called."""
    calls = []
    for name in ("self_attn", "encoder_attn", "fc1", "fc2", *NORMS.values()):
        part = getattr(layer, name, None)
        if part is not None:
            part.register_forward_hook(lambda *_, name=name: calls.append(name))
    return calls


def columns(mask):
    return torch.tensor([0.0 if dropped else 1.0 for dropped in mask]).repeat_interleave(WIDTH // HEADS)
