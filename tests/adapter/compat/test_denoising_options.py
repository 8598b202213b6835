"""BART and its denoising tasks declare some options twice, and a training begins all the same."""

from __future__ import annotations

from argparse import ArgumentError

import pytest
from fairseq import options
from fairseq.tasks.denoising import DenoisingTask

from layerdrop_plugin.fairseq_adapter import compat
from layerdrop_plugin.fairseq_adapter.compat import denoising_options

ARGV = ["data", "--arch", "bart_base", "--max-source-positions", "40"]


@pytest.mark.parametrize("task", ["denoising", "multilingual_denoising"])
def test_both_take_the_value(task, monkeypatch):
    argv = [*ARGV, "--task", task]
    args = options.parse_args_and_arch(options.get_training_parser(), argv)
    assert (args.max_source_positions, args.max_target_positions) == (40, 1024)
    if "denoising_options" not in compat.ACTIVE:
        pytest.skip("nothing is at fault here")
    monkeypatch.setattr(DenoisingTask, "add_args", staticmethod(DenoisingTask.add_args.__wrapped__))
    assert denoising_options.needed() == "fairseq's denoising task declares options that the model has declared"
    with pytest.raises(ArgumentError, match="conflicting option string: --max-source-positions"):
        options.parse_args_and_arch(options.get_training_parser(), argv)
