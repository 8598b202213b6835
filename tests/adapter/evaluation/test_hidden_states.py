"""Cosine distances, on layers whose effect is known."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from layerdrop_plugin.fairseq_adapter.evaluation import evaluation
from layerdrop_plugin.fairseq_adapter.evaluation.hidden_states import cosine_distances


class Known(nn.Module):
    """A layer that multiplies its input by `factor`, but by -1 where its input is padding."""

    load_to_BT = False  # the encoder asks

    def __init__(self, factor, extra, padding=lambda: None):
        super().__init__()
        self.factor, self.extra, self.padding = factor, extra, padding

    def forward(self, x, *args, **kwargs):
        x = x * self.factor
        mask = self.padding()
        if mask is not None:
            x = torch.where(mask.t().unsqueeze(-1), -x, x)
        return (x, None, None) if self.extra else x


class Turned(Known):
    """A layer that turns its input by a right angle: (a, b) becomes (-b, a)."""

    def forward(self, x, *args, **kwargs):
        turned = torch.stack([-x[..., 1::2], x[..., ::2]], dim=-1).flatten(-2)
        return (turned, None, None) if self.extra else turned


@pytest.mark.parametrize("family", ["transformer", "transformer_lm", "roberta"])
def test_known_layers(family, full, data):
    model = evaluation.load(str(full[family]), "{}", [str(data[family]), "--cpu", "--max-tokens", "90"], pytest.fail)
    batches = model.batches("valid")
    for name, stack in model.stacks.items():
        extra = name == "decoder"
        for i, layer in enumerate([Known(2.0, extra), Turned(1.0, extra), Known(-3.0, extra), Known(1.0, extra)]):
            stack[i] = layer
    with model.running(dict.fromkeys(model.stacks, (0, 1))):  # all layers count all the same
        found = cosine_distances(model, batches)
    assert list(found) == list(model.stacks)
    for distances in found.values():
        assert distances == pytest.approx([0.0, 1.0, 2.0, 0.0], abs=1e-6)
    assert not any(layer._forward_hooks for stack in model.stacks.values() for layer in stack)


def test_padding_does_not_count(full, data):
    argv = [str(data["transformer"]), "--cpu", "--max-tokens", "90"]
    model = evaluation.load(str(full["transformer"]), "{}", argv, pytest.fail)
    batches = model.batches("valid")
    batch = next(b for b in batches if b["net_input"]["prev_output_tokens"].eq(1).any())
    fields = {"encoder": "src_tokens", "decoder": "prev_output_tokens"}
    for name, stack in model.stacks.items():
        tokens = batch["net_input"][fields[name]]
        stack[1] = Known(1.0, name == "decoder", lambda tokens=tokens: tokens.eq(1))
    assert batch["net_input"]["src_tokens"].eq(1).any()
    found = cosine_distances(model, [batch])
    assert found["encoder"][1] == pytest.approx(0.0, abs=1e-6)
    assert found["decoder"][1] == pytest.approx(0.0, abs=1e-6)
    assert found["encoder"][0] > 1e-4
    assert found["decoder"][0] > 1e-4
