"""Start the server, and make programs for PATH that ask it."""

from __future__ import annotations

import fcntl
import os
import shlex
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
ADDRESS = "FORK_SERVER"
BIN = Path(sys.executable).parent
ASK = [sys.executable, "-I", "-S", str(HERE / "program.py"), sys.executable]
"""What stands for `python` at the beginning of a command."""


def start(folder):
    """Let the environment lead to a server, which ends with the last of the processes that were led to it.

    Args:
        folder: the same for all processes that share a server. They keep the server's standard input open.
    """
    folder.mkdir(exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept_open, address = folder / "kept_open", folder / "address"
        if not kept_open.exists():
            os.mkfifo(kept_open)
        os.open(kept_open, os.O_RDWR)  # to the end of this process
        if not address.exists() or not answers(address.read_text()):
            address.write_text(launched(kept_open))
    os.environ[ADDRESS] = address.read_text()


def answers(address):
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex(address) == 0


def launched(kept_open):
    """Start a server, and return its address when it is ready."""
    address = os.path.join(tempfile.mkdtemp(prefix="fork-server-"), "socket")  # short, as a socket's name must be
    argv = [sys.executable, "-W", "ignore", "-m", "fork_server.server", address]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
    with open(kept_open) as stdin:
        server = subprocess.Popen(argv, stdin=stdin, stdout=subprocess.PIPE, cwd=HERE.parent, env=env)
    assert server.stdout.readline() == b"ready\n"
    return address


def make(folder):
    """Make a folder of programs that stand for Python and the console scripts of this environment."""
    folder.mkdir()
    ask = " ".join(map(shlex.quote, ASK))
    for name in ("python", *(path.name for path in BIN.iterdir() if path.name.startswith(("fairseq-", "layerdrop")))):
        script = "" if name == "python" else shlex.quote(str(BIN / name)) + " "
        program = folder / name
        program.write_text(f'#!/bin/sh\nexec {ask} {script}"$@"\n')
        program.chmod(0o755)
    return folder
