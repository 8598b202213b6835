"""A command in a fork of the server does what it does in a process of its own."""

from __future__ import annotations

import functools
import os
import re
import signal
import subprocess
import sys
from importlib.util import find_spec

import pytest
from fork_server import programs

pytestmark = pytest.mark.skipif(find_spec("fairseq") is None, reason="the server imports fairseq")
IS_FORK = "import sys; print('torch' in sys.modules)"  # which nobody imported

TRACEBACK = 'Traceback (most recent call last):\n  File "<string>", line 1, in <module>\n'
PLAIN = [  # code, arguments, exit status, standard output, standard error
    ("pass", [], 0, "", ""),
    ("import sys; sys.exit(3)", [], 3, "", ""),
    ("import sys; sys.exit(259)", [], 3, "", ""),
    ("import sys; sys.exit('no')", [], 1, "", "no\n"),
    ("import os; os._exit(4)", [], 4, "", ""),
    ("import sys; print(sys.argv, sys.path[0] == '')", ["-x", "ä"], 0, "['-c', '-x', 'ä'] True\n", ""),
    ("import sys; print(input() + sys.stdin.read())", [], 0, "firstsecond\n\n", ""),
    ("print(__name__, [n for n in dir() if n[0] != '_'])", [], 0, "__main__ []\n", ""),
    ("import os; print(os.getcwd())", [], 0, "{folder}\n", ""),
    ("import os; os.umask(os.umask(0) | 2); print(oct(os.umask(0)))", [], 0, "0o27\n", ""),
    ("import os; print(os.environ['ONLY'], len(os.environ) < 9)", [], 0, "here True\n", ""),
    ("import os; os.system('echo $ONLY $PATH')", [], 0, "here /bin:/usr/bin\n", ""),
    ("import sys; print('a'); print('b', file=sys.stderr)", [], 0, "a\n", "b\n"),
    ("import logging; logging.info('i'); logging.warning('w')", [], 0, "", "WARNING:root:w\n"),
    ("import warnings; warnings.warn('once')", [], 0, "", "<string>:1: UserWarning: once\n"),
    ("import warnings; warnings.warn('no', ImportWarning)", [], 0, "", ""),
    (
        "1 / 0",
        [],
        1,
        "",
        TRACEBACK + "ZeroDivisionError: division by zero\n",
    ),
    (
        "import atexit; atexit.register(print, 'end'); print('begin'); raise SystemExit(5)",
        [],
        5,
        "begin\nend\n",
        "",
    ),
    (
        "import atexit, threading, time; atexit.register(print, 'end')\n"
        "threading.Thread(target=lambda: (time.sleep(0.1), print('thread'))).start(); print('main')",
        [],
        0,
        "main\nthread\nend\n",
        "",
    ),
    ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", [], -9, "", ""),
    ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", [], -15, "", ""),
    (
        "raise KeyboardInterrupt",
        [],
        -2,
        "",
        TRACEBACK + "KeyboardInterrupt\n",
    ),
]


@pytest.fixture(params=["process", "fork"])
def python(request, fork_server):
    """The beginning of a command line."""
    return [sys.executable] if request.param == "process" else programs.ASK


@pytest.fixture
def environ(monkeypatch):
    """Few variables, besides those that were there when the server started."""
    kept = ("PYTHON", "LANG", "LC_", "OMP_", "LD_", programs.ADDRESS)
    found = {name: value for name, value in os.environ.items() if name.startswith(kept)}
    found.pop("PYTHONWARNINGS", None)  # fairseq's workers set it
    return {**found, "ONLY": "here", "PATH": "/bin:/usr/bin"}


def run(argv, environ, folder, **settings):
    settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "input": "first\nsecond\n", **settings}
    return subprocess.run(argv, cwd=folder, env=environ, text=True, umask=0o25, timeout=60, **settings)


def without_source(err):
    """Leave out the lines of the program, which Python 3.13 shows of `-c` and a fork does not."""
    return re.sub(r"(?m)(?<=<module>\n)(    .*\n)+|(?<=once\n)  import .*\n", "", err)


@pytest.mark.parametrize(("code", "argv", "status", "out", "err"), PLAIN, ids=[row[0][:60] for row in PLAIN])
def test_as_in_a_process(code, argv, status, out, err, python, environ, tmp_path):
    done = run([*python, "-c", code, *argv], environ, tmp_path)
    assert (done.returncode, done.stdout) == (status, out.format(folder=tmp_path))
    assert without_source(done.stderr) == err


def test_options_of_python(python, environ, tmp_path):
    code = "import sys, warnings; warnings.warn('no'); print(sys.warnoptions)"
    done = run([*python, "-W", "error", "-W", "ignore", "-c", code], environ, tmp_path)
    assert (done.stdout, done.stderr) == ("['error', 'ignore']\n", "")
    done = run([*python, "-c", code], {**environ, "PYTHONWARNINGS": "error"}, tmp_path)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, "UserWarning: no")


@pytest.mark.skipif(sys.version_info < (3, 10), reason="Python 3.10 has sys.orig_argv")
def test_the_command_line(python, environ, tmp_path):
    code = "import sys; print(sys.orig_argv[1:3])"
    assert run([*python, "-W", "ignore", "-c", code], environ, tmp_path).stdout == "['-W', 'ignore']\n"


def test_a_script(python, environ, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/other.py").write_text("NAME = 'imported'\n")
    script = tmp_path / "folder" / "script.py"
    script.write_text(
        "import other, sys\nprint(other.NAME, sys.argv, __name__, __file__, sys.modules['__main__'].other)"
    )
    done = run([*python, "folder/script.py", "a"], environ, tmp_path)
    module = f"<module 'other' from '{tmp_path}/folder/other.py'>"
    assert done.stdout == f"imported ['folder/script.py', 'a'] __main__ {script} {module}\n"


@pytest.mark.slow
def test_a_module(python, environ, tmp_path):
    done = run([*python, "-W", "ignore", "-m", "layerdrop_plugin.cli.search"], environ, tmp_path)
    error = "layerdrop-search: error: the following arguments are required: --path\n"
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith(error)


def test_a_module_that_comes_to_its_end(fork_server, environ, tmp_path):
    done = run([*programs.ASK, "-m", "layerdrop_plugin"], environ, tmp_path)
    said = [line for line in done.stderr.splitlines() if "tensorboardX" not in line]  # as fairseq-fixed is imported
    assert (done.returncode, said) == (0, [])
    assert done.stdout.startswith("layerdrop_plugin ")
    assert "  --user-dir " in done.stdout


def test_names_and_random_numbers_are_not_those_of_another(fork_server, environ, tmp_path):
    code = "import random, tempfile, numpy, torch; drawn = random.random(), numpy.random.rand(), torch.rand(1).item()"
    code += "; print(*drawn, tempfile.mktemp(), sep='\\n')"
    first, second = (run([*programs.ASK, "-c", code], environ, tmp_path).stdout.splitlines() for _ in range(2))
    assert len(first) == 4
    assert all(one != other for one, other in zip(first, second))


def test_seeds_count(fork_server, environ, tmp_path):
    code = "import torch; torch.manual_seed(1); print(torch.rand(1).item(), torch.get_num_threads())"
    assert run([*programs.ASK, "-c", code], environ, tmp_path).stdout == "0.7576315999031067 1\n"


@pytest.mark.slow
def test_fairseq_is_not_there_before_it_is_imported(python, environ, tmp_path):
    """It provides the log with a handler as it is imported, unless there is one."""
    code = (
        "import logging, sys; names = lambda: [n for n in sys.modules if n.split('.')[0] in ('fairseq', 'fairseq_cli')]"
    )
    code += "\nprint(names(), logging.root.handlers)"
    code += "\nfrom fairseq.tasks import translation"
    code += "\nprint(len(names()) > 100, sys.modules['fairseq'].__spec__.origin[-19:], translation.logger.name)"
    code += "\nprint('fairseq_cli.train' in names(), 'layerdrop_plugin' in sys.modules)"
    code += "\nprint(logging.root.handlers[0].stream is sys.stderr, logging.root.level < 30)\nlogging.warning('w')"
    done = run([*python, "-W", "ignore", "-c", code], environ, tmp_path)
    assert done.stdout.splitlines() == [
        "[] []",
        "True fairseq/__init__.py fairseq.tasks.translation",
        "False False",
        "True True",
    ]
    assert done.stderr.endswith((" | WARNING | root | w\n", "WARNING:root:w\n"))  # the second is fairseq-fixed


WAITING = "import time; print('waits', flush=True); [time.sleep(0.05) for _ in range(1200)]"
"""For a minute, in many naps: a signal that comes just before a nap would be heeded after it only."""
CATCHING = "import signal; signal.signal(signal.SIGUSR1, lambda n, f: exit(6)); " + WAITING


@pytest.mark.parametrize(
    ("code", "number", "status"),
    [
        (WAITING, signal.SIGTERM, -signal.SIGTERM),
        (WAITING, signal.SIGINT, -signal.SIGINT),
        (WAITING, signal.SIGKILL, -signal.SIGKILL),
        (CATCHING, signal.SIGUSR1, 6),
        ("try:\n    " + WAITING + "\nexcept KeyboardInterrupt:\n    exit(130)", signal.SIGINT, 130),
    ],
)
def test_a_signal_arrives(code, number, status, python, environ):
    heeded = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # the tests may be at work behind a `&`
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "preexec_fn": heeded}
    with subprocess.Popen([*python, "-c", code], env=environ, **pipes) as process:
        assert process.stdout.readline() == b"waits\n"
        process.send_signal(number)
        assert process.wait(timeout=30) == status
        assert process.stdout.read() == b""  # also of a command whose program was killed, only the end is left


def test_a_signal_that_is_ignored_stays_so(python, environ):
    code = "import signal; print(signal.getsignal(signal.SIGINT) == signal.SIG_IGN)"
    line = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh", *python, "-c", code]
    assert subprocess.run(line, env=environ, capture_output=True, text=True).stdout == "True\n"


def test_a_reader_that_has_enough(python, environ):
    code = "import sys\nfor i in range(100_000): print(i)"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen([*python, "-c", code], env=environ, **pipes)
    assert process.stdout.readline() == b"0\n"
    process.stdout.close()
    assert b"BrokenPipeError" in process.stderr.read()
    assert process.wait(timeout=30) in (1, 120)


def test_two_at_a_time(fork_server, environ, tmp_path):
    """Each waits for a file that the other makes."""
    code = "import os, sys, time\nopen(sys.argv[1], 'w')\nwhile not os.path.exists(sys.argv[2]): time.sleep(0.01)"
    argv = [*programs.ASK, "-c", code]
    both = [subprocess.Popen([*argv, *names], env=environ, cwd=tmp_path) for names in (("a", "b"), ("b", "a"))]
    assert [process.wait(timeout=30) for process in both] == [0, 0]


@pytest.mark.parametrize(
    ("argv", "settings", "fork"),
    [
        (["-c", IS_FORK], {}, True),
        (["-W", "ignore", "-c", IS_FORK], {}, True),
        (["-c", IS_FORK], {"PYTHONWARNINGS": "ignore", "OMP_WAIT_POLICY": "passive"}, True),
        (["-I", "-c", IS_FORK], {}, False),
        (["-c", IS_FORK], {"OMP_NUM_THREADS": "7"}, False),
        (["-c", IS_FORK], {"PYTHONHASHSEED": "1"}, False),
        (["-c", IS_FORK], {programs.ADDRESS: "/nowhere"}, False),
    ],
)
def test_what_a_fork_cannot_be_is_a_process(argv, settings, fork, fork_server, environ, tmp_path):
    done = run([*programs.ASK, *argv], {**environ, **settings}, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{fork}\n", "")


def test_standard_input_is_read_by_a_process(fork_server, environ, tmp_path):
    done = run([*programs.ASK, "-"], environ, tmp_path, input=IS_FORK)
    assert (done.returncode, done.stdout) == (0, "False\n")


def test_programs_for_the_path(fork_server, environ, tmp_path):
    folder = programs.make(tmp_path / "bin")
    path = {"PATH": f"{folder}:/bin:/usr/bin"}
    done = run(["bash", "-c", f'python -c "{IS_FORK}"; layerdrop-prune --x; echo $?'], {**environ, **path}, tmp_path)
    assert done.stdout == "True\n2\n"
    assert "layerdrop-prune: error: " in done.stderr
    names = {path.name for path in folder.iterdir()}
    assert {"python", "fairseq-train", "fairseq-hydra-train", "layerdrop-average", "layerdrop-search"} <= names
