"""
Connections held by the runner itself, for what must be counted and not timed: a known number of sessions, a known
number of messages.
"""
import contextlib
import errno
import os
import json
import signal
import socket
import struct
import time

from client import RunError

PACE = 64  # connections in a row before the server gets a moment to accept them
WAIT_S = 20.0


class Sessions:
    """`count` connections to one port of this machine."""

    def __init__(self, port, count):
        self.sockets = []
        try:
            for number in range(count):
                self.sockets.append(self._connect(port))
                if number % PACE == PACE - 1:
                    time.sleep(0.001)
        except OSError as error:
            self.close()
            if error.errno == errno.EMFILE:
                raise RunError("not enough file descriptors here") from None
            raise RunError(f"connection {len(self.sockets) + 1} of {count}: {error}") from None

    @staticmethod
    def _connect(port):
        sock = socket.socket()
        try:
            sock.settimeout(WAIT_S)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # leave no TIME_WAIT
            sock.connect(("127.0.0.1", port))
        except BaseException:
            sock.close()
            raise
        return sock

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Close all of them."""
        for sock in self.sockets:
            with contextlib.suppress(OSError):
                sock.close()
        self.sockets = []

    def exchange(self, payload):
        """Send `payload` on every connection, then read it back from every one."""
        for sock in self.sockets:
            sock.sendall(payload)
        for sock in self.sockets:
            receive(sock, len(payload))

    def send(self, payload):
        """Send on every connection, and read nothing."""
        for sock in self.sockets:
            sock.sendall(payload)

    def complete(self, begin, rest, prefix, begun=False):
        """A line in two pieces on every connection, and its echo."""
        if not begun:
            self.send(begin)
            time.sleep(0.05)
        for sock in self.sockets:
            sock.sendall(rest)
            receive(sock, len(prefix) + len(begin) + len(rest))

    def exchange_one_by_one(self, payload):
        """The same, each reply before the next request: no more than one message is under way."""
        for sock in self.sockets:
            sock.sendall(payload)
            receive(sock, len(payload))


def receive(sock, size):
    """Exactly `size` bytes, thrown away."""
    while size > 0:
        try:
            part = len(sock.recv(min(size, 1 << 20)))
        except OSError as error:
            raise RunError(f"a reply did not come: {error}") from None
        if part == 0:
            raise RunError("the server closed a connection")
        size -= part


def wait_idle(server, quiet=0.1):
    """Until the server has used no CPU for a moment: it has accepted and answered all there was."""
    end, last = time.monotonic() + WAIT_S, server.cpu()
    while time.monotonic() < end:
        time.sleep(quiet)
        now = server.cpu()
        if now - last < 0.0005:
            return
        last = now
    raise RunError(f"{server.name} does not come to rest")


def statistics_of(server):
    """ccserver's statistics as JSON: SIGUSR1, then the file."""
    path = server.folder / "stats.json"
    path.unlink(missing_ok=True)
    os.kill(server.process.pid, signal.SIGUSR1)
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        if path.exists():
            return json.loads(path.read_text())
        time.sleep(0.002)
    raise RunError("no statistics came")


def open_sessions(server, service):
    """How many sessions a listener has now."""
    return sum(each["sessions_open"] for each in statistics_of(server)["listeners"] if each["name"] == service)
