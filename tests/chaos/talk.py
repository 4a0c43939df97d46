"""
What clients say and what they must hear: scripts of sessions, made from a random generator.

    for step in Talk(seed).script("bank"):   send step.data, await exactly step.reply, wait step.pause seconds, go on
"""
import random
from collections import namedtuple

from bank import frame, message

POOL_SIZE = 1 << 18
FRAMES = 400

# `messages`: how many the server counts for it; 0 where it counts reads.
Step = namedtuple("Step", "data reply pause messages", defaults=(0, 0))
RAW = ("pingpong", "proxy")


class Talk:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.pool = self.random.randbytes(POOL_SIZE)
        self.frames = [self._frame(number) for number in range(FRAMES)]
        self._make = {"pingpong": self._bytes, "proxy": self._bytes, "echo": self._lines, "bank": self._frames}

    def _frame(self, number):
        values = {"bus_msg_id": f"W{number:06}", "serial_no": f"S{self.random.getrandbits(40):x}",
                  "amount": self.random.randrange(1, 1 << 20), "customer": "c" * self.random.randrange(1, 60)}
        return frame(self.random.choice(["ccserver.withdraw", "ccserver.deposit"]), message(**values))

    def _bytes(self, many):
        size = self.random.randrange(1, 60_000 if many else 2000)
        at = self.random.randrange(POOL_SIZE - size)
        return Step(self.pool[at:at + size], self.pool[at:at + size])

    def _lines(self, many):
        lines = [b"%x" % self.random.getrandbits(self.random.randrange(1, 400))
                 for _ in range(self.random.randrange(2, 80) if many else 1)]
        return Step(b"".join(line + b"\r\n" for line in lines),
                    b"".join(b"ccserver echo:" + line + b"\r\n" for line in lines), messages=len(lines))

    def _frames(self, many):
        at, count = self.random.randrange(FRAMES), self.random.randrange(2, 60) if many else 1
        frames = self.frames[at:at + count]
        return Step(b"".join(frames), b"".join(frames), messages=len(frames))

    def _halves(self, name, pause):
        """One request in two pieces. Raw bytes are answered piece by piece, framed ones when they are whole."""
        data, reply, _, count = self._make[name](False)
        cut = self.random.randrange(len(data))
        first = reply[:cut] if name in RAW else b""
        return [Step(data[:cut], first, pause), Step(data[cut:], reply[len(first):], messages=count)]

    def script(self, name):
        kind = self.random.random()
        if kind < 0.72:
            return [self._make[name](False)]
        if kind < 0.84:
            return [self._make[name](True)]
        if kind < 0.94:
            return self._halves(name, self.random.uniform(0.01, 0.3))
        if kind < 0.97:  # silent at first
            return [Step(b"", b"", self.random.uniform(0.05, 1.5)), self._make[name](False)]
        steps = []
        for _ in range(self.random.randrange(5, 40)):
            pause = self.random.uniform(0.02, 0.4)
            if self.random.random() < 0.2:
                steps += self._halves(name, pause / 3)
            else:
                steps.append(self._make[name](self.random.random() < 0.2)._replace(pause=pause))
        return steps
