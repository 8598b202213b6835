"""Heads, FFNs and sub-layers dropped in fairseq's own layers, against the same layers written out by hand."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
from fairseq.modules.transformer_layer import TransformerEncoderLayerBase
from shared.single_layers import (
    BATCH,
    HEADS,
    LENGTH,
    NORMS,
    PADDING,
    SCALES,
    WIDTH,
    assert_equal,
    calls_in,
    columns,
    gradients,
    inputs,
    make,
    without,
)
from torch import nn

from layerdrop_plugin.dropping import Dropping, Groups, LayerDropStack
from layerdrop_plugin.fairseq_adapter.modeling.sublayers import run_without

GROUPS = {"self_attn": "self_attn.sublayer", "encoder_attn": "encoder_attn.sublayer", "ffn": "ffn.sublayer"}


def by_hand(layer, kept, x, encoder_out=None, encoder_padding_mask=None, self_attn_mask=None, self_padding=None):
    """The sub-layers that are kept, one after another, each with its residual connection and layer norm."""
    for name in kept:
        norm = getattr(layer, NORMS[name])
        y = norm(x) if layer.normalize_before else x
        if name == "self_attn":
            padding = encoder_padding_mask if isinstance(layer, TransformerEncoderLayerBase) else self_padding
            masks = {"key_padding_mask": padding, "attn_mask": self_attn_mask}
            y = layer.self_attn(y, y, y, need_weights=False, **masks)[0]
            if getattr(layer, "c_attn", None) is not None:
                heads = y.view(LENGTH, BATCH, HEADS, WIDTH // HEADS)
                y = torch.einsum("tbhd,h->tbhd", heads, layer.c_attn).reshape(LENGTH, BATCH, WIDTH)
            if getattr(layer, "attn_ln", None) is not None:
                y = layer.attn_ln(y)
        elif name == "encoder_attn":
            y = layer.encoder_attn(
                y, encoder_out, encoder_out, key_padding_mask=encoder_padding_mask, static_kv=True, need_weights=False
            )[0]
        else:
            y = torch.relu(layer.fc1(y))
            if getattr(layer, "ffn_layernorm", None) is not None:
                y = layer.ffn_layernorm(y)
            y = layer.fc2(y)
            if getattr(layer, "w_resid", None) is not None:
                x = layer.w_resid * x
        x = x + y
        x = x if layer.normalize_before else norm(x)
    return x


def some(sublayers):
    """All choices of one or more."""
    return [set(c) for n in range(1, len(sublayers) + 1) for c in itertools.combinations(sublayers, n)]


CASES = [("encoder", skipped, {}) for skipped in some(("self_attn", "ffn"))]


CASES += [("decoder", skipped, {}) for skipped in some(("self_attn", "encoder_attn", "ffn"))]


CASES += [("decoder", skipped, dict.fromkeys(SCALES, True)) for skipped in some(("self_attn", "encoder_attn", "ffn"))]


def named(case):
    return "+".join(sorted(case)) if isinstance(case, set) else None


@pytest.mark.parametrize("before", [False, True], ids=["post-norm", "pre-norm"])
@pytest.mark.parametrize(("kind", "skipped", "scales"), CASES, ids=named)
def test_a_layer_without_sublayers_is_the_others_one_after_another(kind, skipped, scales, before):
    layer = make(kind, before, **scales)
    twin = copy.deepcopy(layer)
    x, kwargs = inputs(kind)
    y, same = inputs(kind)
    kept = [name for name in NORMS if name not in skipped and getattr(layer, NORMS[name], None) is not None]
    found = without(layer, {GROUPS[name]: (True,) for name in skipped}, x, **kwargs)
    expected = by_hand(twin, kept, y, **same)
    assert torch.equal(found, expected)
    if kept:
        assert not torch.equal(found, x)
    assert_equal(gradients(layer, found, x, kwargs), gradients(twin, expected, y, same))


@pytest.mark.parametrize("before", [False, True], ids=["post-norm", "pre-norm"])
@pytest.mark.parametrize("kind", ["encoder", "decoder"])
def test_written_out_by_hand_a_whole_layer_is_fairseqs(kind, before):
    for scales in ({}, dict.fromkeys(SCALES, True)):
        layer = make(kind, before, **scales)
        x, kwargs = inputs(kind)
        whole = layer(x, **kwargs)
        kept = [name for name in NORMS if getattr(layer, NORMS[name], None) is not None]
        assert torch.equal(by_hand(layer, kept, x, **kwargs), whole[0] if kind == "decoder" else whole)


@pytest.mark.parametrize("group", ["ffn", "ffn.sublayer"])
def test_an_ffn_is_dropped_as_a_group_of_its_own_or_as_a_sublayer(group):
    layer = make("encoder")
    x, kwargs = inputs("encoder")
    assert torch.equal(without(layer, {group: (True,)}, x, **kwargs), by_hand(layer, ["self_attn"], x, **kwargs))


@pytest.mark.parametrize("kind", ["encoder", "decoder"])
def test_a_layer_without_all_its_sublayers_is_a_dropped_layer(kind):
    layer = make(kind)
    x, kwargs = inputs(kind)
    dropped = dict.fromkeys(GROUPS.values(), (True,))
    if kind == "encoder":
        del dropped["encoder_attn.sublayer"]
        assert torch.equal(run_without(layer, dropped, x, **kwargs), x)
    else:
        output, attention, state = run_without(layer, dropped, x, **kwargs, need_attn=True)
        assert torch.equal(output, x)
        assert (attention, state) == (None, None)


@pytest.mark.parametrize("before", [False, True], ids=["post-norm", "pre-norm"])
@pytest.mark.parametrize(
    ("skipped", "called"),
    [
        ({"self_attn"}, ["encoder_attn", "encoder_attn_layer_norm", "fc1", "fc2", "final_layer_norm"]),
        ({"encoder_attn"}, ["self_attn", "self_attn_layer_norm", "fc1", "fc2", "final_layer_norm"]),
        ({"ffn"}, ["self_attn", "self_attn_layer_norm", "encoder_attn", "encoder_attn_layer_norm"]),
        ({"self_attn", "encoder_attn", "ffn"}, []),
    ],
    ids=named,
)
def test_nothing_of_a_dropped_sublayer_is_computed(skipped, called, before):
    layer = make("decoder", before)
    calls = calls_in(layer)
    x, kwargs = inputs("decoder")
    without(layer, {GROUPS[name]: (True,) for name in skipped}, x, **kwargs)
    assert sorted(calls) == sorted(called)
    calls.clear()
    layer(x, **kwargs)
    assert len(calls) == 7


def test_several_groups_of_a_layer_at_once():
    layer = make("decoder")
    twin = copy.deepcopy(layer)
    mask = (False, True, True, False)
    for attention in (twin.self_attn, twin.encoder_attn):
        with torch.no_grad():
            attention.out_proj.weight.mul_(columns(mask))
    x, kwargs = inputs("decoder")
    heads = {"self_attn.heads": mask, "encoder_attn.heads": mask}
    found = without(layer, {**heads, "ffn": (True,)}, x, **kwargs)
    assert torch.allclose(found, by_hand(twin, ["self_attn", "encoder_attn"], x, **kwargs), atol=1e-6)
    found = without(layer, {**heads, "self_attn.sublayer": (True,)}, x, **kwargs)
    assert torch.allclose(found, by_hand(twin, ["encoder_attn", "ffn"], x, **kwargs), atol=1e-6)


@pytest.mark.parametrize("kind", ["encoder", "decoder"])
def test_after_an_error_nothing_stays_replaced(kind):
    def fail(*_):
        raise ArithmeticError

    layer = make(kind)
    x, kwargs = inputs(kind)
    whole = without(layer, {}, x, **kwargs)
    hook = layer.fc2.register_forward_pre_hook(fail)
    parts = [layer, layer.self_attn]
    before = [dict(vars(part)) for part in parts]
    for dropped in ({"self_attn.heads": (True, False, False, False)}, {"self_attn.sublayer": (True,)}):
        with pytest.raises(ArithmeticError):
            run_without(layer, dropped, x, **kwargs)
        assert [dict(vars(part)) for part in parts] == before
    hook.remove()
    assert torch.equal(without(layer, {}, x, **kwargs), whole)


def test_what_was_replaced_before_is_there_again():
    layer = make("encoder")
    connection = lambda x, residual: x + residual + 1.0  # noqa: E731
    layer.residual_connection = connection  # as someone else may do
    x, kwargs = inputs("encoder")
    found = without(layer, {"self_attn.sublayer": (True,)}, x, **kwargs)
    assert layer.residual_connection is connection
    expected = layer.final_layer_norm(x + layer.fc2(torch.relu(layer.fc1(x))) + 1.0)
    assert torch.allclose(found, expected, atol=1e-6)


def test_a_layer_of_another_kind_runs_whole():
    layer = nn.Linear(2, 2)
    x = torch.randn(3, 2)
    assert torch.equal(run_without(layer, {"ffn": (True,)}, x), layer(x))


def ready_for(layer, call, monkeypatch):
    """The names of the parameters that DistributedDataParallel has not to wait for after a backward pass."""
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    ready, nodes = [], []
    for name, parameter in layer.named_parameters():
        nodes.append(parameter.view_as(parameter).grad_fn.next_functions[0][0])  # as torch's DDP finds it
        nodes[-1].register_hook(lambda *_, name=name: ready.append(name))
    call().sum().backward()
    return set(ready)


@pytest.mark.parametrize(("kind", "skipped", "scales"), CASES, ids=named)
def test_all_parameters_of_a_layer_are_ready_whatever_is_dropped(kind, skipped, scales, monkeypatch):
    layer = make(kind, **scales)
    x, kwargs = inputs(kind)
    whole = ready_for(layer, lambda: without(layer, {}, x, **kwargs), monkeypatch)
    assert {"fc1.weight", "self_attn.out_proj.weight", "final_layer_norm.bias"} <= whole
    if scales:
        assert {"c_attn", "attn_ln.weight", "ffn_layernorm.weight", "w_resid"} <= whole
    dropped = {GROUPS[name]: (True,) for name in skipped}
    assert ready_for(layer, lambda: without(layer, dropped, x, **kwargs), monkeypatch) == whole


@pytest.mark.parametrize(
    ("group", "options"),
    [
        ("encoder_attn.sublayer", {}),
        ("self_attn.sublayer", {"cross_self_attention": True, "no_encoder_attn": True}),
    ],
)
@pytest.mark.parametrize("as_keyword", [True, False])
def test_an_encoder_that_no_layer_reads_stays_in_the_graph(group, options, as_keyword, monkeypatch):
    dropping = Dropping(groups=(Groups(group, (0.999,) * 3),), run_without=run_without)
    stack = LayerDropStack([make("decoder", **options) for _ in range(3)], dropping, "decoder", extra_outputs=2)
    encoder = nn.Linear(WIDTH, WIDTH)
    x, kwargs = inputs("decoder")
    source = kwargs.pop("encoder_out")

    def call():
        y, encoded = x, encoder(source)
        for layer in stack:
            if as_keyword:
                y = layer(y, encoder_out=encoded, encoder_padding_mask=PADDING)[0]
            else:
                y = layer(y, encoded, PADDING)[0]
        return y

    assert ready_for(encoder, call, monkeypatch) == {"weight", "bias"}
    assert encoder.weight.grad is None
