"""What ends a worker that fairseq started ends the command: with one line where a user's error did."""

from __future__ import annotations

import os

import pytest
from fairseq.distributed import utils
from torch.multiprocessing import ProcessExitedException

from layerdrop_plugin.fairseq_adapter.compat import spawned_worker_errors
from layerdrop_plugin.fairseq_adapter.errors.running_command import COMMAND


def test_it_is_needed_here():
    reason = "fairseq shows a traceback when a worker that it started ends with a user's error"
    assert spawned_worker_errors.needed() == reason


def end_with(exit_code):
    """A `main` as it looks from outside when its worker ends so."""

    def main(cfg):
        raise ProcessExitedException("process 0 terminated", error_index=0, error_pid=1, exit_code=exit_code)

    return main


@pytest.fixture
def cfg(configure, data, tiny):
    return configure(data["transformer"], "--arch", "layerdrop_transformer", *tiny["transformer"])


def test_a_user_s_error_ends_the_command_with_its_status(cfg, in_fairseq_train):
    with pytest.raises(SystemExit) as end:
        in_fairseq_train(utils.call_main, cfg, end_with(2))
    assert end.value.code == 2


def test_a_program_gets_what_was_raised(cfg):
    with pytest.raises(ProcessExitedException):
        utils.call_main(cfg, end_with(2))


def test_workers_are_told_of_the_command(cfg, in_fairseq_train):
    told = []
    in_fairseq_train(utils.call_main, cfg, lambda cfg: told.append(os.environ.get(COMMAND)))
    utils.call_main(cfg, lambda cfg: told.append(os.environ.get(COMMAND)))
    assert told == ["fairseq-train", None]
    assert COMMAND not in os.environ


@pytest.mark.parametrize("exit_code", [1, -9])
def test_another_end_is_shown_as_it_is(exit_code, cfg):
    with pytest.raises(ProcessExitedException):
        utils.call_main(cfg, end_with(exit_code))


def test_results_are_passed_on(cfg):
    seen = []
    utils.call_main(cfg, lambda cfg, **more: seen.append(more), more=1)
    assert seen == [{"more": 1}]
