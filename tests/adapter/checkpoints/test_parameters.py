"""The parameters that weights tell of are those of the model, in its order."""

from __future__ import annotations

import pytest
import torch

from layerdrop_plugin.fairseq_adapter.checkpoints import parameters as checkpoint_parameters
from layerdrop_plugin.fairseq_adapter.checkpoints.optimizer_state import Parameter
from layerdrop_plugin.fairseq_adapter.compat import ACTIVE

ADAPTIVE = [
    *("--adaptive-input", "--adaptive-input-cutoff", "10,20", "--adaptive-softmax-cutoff", "10,20"),
    *("--adaptive-input-factor", "2", "--adaptive-softmax-factor", "2"),
    *("--tie-adaptive-weights", "--tie-adaptive-proj", "--criterion", "adaptive_loss", "--ddp-backend", "legacy_ddp"),
    *("--decoder-input-dim", "16", "--decoder-output-dim", "16"),
]
MODELS = {
    "transformer": ("transformer", []),
    "transformer, two tables": ("transformer", ["--decoder-learned-pos", "--no-decoder-final-norm"]),
    "transformer_lm": ("transformer_lm", ["--share-decoder-input-output-embed", "--decoder-output-dim", "16"]),
    "transformer_lm, adaptive": ("transformer_lm", ADAPTIVE),
    "roberta": ("roberta", []),
    "roberta, untied": ("roberta", ["--untie-weights-roberta"]),
}


@pytest.mark.parametrize("device", ["cpu", "gpu"])
@pytest.mark.parametrize(("family", "options"), MODELS.values(), ids=list(MODELS))
def test_as_the_model_has_them(family, options, device, make_trainer, data, tiny):
    words = [word for word in tiny[family] if options[:1] != ["--decoder-learned-pos"] or "share-all" not in word]
    model = make_trainer(data[family], "--arch", f"layerdrop_{family}", *words, *options).model
    weights = model.state_dict()
    if device == "gpu":  # from there each tied weight is saved by itself
        weights = {name: value.clone() for name, value in weights.items()}
    expected = [Parameter(name, tuple(p.shape)) for name, p in model.named_parameters()]
    assert checkpoint_parameters.parameters(weights) == expected
    assert len(expected) < len(weights)


@pytest.mark.skipif("encoder_weight_copies" not in ACTIVE, reason="this fairseq has no copies")
@pytest.mark.slow
def test_as_the_optimizer_of_stock_counts_them(stock_full):
    state = torch.load(stock_full)
    count = len(state["last_optimizer_state"]["param_groups"][0]["params"])
    assert len(checkpoint_parameters.parameters(state["model"])) == count
    ours = checkpoint_parameters.without_copies(state["model"])
    assert len(checkpoint_parameters.parameters(ours)) == count - 4 * 8


def test_equal_vectors_are_not_tied():
    """Fresh norms are all ones; and layers may be copies of each other, as a way to begin."""
    table = torch.ones(3, 2)
    weights = {"encoder.layer_norm.weight": torch.ones(2), "decoder.layer_norm.weight": torch.ones(2)}
    weights.update({f"decoder.layers.{i}.fc1.weight": table.clone() for i in range(2)})
    assert [p.name for p in checkpoint_parameters.parameters(weights)] == list(weights)


def test_two_tables_that_differ_in_one_place_are_two():
    one = torch.zeros(7, 3)
    other = one.clone()
    other[6, 2] = 1.0
    assert len(checkpoint_parameters.parameters({"a": one, "b": other, "c": one.clone()})) == 2
