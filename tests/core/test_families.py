"""The table of families: places of layers and of words, as they stand in the names of fairseq's parameters."""

from __future__ import annotations

import itertools

import pytest

from layerdrop_plugin import families
from layerdrop_plugin.families import FAMILIES, PLAIN, Place


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("encoder.layers.0.fc1.weight", ("encoder", "encoder.layers", 0, "fc1.weight")),
        ("decoder.layers.11.fc1.bias", ("decoder", "decoder.layers", 11, "fc1.bias")),
        ("encoder.sentence_encoder.layers.3.w", ("encoder", "encoder.sentence_encoder.layers", 3, "w")),
        ("decoder.sentence_encoder.layers.3.w", ("encoder", "decoder.sentence_encoder.layers", 3, "w")),
        ("models.en-de.encoder.layers.1.w", ("encoder", "models.en-de.encoder.layers", 1, "w")),
        ("models.en_XX-de_DE.decoder.layers.1.w", ("decoder", "models.en_XX-de_DE.decoder.layers", 1, "w")),
        ("encoder.transformer_layers.1.w", ("encoder", "encoder.transformer_layers", 1, "w")),
        ("decoder.transformer_layers.1.w", ("decoder", "decoder.transformer_layers", 1, "w")),
        ("encoder.conformer_layers.1.w", ("encoder", "encoder.conformer_layers", 1, "w")),
        ("encoder.encoder_fft_layers.1.w", ("encoder", "encoder.encoder_fft_layers", 1, "w")),
        ("encoder.decoder_fft_layers.1.w", ("decoder", "encoder.decoder_fft_layers", 1, "w")),
        (
            "w2v_encoder.w2v_model.encoder.layers.1.w",
            ("encoder", "w2v_encoder.w2v_model.encoder.layers", 1, "w"),
        ),
        ("encoder.w2v_model.encoder.layers.1.w", ("encoder", "encoder.w2v_model.encoder.layers", 1, "w")),
        (
            "encoder.w2v_encoder.w2v_model.encoder.layers.1.w",
            ("encoder", "encoder.w2v_encoder.w2v_model.encoder.layers", 1, "w"),
        ),
        ("decoder.layers.2.layers.5.w", ("decoder", "decoder.layers", 2, "layers.5.w")),
    ],
)
def test_the_place_of_a_parameter(name, place):
    assert families.place_of(name) == Place(*place)


@pytest.mark.parametrize(
    "name",
    [
        "decoder.layers_msk.0.w",
        "classification_heads.x.layers.1.weight",
        "models.encoder.layers.1.w",
        "models.en.de.encoder.layers.1.w",
        "source_letter_decoder.layers.1.w",
        "feature_extractor.conv_layers.0.0.weight",
        "encoder.adaptor.layers.0.weight",
        "_ema.encoder.layers.0.w",
        "encoder.layers.1",
    ],
)
def test_no_layer_of_a_stack(name):
    assert families.place_of(name) is None


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("encoder.embed_tokens.weight", ("encoder", "encoder.embed_tokens")),
        ("decoder.embed_tokens.embeddings.2.0.weight", ("decoder", "decoder.embed_tokens")),
        ("decoder.sentence_encoder.embed_tokens.weight", ("encoder", "decoder.sentence_encoder.embed_tokens")),
        ("w2v_encoder.proj.weight", ("encoder", "w2v_encoder.proj")),
        ("w2v_encoder.proj.bias", None),
        ("encoder.embed_positions.weight", None),
    ],
)
def test_a_table_of_words(name, words):
    assert families.words_of(name) == words


def test_no_model_is_in_two_families():
    models = list(itertools.chain.from_iterable(family.models for family in FAMILIES))
    assert len(models) == len(set(models))


def test_no_place_is_of_two_stacks():
    stacks = {}
    for family in (*FAMILIES, PLAIN):
        for stack, row in family.stacks.items():
            for place in row.places:
                stacks.setdefault(place, set()).add(stack)
    assert [place for place, of in stacks.items() if len(of) > 1] == []


def test_a_family_has_stacks_or_none_of_its_layers_can_be_pruned():
    assert all(family.stacks.keys() <= {"encoder", "decoder"} for family in FAMILIES)
    assert not any(family.stacks and family.why_not for family in FAMILIES)


@pytest.mark.parametrize(
    ("model", "stacks"),
    [
        ("bart", ["encoder", "decoder"]),
        ("layerdrop_transformer", ["encoder", "decoder"]),
        ("layerdrop_transformer_lm", ["decoder"]),
        ("wav2vec_ctc", ["encoder"]),
        ("lstm", []),
    ],
)
def test_the_stacks_of_a_model(model, stacks):
    assert list(families.of(model).stacks) == stacks


def test_a_model_that_the_table_does_not_have():
    assert families.of("layerdrop_") is families.of("nope") is None
