"""A command that SIGTERM or SIGHUP ends removes what it was writing, and ends by that signal."""

from __future__ import annotations

import os
import signal

import pytest

from layerdrop_plugin import atomic
from layerdrop_plugin.cli.command import Parser

BOTH = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])


@pytest.fixture(autouse=True)
def heeded():
    """Whatever runs the tests, nohup say, may ignore signals."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def status_of(work):
    """Run a function in a process of its own."""
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    return os.waitpid(child, 0)[1]


def interrupted(path, number, times=1):
    with Parser("layerdrop-test", "", "").errors(), atomic.write_file(path) as file:
        file.write(b"half")
        for _ in range(times):
            os.kill(os.getpid(), number)


@BOTH
def test_nothing_is_left(number, tmp_path):
    status = status_of(lambda: interrupted(str(tmp_path / "out.pt"), number))
    assert (os.WIFSIGNALED(status), os.WTERMSIG(status)) == (True, number)
    assert os.listdir(tmp_path) == []


@BOTH
def test_a_signal_that_is_ignored_stays_so(number, tmp_path):
    def with_nohup():
        signal.signal(number, signal.SIG_IGN)
        interrupted(str(tmp_path / "out.pt"), number)

    assert status_of(with_nohup) == 0
    assert os.listdir(tmp_path) == ["out.pt"]


@BOTH
def test_a_programs_own_handler_stays(number, tmp_path):
    def with_handler():
        signal.signal(number, lambda *args: (tmp_path / "handled").touch())
        interrupted(str(tmp_path / "out.pt"), number)

    assert status_of(with_handler) == 0
    assert sorted(os.listdir(tmp_path)) == ["handled", "out.pt"]


@BOTH
def test_afterwards_all_is_as_before(number, tmp_path):
    with Parser("layerdrop-test", "", "").errors():
        assert signal.getsignal(number) is not signal.SIG_DFL
    assert signal.getsignal(number) is signal.SIG_DFL
