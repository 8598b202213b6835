"""Overrides that look like our options, but are none, are refused; fairseq would load the model at full depth."""

from __future__ import annotations

from argparse import Namespace

import pytest
from omegaconf import OmegaConf

from layerdrop_plugin.fairseq_adapter.checkpoints import misspelled


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("encoder_layer_to_keep", ["encoder_layers_to_keep"]),
        ("layers_to_keep", ["encoder_layers_to_keep", "decoder_layers_to_keep"]),
        ("decoder-layers-to-keep", ["decoder_layers_to_keep"]),
        ("--decoder-layers-to-keep", ["decoder_layers_to_keep"]),
        ("Decoder_Layers_To_Keep", ["decoder_layers_to_keep"]),
        ("decoder_layerstokeep", ["decoder_layers_to_keep"]),
        ("decoder_layers_tokeep", ["decoder_layers_to_keep"]),
        ("decodr_layers_to_keep", ["decoder_layers_to_keep"]),
        ("encoder_layer_drop", ["encoder_layerdrop"]),
        ("encoder_ffn_drop", ["encoder_ffndrop"]),
        ("layerdrop_depth", ["layerdrop_depths"]),
    ],
)
def test_what_looks_like_ours(name, near):
    assert misspelled.suspects([name]) == [name]
    assert misspelled.nearest(name) == near


@pytest.mark.parametrize(
    "name",
    [
        *("encoder_layers_to_keep", "decoder_layerdrop", "layerdrop_depths"),  # ours
        *(
            "layerdrop",
            "adaptor_layerdrop",
            "prenet_layerdrop",
            "encoder_layers",
            "decoder_dropout",
            "warmup_updates",
        ),  # fairseq's
        *("data", "task", "beam", "encoder_ffn_embed_dim", "head_dropout", "ffn_dropout", "mha_heads_to_keep"),
    ],
)
def test_what_does_not(name):
    assert misspelled.suspects([name]) == []


@pytest.mark.parametrize(
    "saved",
    [
        {"args": Namespace(my_layerdrop=1), "cfg": None},
        {"args": None, "cfg": {"model": Namespace(my_layerdrop=1)}},
        {"args": None, "cfg": OmegaConf.create({"model": {"w2v_args": {"my_layerdrop": "???"}}})},
    ],
)
def test_a_users_own_option_is_none(saved):
    misspelled.check(["my_layerdrop"], saved, "--model-overrides")


def test_a_program(full, load_model):
    with pytest.raises(ValueError) as error:
        load_model(full["transformer_lm"], decoder_layer_to_keep="0,2")
    assert str(error.value) == (
        "`arg_overrides` must name options that there are, but has 'decoder_layer_to_keep'; "
        "did you mean 'decoder_layers_to_keep'?"
    )


def test_a_command_of_fairseq(full, load_model, in_fairseq_train, capsys):
    with pytest.raises(SystemExit) as end:
        in_fairseq_train(load_model, full["transformer"], layers_to_keep="0,2")
    assert end.value.code == 2
    assert capsys.readouterr().err == (
        "fairseq-train: error: `--model-overrides` must name options that there are, but has 'layers_to_keep'; "
        "did you mean 'encoder_layers_to_keep' or 'decoder_layers_to_keep'?\n"
    )
