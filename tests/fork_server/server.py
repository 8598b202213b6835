"""Fork for each request of program.py, and tell it how the fork ended.

    python -W ignore -m fork_server.server ADDRESS

ADDRESS is of a socket, to be made in a folder of its own. The server prints a line when it is ready. It ends, and all
forks with it, when its standard input does.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import selectors
import signal
import socket
import sys

from . import (
    command,  # before the imports, which change the environment
    imports,
)

FILES = 4  # standard input, output and error, and the folder


class Server:
    def __init__(self, address):
        self.address = address
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(address)
        self.listening.listen(128)
        self.ended, wake_up = socket.socketpair()
        for end in (self.ended, wake_up):
            end.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests
        signal.set_wakeup_fd(wake_up.fileno())
        self.wake_up = wake_up
        self.connections = {}  # by the number of the fork
        self.waiting = selectors.DefaultSelector()
        for file, react in ((self.listening, self.fork), (self.ended, self.report), (sys.stdin, self.stop)):
            self.waiting.register(file, selectors.EVENT_READ, react)

    def run(self):
        while True:
            for key, _ in self.waiting.select():
                key.data(key.fileobj)

    def fork(self, listening):
        connection, _ = listening.accept()
        try:
            request, files = receive(connection)
        except (EOFError, OSError):  # the program was killed
            connection.close()
            return
        number = 0
        if command.is_for_a_fork(request["argv"], request["environment"]):
            number = os.fork()
            if number == 0:
                self.close()
                connection.close()
                command.become(request, files)
            self.connections[number] = connection
            self.waiting.register(connection, selectors.EVENT_READ, lambda connection: self.end(number))
        for file in files:
            os.close(file)
        tell(connection, number)
        if not number:
            connection.close()

    def report(self, ended):
        """Tell of all forks that have ended."""
        with contextlib.suppress(BlockingIOError):
            ended.recv(4096)
        while self.connections:
            number, status = os.waitpid(-1, os.WNOHANG)
            if number == 0:
                return
            connection = self.connections.pop(number)
            self.waiting.unregister(connection)
            tell(connection, status)
            connection.close()

    def end(self, number):
        """The program was killed: so is the command, with all that it started."""
        for kill in (os.killpg, os.kill):  # it may not have made its group yet
            with contextlib.suppress(ProcessLookupError, PermissionError):
                kill(number, signal.SIGKILL)
        self.waiting.modify(self.connections[number], selectors.EVENT_READ, lambda connection: None)

    def stop(self, stdin):
        for number in list(self.connections):
            self.end(number)
        os.unlink(self.address)
        os.rmdir(os.path.dirname(self.address))
        os._exit(0)

    def close(self):
        """Leave nothing of the server to a fork."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self.waiting.close()
        for file in (self.listening, self.ended, self.wake_up, *self.connections.values()):
            file.close()


def receive(connection):
    """Return a request and the files that come with it."""
    size, files, _, _ = socket.recv_fds(connection, 4, FILES, socket.MSG_WAITALL)
    content = b""
    while size and len(content) < int.from_bytes(size, sys.byteorder):
        part = connection.recv(1 << 20)
        if not part:
            break
        content += part
    try:
        return marshal.loads(content), files
    except (EOFError, ValueError):
        for file in files:
            os.close(file)
        raise EOFError from None


def tell(connection, number):
    with contextlib.suppress(OSError):
        connection.sendall(number.to_bytes(4, sys.byteorder))


if __name__ == "__main__":
    imports.load()
    server = Server(sys.argv[1])
    print("ready", flush=True)
    server.run()
