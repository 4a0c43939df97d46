"""
Plays a program against an address, and watches the redis-server behind it over a control connection.

A program is a list of steps. What several clients send between two barriers is sent at the same time:

    Send(client, payload, commands, cuts)    queue bytes; commands: those that are answered, None for one that needs a mark
    Barrier(mark)                            send all; await all answers of those who do not block. mark: ask for one more, of
                                             those who have sent something ("some"), or of all ("all")
    Block(client, payload, words)            send a blocking command; await that the server has it blocked, or answers
    Settle(client)                           it blocks no longer: await its answer
    Unblock(how)                             CLIENT UNBLOCK of whoever blocks, over the control connection
    HalfClose(client)                        shut down the sending side after what is queued; await the end
    End(client)                              the server closes: await it
    Close(client)                            close; await that the server has noticed

Whoever has no connection gets one at its next step.
"""
import select
import socket
import time
from typing import NamedTuple

from answers import frame_end
from talker import Client


class Send(NamedTuple):
    client: int
    payload: bytes
    commands: tuple
    cuts: tuple = ()


class Barrier(NamedTuple):
    mark: str = ""


class Block(NamedTuple):
    client: int
    payload: bytes
    words: tuple


class Settle(NamedTuple):
    client: int


class Unblock(NamedTuple):
    how: str


class HalfClose(NamedTuple):
    client: int


class End(NamedTuple):
    client: int


class Close(NamedTuple):
    client: int


class Stuck(Exception):
    """Something that was awaited has not come in time."""


class Played(NamedTuple):
    answers: dict   # {client: [answer, ...]}
    states: list    # of the server, after each Close
    digest: str     # of all data
    stuck: str      # what did not come in time, or None


def pack(words):
    """A command as Redis wants it."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


class Control:
    """A connection to the server itself."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)

    def ask(self, *words):
        self.socket.sendall(pack([word.encode() for word in words]))
        data = b""
        while frame_end(data) is None:
            got = self.socket.recv(1 << 20)
            if not got:
                raise Stuck("the redis-server has closed the control connection")
            data += got
        if data[:1] == b"-":
            raise ValueError(f"{words}: {data.decode()}")
        return data.decode()

    def blocked(self):
        return int(self.ask("INFO", "clients").split("blocked_clients:")[1].split("\r")[0])

    def clients(self):
        """Everybody but this connection, as CLIENT LIST shows them."""
        lines = self.ask("CLIENT", "LIST").split("\r\n")[1].splitlines()
        rows = [dict(pair.split("=", 1) for pair in line.split()) for line in lines]
        return [row for row in rows if row["cmd"] != "client|list"]

    def state(self):
        """How many channels, patterns, transactions and blocked clients there are."""
        rows = self.clients()
        return {**{key: sum(int(row[key]) for row in rows) for key in ("sub", "psub", "ssub")},
                "multi": sum(row["multi"] != "-1" for row in rows), "blocked": sum("b" in row["flags"] for row in rows)}

    def close(self):
        self.socket.close()


class Player:
    """`like`: what has been played directly; None: this is to be."""

    def __init__(self, address, control, deadline, like=None):
        self.address, self.control, self.deadline, self.like = address, control, deadline, like
        self.clients, self.states = {}, []

    # ---- waiting ----

    def pump(self, timeout):
        """Move what can be moved; wait for that up to `timeout` seconds."""
        active = {client.socket: client for client in self.clients.values() if client.is_open}
        sending = [sock for sock, client in active.items() if client.chunks]
        readable, writable, _ = select.select(list(active), sending, [], timeout)
        for sock in writable:
            active[sock].write()
        for sock in readable:
            if active[sock].is_open:
                active[sock].read()

    def wait(self, done, what, poll=False):
        """Move bytes until done(). `poll`: it asks the control connection, for which there is no event to wait for."""
        end = time.monotonic() + self.deadline
        while not done():
            if time.monotonic() > end:
                raise Stuck(what)
            self.pump(0.001 if poll else 0.1)

    # ---- steps ----

    def client(self, number):
        client = self.clients.setdefault(number, Client(b"%d" % number))
        if not client.is_open:
            client.connect(self.address)
        return client

    def send(self, step):
        self.client(step.client).send(step.payload, list(step.commands), step.cuts)

    def barrier(self, step):
        waiting = [client for client in self.clients.values() if client.is_open and not client.blocked]
        for client in waiting:
            if step.mark == "all" or step.mark and client.has_sent or None in client.unanswered:
                client.send_mark()
            client.has_sent = False
        self.wait(lambda: all(client.is_idle for client in waiting),
                  "answers of " + ", ".join(f"client {client.name.decode()}" for client in waiting))

    def block(self, step):
        client, before = self.client(step.client), self.control.blocked()
        client.send(step.payload, [step.words])
        self.wait(lambda: client.is_idle or self.control.blocked() > before, f"client {step.client} blocks", poll=True)
        client.blocked = not client.is_idle

    def settle(self, step):
        client = self.client(step.client)
        self.wait(lambda: client.is_idle, f"the answer of client {step.client}, which has blocked")
        client.blocked = False

    def unblock(self, step):
        for row in self.control.clients():
            if "b" in row["flags"]:
                self.control.ask("CLIENT", "UNBLOCK", row["id"], step.how)

    def half_close(self, step):
        self.client(step.client).half_close()
        self.end(step)

    def end(self, step):
        client = self.clients.get(step.client)
        self.wait(lambda: not client or not client.is_open, f"the end of the stream of client {step.client}")

    def close(self, step):
        client = self.clients.get(step.client)
        if not client or not client.is_open:
            return
        address = "{}:{}".format(*client.socket.getsockname())
        client.close()
        if self.like is None:
            self.wait(lambda: all(row["addr"] != address for row in self.control.clients()), "a client leaves", poll=True)
            self.states.append(self.control.state())
        else:
            wanted = self.like.states[len(self.states)]
            self.wait(lambda: self.control.state() == wanted, f"client {step.client} leaves: {wanted}", poll=True)
            self.states.append(wanted)

    STEPS = {Send: send, Barrier: barrier, Block: block, Settle: settle, Unblock: unblock, HalfClose: half_close, End: end,
             Close: close}

    # ---- a whole program ----

    def leave(self):
        """Close all connections; await that the server has noticed."""
        for client in self.clients.values():
            client.close()

        def alone():
            """Connections without a state may stay, to be shared."""
            return not any(self.control.state().values()) if self.like else not self.control.clients()

        self.wait(alone, "all connections are closed", poll=True)

    def play(self, program):
        for words in (("FLUSHALL",), ("SCRIPT", "FLUSH"), ("FUNCTION", "FLUSH")):
            self.control.ask(*words)
        stuck = None
        try:
            for step in [*program, Barrier("all")]:
                self.STEPS[type(step)](self, step)
        except Stuck as error:
            stuck = str(error)
        digest = self.control.ask("DEBUG", "DIGEST")
        try:
            self.leave()
        except Stuck as error:
            stuck = stuck or str(error)
        return Played({number: client.entries for number, client in self.clients.items()}, self.states, digest, stuck)
