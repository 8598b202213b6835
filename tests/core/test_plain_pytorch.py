"""The how-to's example of a stack in a model without fairseq, as printed."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from layerdrop_plugin.masks import dropped_groups

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "plain-pytorch.md"


def test_the_example_drops_layers_in_training_and_runs_those_that_are_chosen():
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    torch.manual_seed(0)
    names = {}
    exec(code, names)
    encoder, x, padding = names["encoder"], names["x"], names["padding"]
    with torch.no_grad():
        by_hand = x
        for i in (0, 2, 4):
            by_hand = encoder[i](by_hand, src_key_padding_mask=padding)
        assert torch.equal(names["y"], by_hand)
    masks = [dropped_groups((0.2,) * 6, seed=1, update=u, forward_pass=0, name="encoder") for u in range(100)]
    assert encoder.take_share() == sum(map(sum, masks)) / 600 > 0
    assert list(encoder.state_dict()) == list(torch.nn.ModuleList(encoder[i] for i in range(6)).state_dict())
