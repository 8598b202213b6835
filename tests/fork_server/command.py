"""Be a command, in a fork of the server."""

from __future__ import annotations

import atexit
import functools
import os
import runpy
import signal
import sys
import tempfile
import threading
import types
import warnings
from pathlib import Path

from . import imports

sys.path.append(str(Path(__file__).parents[2] / "scripts"))
from fuzzing import interpreter

sys.path.pop()

SCRIPTS = ("fairseq-", "layerdrop")
MODULES = ("fairseq_cli", "layerdrop_plugin")
TORCHRUN = "torch.distributed.run"
READ_AT_START = ("CUDA", "HF_", "KMP_", "LANG", "LC_", "LD_", "MKL_", "MPL", "OMP_", "PYTHON", "TORCH", "TRANSFORMERS_")
BUT = (
    "OMP_WAIT_POLICY",
    "PYTHONWARNINGS",
    "KMP_INIT_AT_FORK",
    "KMP_DUPLICATE_LIB_OK",
    "TORCHINDUCTOR_CACHE_DIR",
    "TORCHELASTIC_",
    "TORCH_NCCL_",
)
"""Beginnings of variables that Python and libraries read when they start; but one is of no effect with one thread,
one is heeded in the fork, three are set by torch and scikit-learn as they are imported, in whatever process started the
command, and the last are torchrun's, which a worker reads when it joins the others."""


def is_for_a_fork(argv, environment):
    """Whether a fork of this process can be this command."""
    _, (kind, what), _ = parsed(argv)
    if argv[0] != sys.executable or start_of(environment) != AT_START:
        return False
    if kind == "-m":
        return what.partition(".")[0] in MODULES or what == TORCHRUN
    if kind == "script":
        return what.endswith(".py") or os.path.basename(what).startswith(SCRIPTS)
    return kind == "-c"


def start_of(environment):
    found = {os.fsdecode(name): value for name, value in environment.items()}
    return {name: found[name] for name in found if name.startswith(READ_AT_START) and not name.startswith(BUT)}


AT_START = start_of(os.environb)  # libraries set some as they are imported


def parsed(argv):
    """Return the values of -W; -c, -m or `script` with its value; and the arguments after that."""
    actions, arguments = [], list(argv[1:])
    while arguments[:1] == ["-W"] and len(arguments) > 1:
        actions.append(arguments[1])
        del arguments[:2]
    if arguments[:1] in (["-c"], ["-m"]) and len(arguments) > 1:
        return actions, (arguments[0], arguments[1]), arguments[2:]
    if arguments and not arguments[0].startswith("-"):
        return actions, ("script", arguments[0]), arguments[1:]
    return actions, ("none", ""), []


def become(request, files):
    """Be the command to the end of this process."""
    os.setpgid(0, 0)
    for number, file in enumerate(files[:3]):
        os.dup2(file, number)
    os.fchdir(files[3])
    for file in files:
        os.close(file)
    os.umask(request["umask"])
    os.environ.clear()
    os.environb.update(request["environment"])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in request["ignored"]:
        signal.signal(number, signal.SIG_IGN)
    actions, program, arguments = parsed(request["argv"])
    interpreter.open_streams(sys.stdout.encoding, sys.stdout.errors, sys.stdout.write_through)
    set_warnings([*filter(None, os.environ.get("PYTHONWARNINGS", "").split(",")), *actions])
    forget_what_the_server_drew()
    sys.orig_argv = list(request["argv"])
    end(interpreter.status_of(prepared(program, arguments)))


def set_warnings(options):
    """Put the filters of the command line where they stand in a process of its own: behind those of what it imports."""
    imported = [each for each in warnings.filters if each not in (imports.QUIET, *imports.FILTERS)]
    sys.warnoptions[:] = options
    warnings.resetwarnings()
    warnings._processoptions(options)
    warnings.filters[:] = [*imported, *warnings.filters, *imports.FILTERS]


def forget_what_the_server_drew():
    """Let temporary folders and random numbers differ from fork to fork; Python's own `random` sees to itself."""
    tempfile.tempdir = None
    sys.modules["numpy.random"].seed()
    sys.modules["torch"].default_generator.seed()


def prepared(program, arguments):
    """Return the function that is left to call, when `sys` is as the interpreter makes it for a command line."""
    kind, what = program
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    main.__builtins__ = __builtins__
    sys.argv = [what if kind == "script" else kind, *arguments]
    sys.path[0] = {"script": os.path.dirname(os.path.realpath(what)), "-m": os.getcwd(), "-c": ""}[kind]
    if kind == "-m":
        return lambda: runpy._run_module_as_main(what) and None
    if kind == "-c":
        return functools.partial(exec, compile(what, "<string>", "exec"), main.__dict__)
    main.__file__ = os.path.abspath(what)
    return functools.partial(exec, compile(Path(what).read_bytes(), main.__file__, "exec"), main.__dict__)


def end(status):
    """Do what the interpreter does at its end, but for destroying objects, which takes longer than most commands."""
    threading._shutdown()
    atexit._run_exitfuncs()
    interpreter.leave(status)
