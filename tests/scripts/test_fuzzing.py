"""scripts/fuzz.py: the judge catches each way to misbehave, a fork is apart, the same seed gives the same cases."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))
from fuzzing import forking, judging  # noqa: E402
from fuzzing.judging import Wanted  # noqa: E402

DONE = Wanted("done", frozenset({"out.pt"}), frozenset({"log", "more/"}), frozenset({"empty"}))


def well():
    Path("out.pt").write_text("weights")
    Path("log").touch()
    os.makedirs("more/x")
    print("done")


def refuses():
    os.mkdir("empty")
    print("fake: warning: only 3 batches", file=sys.stderr)
    sys.stderr.write("fake: error: `--x` must be 1, but is 2 instead.\n")
    sys.exit(2)


def refuses_as_argparse():
    sys.stderr.write("usage: fake [-h]\n            FILE\nfake: error: the following arguments are required: FILE\n")
    sys.exit(2)


def says(text, status=2):
    def command():
        sys.stderr.write(text)
        sys.exit(status)

    return command


def leaves(path, status=0):
    def command():
        well()
        Path(path).write_text("x")
        if status:
            says("fake: error: no.\n", status)()

    return command


def raises():
    raise KeyError("best_loss")


def prints_a_traceback_and_ends_well():
    well()
    print("Traceback (most recent call last):\n  ...\nKeyError: 1", file=sys.stderr)


def removes():
    well()
    os.remove("in.pt")


def replaces():
    well()
    content = Path("in.pt").read_bytes()
    os.remove("in.pt")
    Path("in.pt").write_bytes(content)


MISBEHAVING = {
    "traceback": (raises, ["status 1", "traceback: KeyError: 'best_loss'"]),
    "printed": (prints_a_traceback_and_ends_well, ["traceback: KeyError: 1"]),
    "status": (says("fake: error: no.\n", 3), ["status 3"]),
    "in the job": (says("Error executing job with overrides: []\nno.\n" + judging.HYDRA, 1), ["status 1"]),
    "signal": (lambda: os.kill(os.getpid(), signal.SIGSEGV), ["killed by signal 11"]),
    "timeout": (lambda: time.sleep(60), ["timeout: killed after 1 s"]),
    "nothing": (
        lambda: None,
        [
            "status 0 with nothing done: 'done' is not printed",
            "status 0 with nothing done: out.pt is not there",
        ],
    ),
    "left": (leaves("other"), ["left behind: {}/other"]),
    "canary": (leaves("canary/ran"), ["left behind: {}/canary/ran"]),
    "half made": (
        leaves("x", 2),
        ["left behind: {}/" + name for name in ("log", "more", "more/x", "out.pt", "x")],
    ),
    "changed": (leaves("in.pt"), ["changed: {}/in.pt"]),
    "removed": (removes, ["removed: {}/in.pt"]),
    "replaced": (replaces, ["changed: {}/in.pt"]),
    "no error": (lambda: sys.exit(2), ["status 2 without an error"]),
    "no name": (says("no.\n"), ["no error of fake's: no."]),
    "lines": (says("a\nfake: error: no.\n"), ["2 lines for an error: a ... fake: error: no."]),
    "after": (says("fake: error: no.\nmore\n"), ["no error of fake's: more"]),
    "long": (says("fake: error: " + "x" * 1188 + "\n"), ["an error of 1201 characters: fake: error: " + "x" * 287]),
    "escape": (
        says("fake: error: \x1b[31mno.\n"),
        ["control character '\\x1b' on standard error: 'fake: error: \\x1b[31mno.\\n'"],
    ),
}


def faults_of(command, folder, seconds=1.0):
    (folder / "canary").mkdir()
    (folder / "in.pt").write_text("input")
    before = judging.files_in(str(folder))
    outcome = forking.run(command, ["fake"], str(folder), seconds=seconds)
    return judging.faults("fake", outcome, DONE, before, judging.files_in(str(folder)), str(folder))


@pytest.mark.parametrize("name", list(MISBEHAVING))
def test_the_judge_catches(name, tmp_path):
    command, faults = MISBEHAVING[name]
    assert faults_of(command, tmp_path) == [fault.format(tmp_path) for fault in faults]


@pytest.mark.parametrize("command", [well, refuses, refuses_as_argparse, says(f"Unknown key.\n\n{judging.HYDRA}\n", 1)])
def test_the_judge_lets_pass(command, tmp_path):
    assert faults_of(command, tmp_path, 30.0) == []


def test_too_much_memory():
    outcome = forking.Outcome(0, "done", "", 1.0, 1_500_000_001)
    assert judging.faults("fake", outcome, Wanted(), {}, {}, ".") == ["memory: 1.5 GB"]
    assert judging.faults("fake", outcome._replace(peak=1_500_000_000), Wanted(), {}, {}, ".") == []


def test_a_fork_has_streams_folder_arguments_and_limits_of_its_own(tmp_path):
    def command():
        print(sys.argv, os.getcwd(), sys.stdin.read(), os.environ["FUZZ"])
        block = bytearray(300_000_000)
        block[::4096] = b"x" * len(block[::4096])
        print("no", file=sys.stderr)
        bytearray(forking.MEMORY)

    outcome = forking.run(command, ["fake", "-x"], str(tmp_path), "in\n", env={"FUZZ": "yes"})
    assert outcome.out == f"['fake', '-x'] {tmp_path} in\n yes\n"
    assert outcome.err.startswith("no\nTraceback")
    assert outcome.err.endswith("MemoryError\n")
    assert outcome.status == 1
    assert outcome.peak > 300_000_000
    assert "FUZZ" not in os.environ
    assert os.getcwd() != str(tmp_path)


def test_processes_that_a_command_started_end_with_it(tmp_path):
    def command():
        if os.fork() == 0:
            Path("started").write_text(str(os.getpid()))
            time.sleep(60)
        while not Path("started").exists():
            time.sleep(0.01)

    assert forking.run(command, ["fake"], str(tmp_path)).status == 0
    other, deadline = int((tmp_path / "started").read_text()), time.monotonic() + 60
    while Path(f"/proc/{other}/cmdline").exists() and Path(f"/proc/{other}/cmdline").read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.01)
