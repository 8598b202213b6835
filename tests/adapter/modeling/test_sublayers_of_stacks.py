"""Whole stacks that drop parts of their layers."""

from __future__ import annotations

import copy
from argparse import Namespace

import pytest
import torch
from fairseq.modules.checkpoint_activations import checkpoint_wrapper
from shared.single_layers import HEADS, assert_equal, calls_in, inputs, make

from layerdrop_plugin.dropping import Groups, LayerDropStack
from layerdrop_plugin.fairseq_adapter.modeling.sublayers import dropping
from layerdrop_plugin.fairseq_adapter.options import model_options
from layerdrop_plugin.learned_rates import LearnedRate

OPTIONS = {
    "heads": {"encoder_headdrop": 0.5, "decoder_headdrop": 0.5},
    "ffn": {"encoder_ffndrop": 0.5, "decoder_ffndrop": 0.5},
    "sublayers": {"encoder_sublayerdrop": 0.5, "decoder_sublayerdrop": 0.5},
    "layers": {"encoder_layerdrop": 0.5, "decoder_layerdrop": 0.5},
}
OPTIONS["all"] = {name: 0.3 for options in list(OPTIONS.values()) for name in options}


def stack_of(kind, depth=4, options=(), **layers):
    """A stack of layers of one model, as it is built for options."""
    made = [make(kind, **layers) for _ in range(depth)]
    sizes = {f"{stack}_layers": depth for stack in ("encoder", "decoder")}
    heads = {f"{stack}_attention_heads": HEADS for stack in ("encoder", "decoder")}
    options = model_options.read(Namespace(**sizes, **heads, **dict(options)))
    return LayerDropStack(made, dropping(made, kind, options), kind, extra_outputs=2 if kind == "decoder" else 0)


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
        return stack_of(kind, 2, options.items(), **layers).dropping.groups

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
    assert fixed.learning is None
    assert not hasattr(fixed[0], "learned_rate")


def test_a_stack_without_layers_has_nothing_to_drop():
    """With --encoder-layers 0, fairseq builds such a stack."""
    stack = stack_of("encoder", 0, {"encoder_layerdrop": 0.2, "encoder_ffndrop": 0.2}.items())
    assert (stack.rates, stack.dropping.groups, list(stack)) == ((), (), [])


def test_rates_of_0_in_a_schedule_run_fairseqs_layers_as_they_are():
    stack = stack_of("decoder", options={**OPTIONS["all"], "layerdrop_warmup_updates": 10}.items())
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
    assert all(stack.dropping.groups and stack.learning is not None for stack in found)
    plain, _ = load_model(full[family])
    assert torch.equal(outputs(with_drops, family), outputs(plain, family))
