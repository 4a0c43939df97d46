"""A client of a program: one connection at a time, its answers in the order in which they come."""
import socket

from answers import Nonsense, canonical, canonical_exec, frame_end, is_push

READ = 1 << 18


class Client:
    """
    `send` queues bytes, with the command that is to be answered; `write` and `read` move what is possible. `unanswered`
    are the commands whose answers have not come; None stands for one that has none, or more than one: it is over when the
    answer of a mark is there, a PING with a text of its own.
    """

    def __init__(self, name):
        self.name, self.entries, self.socket, self.marks = name, [], None, 0
        self.blocked = self.has_sent = False  # has_sent: since the last barrier

    @property
    def is_open(self):
        return self.socket is not None

    def connect(self, address):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.chunks, self.data, self.unanswered, self.mark = [], bytearray(), [], None
        self.in_multi, self.queued, self.half_closed = False, [], False

    def close(self):
        if self.socket:
            self.socket.close()
        self.socket, self.blocked = None, False

    # ---- out ----

    def send(self, payload, commands, cuts=()):
        """Queue bytes; at `cuts` one write ends and another begins. What is not cut goes out with its neighbours."""
        pieces = [payload[i:j] for i, j in zip((0, *cuts), (*cuts, len(payload)))]
        if self.chunks:
            self.chunks[-1] += pieces.pop(0)
        self.chunks += [bytearray(piece) for piece in pieces]
        self.unanswered += commands
        self.has_sent = True

    def send_mark(self):
        self.marks += 1
        self.mark = b"mark-%s-%d" % (self.name, self.marks)
        payload = b"*2\r\n$4\r\nPING\r\n$%d\r\n%s\r\n" % (len(self.mark), self.mark)
        self.send(payload, [(b"PING", self.mark)])

    def write(self):
        """One write."""
        chunk = self.chunks[0]
        try:
            sent = self.socket.send(chunk)
        except (BlockingIOError, BrokenPipeError, ConnectionResetError):  # an end is noticed by the reader
            return
        del chunk[:sent]
        if not chunk:
            self.chunks.pop(0)
        if not self.chunks and self.half_closed:
            self.socket.shutdown(socket.SHUT_WR)

    def half_close(self):
        """Shut down the sending side once all has been sent."""
        self.half_closed = True
        if not self.chunks:
            self.socket.shutdown(socket.SHUT_WR)

    # ---- in ----

    def read(self):
        try:
            got = self.socket.recv(READ)
        except BlockingIOError:
            return
        except ConnectionResetError:
            self.end("reset")
            return
        if not got:
            self.end("end of the stream")
            return
        self.data += got
        at = 0
        try:
            while at < len(self.data) and (end := frame_end(self.data, at)) is not None:
                self.answer(bytes(self.data[at:end]))
                at = end
        except Nonsense:
            self.entries.append(b"nonsense: " + bytes(self.data[at:]))
            at = len(self.data)
        del self.data[:at]

    def end(self, how):
        if self.data:
            self.entries.append(b"cut short: " + bytes(self.data))
        self.entries.append(f"[{how}]".encode())
        self.close()

    def answer(self, frame):
        """Keep an answer; tell which command it belongs to."""
        if self.unanswered and self.unanswered[0] is None and self.mark and self.mark in frame:
            del self.unanswered[:self.unanswered.index((b"PING", self.mark))]
        words = None
        if not is_push(frame) and self.unanswered and self.unanswered[0] is not None:
            words = self.unanswered.pop(0)
        self.entries.append(self.follow(words, frame) if words else frame)

    def follow(self, words, frame):
        """Keep track of transactions; the answer as it is compared."""
        name = words[0].lower()
        if frame == b"+QUEUED\r\n":
            self.queued.append(words)
        elif name == b"multi" and frame == b"+OK\r\n":
            self.in_multi, self.queued = True, []
        elif name == b"exec" and self.in_multi and len(words) == 1:
            self.in_multi = False
            return canonical_exec(self.queued, frame)
        elif name in (b"discard", b"reset") and frame[:1] == b"+":
            self.in_multi = False
        return canonical(words, frame)

    @property
    def is_idle(self):
        """True when all is sent and answered."""
        return not self.is_open or not (self.chunks or self.unanswered or self.data)
