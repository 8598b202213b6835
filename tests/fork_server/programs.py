"""Start the server, and make programs for PATH that ask it."""

from __future__ import annotations

import atexit
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
ADDRESS = "FORK_SERVER"
BIN = Path(sys.executable).parent
ASK = [sys.executable, "-I", "-S", str(HERE / "program.py"), sys.executable]
"""What stands for `python` at the beginning of a command."""


def start():
    """Start a server for this process, and let the environment lead to it; it ends with this process."""
    folder = tempfile.TemporaryDirectory(prefix="fork-server-")
    address = os.path.join(folder.name, "socket")
    argv = [sys.executable, "-W", "ignore", "-m", "fork_server.server", address]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
    server = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=HERE.parent, env=env)
    assert server.stdout.readline() == b"ready\n"
    os.environ[ADDRESS] = address
    atexit.register(stop, server, folder)


def stop(server, folder):
    server.stdin.close()
    server.wait()
    folder.cleanup()


def make(folder):
    """Make a folder of programs that stand for Python and the console scripts of this environment."""
    folder.mkdir()
    ask = " ".join(map(shlex.quote, ASK))
    for name in ("python", *(path.name for path in BIN.iterdir() if path.name.startswith(("fairseq-", "layerdrop-")))):
        script = "" if name == "python" else shlex.quote(str(BIN / name)) + " "
        program = folder / name
        program.write_text(f'#!/bin/sh\nexec {ask} {script}"$@"\n')
        program.chmod(0o755)
    return folder
