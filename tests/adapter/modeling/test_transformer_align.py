"""The layer that aligns always runs, and where that can't be, one line says so."""

from __future__ import annotations

import logging

import pytest
import torch
from shared.text_models import RATES, aligned, argv_of, loss_of, watch  # noqa: F401  a fixture

from layerdrop_plugin.fairseq_adapter.errors.one_line import UserError


@pytest.fixture
def build(make_trainer, tiny, aligned):
    """A function from options to a trainer of a tiny model that aligns with layer 2 of its 4."""
    return lambda *options: make_trainer(aligned, *argv_of(tiny, "transformer_align"), *options)


def test_the_layer_that_aligns_has_a_rate_of_0(build, caplog):
    with caplog.at_level(logging.INFO):
        stack = build(*RATES, "--decoder-sublayerdrop", 0.4, "--decoder-headdrop", 0.3)._model.decoder.layers
    assert stack.rates == (0.5, 0.5, 0.0, 0.5)
    assert {group.name: group.rates for group in stack.dropping.groups} == {
        "self_attn.heads": (0.3,) * 4,
        "encoder_attn.heads": (0.3,) * 4,
        "self_attn.sublayer": (0.4,) * 4,
        "encoder_attn.sublayer": (0.4, 0.4, 0.0, 0.4),
        "ffn.sublayer": (0.4,) * 4,
    }
    assert "decoder layer 2, the --alignment-layer, is never dropped" in caplog.messages
    assert "drop rates of the decoder, layer, from the first layer to the last: 0.5 0.5 0 0.5" in caplog.messages


def test_without_drop_rates_nothing_is_said_of_it(build, caplog):
    with caplog.at_level(logging.INFO):
        build()
    assert not any("never dropped" in message for message in caplog.messages)


def test_an_evaluation_says_nothing_of_drop_rates(build, load_model, tmp_path, caplog):
    build(*RATES, "--no-save-optimizer-state").save_checkpoint(str(tmp_path / "saved.pt"), {})
    caplog.clear()
    with caplog.at_level(logging.INFO):
        model, _ = load_model(tmp_path / "saved.pt")
    assert model.decoder.layers.rates == (0.5, 0.5, 0.0, 0.5)
    assert not any("drop" in message for message in caplog.messages)


def test_every_pass_has_alignments_and_their_loss(build):
    trainer = build("--encoder-layerdrop", 0.95, "--decoder-layerdrop", 0.95)
    model = trainer._model.train()
    ran = watch(model.decoder.layers)
    for _ in range(6):
        ran.clear()
        model.zero_grad(set_to_none=True)
        loss_of(trainer).backward()
        assert 2 in ran
        assert model.decoder.layers[2].encoder_attn.q_proj.weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--alignment-layer", 4],
            "`--alignment-layer` must be the number of a decoder layer, from 0 to 3, but is 4.",
        ),
        (
            ["--alignment-layer", -1],
            "`--alignment-layer` must be the number of a decoder layer, from 0 to 3, but is -1.",
        ),
        (
            ["--decoder-layerdrop", 0.2, "--decoder-layerdrop-learned"],
            "`--decoder-layerdrop-learned` must be left out: layer 2, the --alignment-layer, is never dropped.",
        ),
        (
            ["--layerdrop-depths", "4+3,2+1"],
            "`--layerdrop-depths` must keep decoder layer 2, the --alignment-layer, at each depth, but 2+1 keeps [0].",
        ),
        (
            ["--decoder-layers-to-keep", "0,1"],
            "`alignment_layer` must be one of the decoder layers that are kept, [0,1], but is 2 instead.",
        ),
    ],
)
def test_what_can_not_be_is_refused_in_one_line(options, message, build):
    with pytest.raises(UserError) as error:
        build(*options)
    assert str(error.value) == message


def test_what_is_loaded_to_be_used_says_nothing_of_it(build, tmp_path, load_model, caplog):
    trainer = build(*RATES)
    trainer.consolidate_optimizer()
    trainer.save_checkpoint(str(tmp_path / "saved.pt"), {"train_iterator": {"epoch": 1}})
    caplog.clear()
    with caplog.at_level(logging.INFO):
        model, _ = load_model(tmp_path / "saved.pt")
    assert model.decoder.layers.rates == (0.5, 0.5, 0.0, 0.5)
    assert not any("never dropped" in message for message in caplog.messages)


def test_a_pruned_model_trains_on_with_its_alignment_layer(build):
    stack = build(*RATES, "--decoder-layers-to-keep", "1,2")._model.decoder.layers
    assert stack.rates == (0.5, 0.0)


@torch.no_grad()
def test_alignments_are_those_of_the_layer_whatever_else_is_dropped(build, tokens):
    model = build(*RATES)._model.train()
    for module in model.modules():
        if hasattr(module, "p"):
            module.p = 0.0
    encoded = model.encoder.eval()(tokens, tokens.ne(1).sum(1))
    model.full_context_alignment = False
    model.decoder.layers.forward_passes = 1
    with model.decoder.layers.one_pass():
        found = model.forward_decoder(tokens, encoded)[1]["attn"][0]
        runs = [layer for layer in range(4) if not model.decoder.layers._shared.drops(layer)]
    assert 2 in runs
    assert len(runs) < 4
    model.decoder.eval()
    with model.decoder.layers.running(runs):
        assert torch.equal(model.forward_decoder(tokens, encoded)[1]["attn"][0], found)
