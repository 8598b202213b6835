"""Learned drop rates in state dicts: loaded, left out, pruned."""

from __future__ import annotations

import pytest
import torch
from shared.learning_stacks import Residual, learning_stack
from torch import nn

from layerdrop_plugin import learned_rates
from layerdrop_plugin import state_dict as names
from layerdrop_plugin.dropping import Dropping, LayerDropStack


class Decoder(nn.Module):
    def __init__(self, learned):
        super().__init__()
        self.decoder = nn.Module()
        self.decoder.layers = (
            learning_stack(3) if learned else LayerDropStack([Residual() for _ in range(3)], Dropping(0.5))
        )


def test_a_stack_that_learns_begins_anew_from_a_checkpoint_without_learned_rates():
    model, checkpoint = Decoder(True), Decoder(False).state_dict()
    names_before = list(checkpoint)
    model.load_state_dict(checkpoint)
    assert list(checkpoint) == names_before
    assert torch.equal(model.decoder.layers[1].fc.weight, checkpoint["decoder.layers.1.fc.weight"])
    own = model.decoder.layers[1].learned_rate.state_dict()
    assert {name: value.item() for name, value in own.items()} == {
        **{"weight": 0.0, "bias": 0.0, "change": 0.0, "loss": 0.0},
        **{"rate": 0.5},
    }


def test_a_stack_that_learns_not_leaves_learned_rates_out():
    model, learned = Decoder(False), Decoder(True)
    checkpoint = learned.state_dict()
    model.load_state_dict(checkpoint)
    assert "decoder.layers.0.learned_rate.rate" in checkpoint
    assert not any("learned_rate" in name for name in model.state_dict())
    assert torch.equal(model.decoder.layers[2].fc.weight, learned.decoder.layers[2].fc.weight)


def test_learned_rates_are_loaded_again():
    source, target = Decoder(True), Decoder(True)
    for i in range(3):
        for j, value in enumerate(source.decoder.layers[i].learned_rate.state_dict().values()):
            value.fill_(10 * i + j)
    target.load_state_dict(source.state_dict())
    assert [target.decoder.layers[i].learned_rate.loss.item() for i in range(3)] == [3.0, 13.0, 23.0]


def test_what_is_wrong_elsewhere_is_still_said():
    checkpoint = Decoder(False).state_dict()
    del checkpoint["decoder.layers.1.fc.bias"]
    with pytest.raises(RuntimeError, match=r"Missing key\(s\) in state_dict: \"decoder.layers.1.fc.bias\"\."):
        Decoder(True).load_state_dict(checkpoint)


def weights_with_rates():
    """The rates of twelve layers, of which the tenth comes before the second in the order of names."""
    weights = {f"decoder.layers.{i}.learned_rate.rate": torch.tensor([(11 - i) / 16]) for i in (10, 11, *range(10))}
    for name in ("weight", "bias", "change", "loss"):
        weights[f"decoder.layers.0.learned_rate.{name}"] = torch.zeros(1)
    weights["encoder.sentence_encoder.layers.0.learned_rate.rate"] = torch.tensor([0.5])
    weights["encoder.sentence_encoder.layers.0.fc1.weight"] = torch.zeros(1)
    return weights


def test_saved_rates_by_stack():
    assert learned_rates.saved(weights_with_rates()) == {
        "decoder": tuple((11 - i) / 16 for i in range(12)),
        "encoder": (0.5,),
    }
    assert learned_rates.saved({"decoder.layers.0.fc1.weight": torch.zeros(1)}) == {}


def test_rates_stay_with_layers_that_are_kept():
    pruned = names.prune(weights_with_rates(), {"decoder": (1, 10)})
    assert learned_rates.saved(pruned)["decoder"] == (10 / 16, 1 / 16)


def test_weights_without_what_was_learned():
    assert list(learned_rates.without(weights_with_rates())) == ["encoder.sentence_encoder.layers.0.fc1.weight"]


@pytest.mark.parametrize(
    ("name", "own", "buffer"),
    [
        ("decoder.layers.0.learned_rate.weight", True, False),
        ("decoder.layers.0.learned_rate.rate", True, True),
        ("encoder.sentence_encoder.layers.11.learned_rate.change", True, True),
        ("decoder.layers.0.fc1.bias", False, False),
        ("decoder.layers.0.rate", False, False),
        ("decoder.learned_rate.rate", False, False),
        ("learned_rate.rate", False, False),
    ],
)
def test_names_of_what_learning_adds(name, own, buffer):
    assert (learned_rates.is_own(name), learned_rates.is_buffer(name)) == (own, buffer)
