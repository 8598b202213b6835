"""Commands, scripts and stock fairseq in processes of their own, most of them forks of a server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fork_server import programs

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def fork_server(shared_folder):
    """A process with everything imported, of which commands are forks."""
    programs.start(shared_folder / "fork_server")


@pytest.fixture(scope="session")
def command(fork_server):
    """A function that runs one of fairseq's or of our commands in a fork of a server, and wants it to succeed."""
    return run_command


def run_command(name, *argv, status=0, cwd=None, stdin=None, env=(), real=False):
    """Return the finished process of `.venv/bin/name`.

    Args:
        real: in a process of its own, for what is about the start or the end of one.
    """
    python = [sys.executable] if real else programs.ASK
    program = python if name == "python" else [*python, "-W", "ignore", programs.BIN / name]
    process = subprocess.run(
        [str(word) for word in [*program, *argv]],
        cwd=cwd or ROOT.parent,
        env={**os.environ, **dict(env)},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert process.returncode == status, process.stdout[-4000:] + process.stderr[-6000:]
    return process


@pytest.fixture(scope="session")
def programs_folder(fork_server, tmp_path_factory):
    """A folder of programs that stand for commands, which run in forks of the server."""
    return programs.make(tmp_path_factory.mktemp("programs") / "bin")


@pytest.fixture(scope="session")
def path(programs_folder):
    """A PATH for shell scripts: their commands run in forks of the server."""
    return os.pathsep.join([str(programs_folder), str(programs.BIN), os.environ["PATH"]])


@pytest.fixture(scope="session")
def torchrun(command, programs_folder):
    """A function that has two workers run a command; they are forks of the server, and so is torchrun."""

    def run(name, *argv, options=("--standalone", "--nproc_per_node", 2), **settings):
        program = ["--no-python", programs_folder / name]
        return command("python", "-W", "ignore", "-m", "torch.distributed.run", *options, *program, *argv, **settings)

    return run


@pytest.fixture(scope="session")
def recipe(path):
    """A function that runs scripts/NAME.sh in its tiny form, in the environment of the tests."""

    def run(name, out, status=0, **settings):
        env = {**os.environ, "TINY": "1", "SETUP": "0", "OUT": str(out), "PATH": path, **settings}
        script = ROOT / "scripts" / f"{name}.sh"
        done = subprocess.run(["bash", str(script)], env=env, capture_output=True, text=True, timeout=900)
        assert done.returncode == status, done.stdout[-2000:] + done.stderr[-6000:]
        return done

    return run


STOCK = """
import argparse, sys, types
import numpy, torch
numpy.compat = types.SimpleNamespace(long=int)  # gone in numpy 2
if hasattr(torch.serialization, "add_safe_globals"):  # torch 2.6, whose safe loading fairseq does not know
    torch.serialization.add_safe_globals([argparse.Namespace])
import fairseq
"""


@pytest.fixture(scope="session")
def stock(command):
    """A function that runs Python code with fairseq as it is: the plugin is not imported, nor is it in the server."""

    def run(code, *argv, status=0):
        never = "\nassert 'layerdrop_plugin' not in sys.modules\n"
        return command("python", "-W", "ignore", "-c", STOCK + code + never, *argv, status=status)

    return run
