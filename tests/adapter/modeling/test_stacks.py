"""LayerDrop stacks in fairseq's models, against the surviving layers run by hand."""

from __future__ import annotations

from argparse import Namespace

import pytest
import torch
from omegaconf import OmegaConf

from layerdrop_plugin.dropping import Dropping, LayerDropStack
from layerdrop_plugin.fairseq_adapter.modeling import stacks as stacks_module


@pytest.fixture(scope="module")
def load(full):
    from fairseq import checkpoint_utils

    return lambda family: checkpoint_utils.load_model_ensemble_and_task([str(full[family])])[0][0]


def stacks(model):
    return [module for module in model.modules() if isinstance(module, LayerDropStack)]


@pytest.mark.parametrize(
    ("family", "found"),
    [
        ("transformer", [("encoder", 4, (0.3,) * 4, 0), ("decoder", 4, (0.3,) * 4, 2)]),
        ("transformer_lm", [("decoder", 4, (0.3,) * 4, 2)]),
        ("roberta", [("encoder", 4, (0.3,) * 4, 0)]),
    ],
)
def test_each_stack_has_its_name_depth_rate_and_the_seed_of_the_run(load, family, found):
    model = load(family)
    assert [(s.name, len(s), s.rates, s.extra_outputs) for s in stacks(model)] == found
    assert {s.dropping.seed for s in stacks(model)} == {1}


@pytest.fixture
def transformer(load):
    """In training, without ordinary dropout, and with the masks that seed 0 and rate 0.5 give."""
    model = load("transformer").train()
    for module in model.modules():
        if hasattr(module, "p"):
            module.p = 0.0
    for stack in stacks(model):
        stack.dropping = Dropping(0.5)
        stack.set_num_updates(0)
    return model


TOKENS = torch.tensor([[5, 6, 7, 8, 2], [9, 10, 11, 2, 1]])  # the second is padded


def watch(stack):
    """A list that fills with the indices of the layers that run."""
    ran = []
    for i in range(len(stack)):
        stack[i].register_forward_hook(lambda *_, i=i: ran.append(i))
    return ran


def test_an_encoder_in_training_runs_the_surviving_layers(transformer):
    encoder = transformer.encoder
    ran = watch(encoder.layers)
    encoder.layers.forward_passes = 2  # the mask is 0010
    out = encoder(TOKENS, None)["encoder_out"][0]
    assert ran == [0, 1, 3]
    padding = TOKENS.eq(1)
    x = encoder.forward_embedding(TOKENS)[0] * (~padding).unsqueeze(-1)
    x = x.transpose(0, 1)
    for i in (0, 1, 3):
        x = encoder.layers[i](x, encoder_padding_mask=padding)
    assert torch.equal(out, x)


def test_a_decoder_in_training_runs_the_surviving_layers(transformer):
    encoded = transformer.encoder(TOKENS, None)
    decoder = transformer.decoder
    ran = watch(decoder.layers)
    decoder.layers.forward_passes = 3  # the mask is 1000
    out = decoder(TOKENS, encoded)[0]
    assert ran == [1, 2, 3]
    transformer.eval()
    with decoder.layers.running([1, 2, 3]):
        assert torch.equal(decoder(TOKENS, encoded)[0], out)


@pytest.mark.parametrize(("forward_pass", "attends"), [(0, True), (1, False)])  # masks 0000 and 0110
def test_attention_comes_from_the_same_layer_whatever_is_dropped(transformer, forward_pass, attends):
    encoded = transformer.encoder(TOKENS, None)
    decoder = transformer.decoder
    decoder.layers.forward_passes = forward_pass
    attention = decoder(TOKENS, encoded, alignment_layer=2)[1]["attn"][0]
    assert (attention is not None) == attends


def test_a_new_update_reaches_every_stack(transformer):
    transformer.set_num_updates(17)
    assert [(s.update, s.forward_passes) for s in stacks(transformer)] == [(17, 0), (17, 0)]


@pytest.mark.parametrize("make", [lambda **cfg: Namespace(**cfg), lambda **cfg: OmegaConf.create(cfg)])
def test_fairseq_builds_with_rates_of_0_that_are_the_users_again(make):
    """It compares a rate with 0, which text can't be."""
    cfg = make(encoder_layerdrop="linear:0:0.5", encoder_layers=4, dropout=0.1)
    with stacks_module.without_rates(cfg) as options:
        assert vars(options) == {"encoder_layerdrop": 0.0, "encoder_layers": 4, "dropout": 0.1}
        options.noted = "by fairseq"
    assert cfg.encoder_layerdrop == "linear:0:0.5"
    assert getattr(cfg, "noted", None) == ("by fairseq" if isinstance(cfg, Namespace) else None)
    with pytest.raises(ArithmeticError), stacks_module.without_rates(cfg):
        raise ArithmeticError
    assert cfg.encoder_layerdrop == "linear:0:0.5"


def test_rates_of_each_layer_are_those_of_the_stack(full, load_model):
    model, cfg = load_model(full["transformer"], encoder_layerdrop="linear:0:0.6", decoder_layerdrop=[0.1, 0, 0, 0.5])
    assert [s.rates for s in stacks(model)] == [pytest.approx((0.0, 0.2, 0.4, 0.6)), (0.1, 0.0, 0.0, 0.5)]
    assert (cfg.encoder_layerdrop, cfg.decoder_layerdrop) == ("linear:0:0.6", "0.1,0,0,0.5")
