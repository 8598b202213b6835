"""Run Python in a fork of the server; where that declines or is not there, in this process.

    python -I -S program.py PYTHON [-W ACTION]... SCRIPT|-m MODULE|-c CODE [ARGUMENT]...

This process has the command's streams, passes signals on, and ends as the command does.
"""

from __future__ import annotations

import _signal as signal  # the modules `signal` and `socket` take longer to import than all else takes
import _socket as socket
import marshal
import os
import sys

ADDRESS = "FORK_SERVER"
PASSED_ON = (
    *(signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM),
    *(signal.SIGALRM, signal.SIGUSR1, signal.SIGUSR2),
)


def main(argv):
    ignored = [number for number in PASSED_ON if signal.getsignal(number) == signal.SIG_IGN]
    received, command = [], None

    def pass_on(number, frame):
        os.kill(command, number) if command else received.append(number)

    for number in set(PASSED_ON) - set(ignored):
        signal.signal(number, pass_on)
    connection = ask({"argv": argv, "umask": umask(), "ignored": ignored, "environment": dict(os.environb)})
    command = connection and number_from(connection)
    if not command:
        become(argv, received)
    for number in received:
        os.kill(command, number)
    end_as(number_from(connection))


def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def ask(request):
    """Send a request with the streams and the folder; return the connection, or None where there is no server."""
    if ADDRESS not in os.environ:
        return None
    try:
        files = b"".join(number.to_bytes(4, sys.byteorder) for number in (*streams(), os.open(".", os.O_RDONLY)))
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(os.environ[ADDRESS])
        content = marshal.dumps(request)
        size = len(content).to_bytes(4, sys.byteorder)
        connection.sendmsg([size], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)])
        connection.sendall(content)
        return connection
    except OSError:
        return None


def streams():
    for number in range(3):
        os.fstat(number)  # raises, where it is closed
    return range(3)


def number_from(connection):
    return int.from_bytes(connection.recv(4, socket.MSG_WAITALL), sys.byteorder)


def become(argv, received):
    """Be the command without the server."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python had it ignored
    for number in received:
        end_as(number)
    os.execv(argv[0], argv)


def end_as(status):
    """End with an exit status, or by a signal, that is given as `os.wait` does."""
    number = os.WTERMSIG(status)
    if os.WIFSIGNALED(status):
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status))


main(sys.argv[1:])
