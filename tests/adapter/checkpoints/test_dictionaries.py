"""The words of a checkpoint against those of a task."""

from __future__ import annotations

from argparse import Namespace

import pytest
import torch
from fairseq.data import Dictionary

from layerdrop_plugin.fairseq_adapter.checkpoints import dictionaries
from layerdrop_plugin.fairseq_adapter.checkpoints.checkpoint import Checkpoint

SOURCE, TARGET = Dictionary(), Dictionary()
TARGET.add_symbol("word")  # beside the four that each dictionary has


def check(rows, source, target):
    weights = {f"{stack}.embed_tokens.weight": torch.zeros(count, 2) for stack, count in rows.items()}
    task = Namespace(source_dictionary=source, target_dictionary=target)
    dictionaries.check(Checkpoint(weights), None, "model.pt", task, "--teacher")


@pytest.mark.parametrize(
    ("rows", "source", "words"),
    [
        ({"encoder": 4, "decoder": 9}, SOURCE, 5),
        ({"encoder": 9, "decoder": 5}, SOURCE, 4),
        ({"decoder": 9}, SOURCE, 4),  # a language model
        ({"decoder": 9}, None, 5),  # what reads sound
    ],
)
def test_each_stack_must_have_the_words_of_the_task(rows, source, words):
    with pytest.raises(ValueError) as error:
        check(rows, source, TARGET)
    assert str(error.value) == f"`--teacher` must have the dictionary of DATA, of {words} words, but model.pt has 9."
    check({stack: words if count == 9 else count for stack, count in rows.items()}, source, TARGET)
