"""Layers in names: which belong to a stack, and what pruning makes of them."""

from __future__ import annotations

import pytest

from layerdrop_plugin import state_dict


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("encoder.layers.0.fc1.weight", ("encoder", 0)),
        ("decoder.layers.11.self_attn.k_proj.bias", ("decoder", 11)),
        ("encoder.sentence_encoder.layers.3.fc2.bias", ("encoder", 3)),
        ("decoder.sentence_encoder.layers.3.fc2.bias", ("encoder", 3)),  # RoBERTa before 2020
    ],
)
def test_a_parameter_of_a_layer(name, layer):
    assert state_dict.layer_of(name) == layer


@pytest.mark.parametrize(
    "name",
    [
        "decoder.embed_tokens.weight",
        "encoder.version",
        "encoder.layer_norm.weight",
        "decoder.layers",
        "decoder.layers.1",
        "classification_heads.x.layers.1.weight",
        "classification_heads.decoder.layers.1.weight",
        "criterion.encoder.layers.1.weight",
        "encoder.lm_head.layers.1.weight",
        "decoder.adaptive_softmax.tail.1.0.weight",
        "encoder.sentence_encoder.emb.layers.1.weight",
        "decoder.layers.x.weight",
    ],
)
def test_digits_elsewhere_are_no_layer(name):
    assert state_dict.layer_of(name) is None
    with pytest.raises(ValueError) as error:
        state_dict.rename(name, 0)
    assert str(error.value) == f"`name` must be a parameter of a layer, but is {name!r} instead."


@pytest.mark.parametrize(
    ("name", "index", "renamed"),
    [
        ("decoder.layers.3.fc1.weight", 1, "decoder.layers.1.fc1.weight"),
        ("decoder.layers.9.blocks.layers.9.w", 10, "decoder.layers.10.blocks.layers.9.w"),
        ("decoder.sentence_encoder.layers.2.w", 0, "decoder.sentence_encoder.layers.0.w"),
    ],
)
def test_rename_touches_the_index_of_the_layer_alone(name, index, renamed):
    assert state_dict.rename(name, index) == renamed


FULL = {
    "encoder.embed.weight": "e",
    "encoder.layers.0.w": "e0",
    "encoder.layers.1.w": "e1",
    "decoder.layers.0.w": "d0",
    "decoder.layers.0.b": "d0b",
    "decoder.layers.1.w": "d1",
    "decoder.layers.1.b": "d1b",
    "decoder.layers.2.w": "d2",
    "decoder.layers.2.b": "d2b",
    "classification_heads.x.layers.1.weight": "head",
}


def test_depths_counts_the_layers_of_each_stack():
    assert state_dict.depths(FULL) == {"encoder": 2, "decoder": 3}
    assert state_dict.depths({"embed": 0}) == {}
    assert state_dict.depths({f"decoder.layers.{i}.w": i for i in range(12)}) == {"decoder": 12}


@pytest.mark.parametrize("indices", [[1], [0, 2], [0, 1, 3]])
def test_depths_refuses_a_gap(indices):
    with pytest.raises(ValueError) as error:
        state_dict.depths({f"decoder.layers.{i}.w": i for i in indices})
    message = f"the decoder's layers must be numbered from 0 without a gap, but are {indices}."
    assert str(error.value) == message


PAIRS = {f"models.{pair}.encoder.layers.{i}.w": f"{pair} {i}" for pair in ("en-de", "fr-de") for i in range(2)}


def test_a_stack_that_a_model_has_for_each_language_pair():
    assert state_dict.depths(PAIRS) == {"encoder": 2}
    assert state_dict.prune(PAIRS, {"encoder": [1]}) == {
        "models.en-de.encoder.layers.0.w": "en-de 1",
        "models.fr-de.encoder.layers.0.w": "fr-de 1",
    }
    with pytest.raises(ValueError) as error:
        state_dict.depths({**PAIRS, "models.fr-de.encoder.layers.2.w": "fr-de 2"})
    assert str(error.value) == "the encoders of a model must have the same depth, but have [2, 3]."


def test_prune_one_stack_leaves_the_other_whole():
    before = dict(FULL)
    pruned = state_dict.prune(FULL, {"decoder": (0, 2)})
    assert list(pruned.items()) == [
        ("encoder.embed.weight", "e"),
        ("encoder.layers.0.w", "e0"),
        ("encoder.layers.1.w", "e1"),
        ("decoder.layers.0.w", "d0"),
        ("decoder.layers.0.b", "d0b"),
        ("decoder.layers.1.w", "d2"),
        ("decoder.layers.1.b", "d2b"),
        ("classification_heads.x.layers.1.weight", "head"),
    ]
    assert before == FULL


def test_prune_both_stacks():
    assert state_dict.prune(FULL, {"encoder": [1], "decoder": [2]}) == {
        "encoder.embed.weight": "e",
        "encoder.layers.0.w": "e1",
        "decoder.layers.0.w": "d2",
        "decoder.layers.0.b": "d2b",
        "classification_heads.x.layers.1.weight": "head",
    }


def test_prune_to_all_layers_or_with_nothing_to_prune_changes_nothing():
    assert state_dict.prune(FULL, {"encoder": (0, 1), "decoder": (0, 1, 2)}) == FULL
    assert state_dict.prune(FULL, {}) == FULL


def test_prune_passes_values_on_uncopied():
    value = object()
    assert state_dict.prune({"decoder.layers.1.w": value}, {"decoder": [1]})["decoder.layers.0.w"] is value
