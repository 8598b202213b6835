"""Heads, FFNs and sub-layers dropped in fairseq's own layers, against the same layers written out by hand."""

import copy
import itertools
from argparse import Namespace

import pytest
import torch
from fairseq.models.transformer import TransformerConfig
from fairseq.modules.checkpoint_activations import checkpoint_wrapper
from fairseq.modules.transformer_layer import TransformerDecoderLayerBase, TransformerEncoderLayerBase
from torch import nn

from layerdrop_plugin.dropping import Groups, LayerDropStack
from layerdrop_plugin.fairseq_adapter import structured_dropout
from layerdrop_plugin.fairseq_adapter.structured_dropout import run_without
from layerdrop_plugin.learned_rates import LearnedRate
from layerdrop_plugin.rates import Schedule

WIDTH, HEADS, LENGTH, BATCH = 8, 4, 5, 2
PADDING = torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
FUTURE = torch.triu(torch.full((LENGTH, LENGTH), float("-inf")), 1)
NORMS = {"self_attn": "self_attn_layer_norm", "encoder_attn": "encoder_attn_layer_norm", "ffn": "final_layer_norm"}
GROUPS = {"self_attn": "self_attn.sublayer", "encoder_attn": "encoder_attn.sublayer", "ffn": "ffn.sublayer"}
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
        assert torch.equal(output, x) and (attention, state) == (None, None)


def calls_in(layer):
    """A list that fills with the names of the parts that are called."""
    calls = []
    for name in ("self_attn", "encoder_attn", "fc1", "fc2", *NORMS.values()):
        part = getattr(layer, name, None)
        if part is not None:
            part.register_forward_hook(lambda *_, name=name: calls.append(name))
    return calls


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


ATTENTIONS = [("encoder", "self_attn"), ("decoder", "self_attn"), ("decoder", "encoder_attn")]
MASKS = [(True, False, False, False), (False, True, False, True), (True, True, True, True)]


def columns(mask):
    return torch.tensor([0.0 if dropped else 1.0 for dropped in mask]).repeat_interleave(WIDTH // HEADS)


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
    """fairseq calls the projection of the cross-attention, so a hook can put the zeros there."""
    layer = make("decoder")
    twin = copy.deepcopy(layer)
    twin.encoder_attn.out_proj.register_forward_pre_hook(lambda _, args: (args[0] * columns(mask),))
    x, kwargs = inputs("decoder")
    y, same = inputs("decoder")
    found, expected = without(layer, {"encoder_attn.heads": mask}, x, **kwargs), twin(y, **same)[0]
    assert torch.equal(found, expected)
    assert_equal(gradients(layer, found, x, kwargs), gradients(twin, expected, y, same))


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
    stack = LayerDropStack([make("decoder", **options) for _ in range(3)], name="decoder", extra_outputs=2)
    stack.groups, stack.run_without = (Groups(group, (0.999,) * 3),), run_without
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


OPTIONS = {
    "heads": {"encoder_headdrop": 0.5, "decoder_headdrop": 0.5},
    "ffn": {"encoder_ffndrop": 0.5, "decoder_ffndrop": 0.5},
    "sublayers": {"encoder_sublayerdrop": 0.5, "decoder_sublayerdrop": 0.5},
    "layers": {"encoder_layerdrop": 0.5, "decoder_layerdrop": 0.5},
}
OPTIONS["all"] = {name: 0.3 for options in list(OPTIONS.values()) for name in options}


def stack_of(kind, depth=4, options=(), **layers):
    """A stack of layers of one model, as it is built for options."""
    extra = {"encoder": 0, "decoder": 2}[kind]
    stack = LayerDropStack([make(kind, **layers) for _ in range(depth)], name=kind, extra_outputs=extra)
    heads = {"encoder_attention_heads": HEADS, "decoder_attention_heads": HEADS}
    return structured_dropout.configure(nn.Sequential(stack), Namespace(**heads, **dict(options)))[0]


def forward(stack, x, kwargs):
    for layer in stack:
        x = layer(x, **kwargs)
        x = x[0] if isinstance(x, tuple) else x
    return x


@pytest.mark.parametrize("options", OPTIONS.values(), ids=list(OPTIONS))
@pytest.mark.parametrize("kind", ["encoder", "decoder"])
def test_checkpointed_activations_change_no_gradient(kind, options):
    """Layers run again in the backward pass: with the masks of their own forward pass, not of the last one."""
    plain = stack_of(kind, options=options.items(), dropout=0.1)
    checkpointed = copy.deepcopy(plain)
    for i in range(len(checkpointed)):
        checkpoint_wrapper(checkpointed[i])
    found = []
    for stack in (plain, checkpointed):
        torch.manual_seed(5)
        losses, xs, memories = [], [], []
        for forward_pass in range(2):
            x, kwargs = inputs(kind, seed=forward_pass)
            losses.append(forward(stack, x, kwargs).pow(2).sum())
            xs.append(x)
            memories += [kwargs["encoder_out"]] if kind == "decoder" else []
        assert stack.forward_passes == 2
        stack.set_num_updates(1)
        sum(losses).backward()
        found.append((losses, [t.grad for t in xs], [t.grad for t in memories], [p.grad for p in stack.parameters()]))
    assert_equal(*(dict(enumerate(parameters)) for _, _, _, parameters in found))
    assert any(gradient is not None for gradient in found[0][3])
    (losses, xs, memories, _), (same_losses, same_xs, same_memories, _) = found
    assert losses == same_losses
    assert all(map(torch.equal, xs, same_xs))
    # fairseq's checkpoints add up, layer by layer, what the encoder's output gets: the same, differently rounded.
    assert_equal(dict(enumerate(memories)), dict(enumerate(same_memories)), close=True)


def test_the_masks_of_two_passes_differ():
    """Else the test before this one would show little."""
    stack = stack_of("encoder", options={"encoder_ffndrop": 0.5}.items())
    calls = [calls_in(stack[i]) for i in range(4)]
    seen = []
    for _ in range(2):
        forward(stack, *inputs("encoder"))
        seen.append([c.count("fc1") for c in calls])
        for c in calls:
            c.clear()
    assert seen[0] == [0, 1, 0, 0]  # the zeros of 1011
    assert seen[1] != seen[0]


def test_groups_that_options_ask_for():
    def groups(kind, options, **layers):
        return stack_of(kind, 2, options.items(), **layers).groups

    assert groups("encoder", {}) == ()
    assert groups("encoder", {"encoder_headdrop": "target:3", "encoder_ffndrop": "0.1,0.2"}) == (
        Groups("self_attn.heads", (0.25, 0.25), 4),
        Groups("ffn", (0.1, 0.2), 1),
    )
    assert groups("decoder", {"decoder_headdrop": "linear:0:0.5", "decoder_sublayerdrop": 0.3}) == (
        Groups("self_attn.heads", (0.0, 0.5), 4),
        Groups("encoder_attn.heads", (0.0, 0.5), 4),
        Groups("self_attn.sublayer", (0.3, 0.3), 1),
        Groups("encoder_attn.sublayer", (0.3, 0.3), 1),
        Groups("ffn.sublayer", (0.3, 0.3), 1),
    )
    # A language model has no second attention; another stack's options are not for this one.
    only_self = {"decoder_headdrop": 0.5, "decoder_sublayerdrop": 0.3, "encoder_ffndrop": 0.9}
    assert groups("decoder", only_self, no_encoder_attn=True) == (
        Groups("self_attn.heads", (0.5, 0.5), 4),
        Groups("self_attn.sublayer", (0.3, 0.3), 1),
        Groups("ffn.sublayer", (0.3, 0.3), 1),
    )


def test_layers_learn_their_rates_when_asked_to():
    stack = stack_of("encoder", 4, {"encoder_layerdrop": "linear:0:0.6", "encoder_layerdrop_learned": True}.items())
    assert [type(stack[i].learned_rate) for i in range(4)] == [LearnedRate] * 4
    assert stack.learned_rates == pytest.approx((0.3,) * 4)
    assert stack.rates_now() == pytest.approx((0.3,) * 4)
    assert sum(stack.rates) / 4 == pytest.approx(0.3)
    fixed = stack_of("encoder", 4, {"encoder_layerdrop": 0.3}.items())
    assert fixed.learning is None and not hasattr(fixed[0], "learned_rate")


def test_a_stack_without_layers_has_nothing_to_drop():
    """fairseq takes --encoder-layers 0."""
    stack = stack_of("encoder", 0, {"encoder_layerdrop": 0.2, "encoder_ffndrop": 0.2}.items())
    assert (stack.rates, stack.groups, list(stack)) == ((), (), [])


def test_rates_of_0_in_a_schedule_run_fairseqs_layers_as_they_are():
    stack = stack_of("decoder", options=OPTIONS["all"].items())
    stack.schedule = Schedule(warmup=10)
    x, kwargs = inputs("decoder")
    plain = x
    for i in range(4):
        plain = stack[i](plain, **kwargs)[0]
    assert torch.equal(forward(stack, x, kwargs), plain)
    stack.set_num_updates(10)
    assert not torch.equal(forward(stack, x, kwargs), plain)


DROPS = {
    "transformer": ("encoder", "decoder"),
    "transformer_lm": ("decoder",),
    "roberta": ("encoder",),
}


@pytest.mark.parametrize("family", list(DROPS))
def test_evaluation_is_that_of_a_model_without_these_options(family, full, load_model, outputs):
    stacks = DROPS[family]
    options = {f"{stack}_{kind}": 0.9 for stack in stacks for kind in ("headdrop", "ffndrop", "sublayerdrop")}
    options.update({f"{stack}_layerdrop_learned": True for stack in stacks})
    with_drops, _ = load_model(full[family], **options, layerdrop_warmup_updates=10)
    found = [module for module in with_drops.modules() if isinstance(module, LayerDropStack)]
    assert [stack.name for stack in found] == list(stacks)
    assert all(stack.groups and stack.learning is not None for stack in found)
    plain, _ = load_model(full[family])
    assert torch.equal(outputs(with_drops, family), outputs(plain, family))
