"""The differential tester: five seconds of it, and what it says of servers that lie."""
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from harness import DEADLINE, ROOT, process_stat, wait_exit

sys.path.append(str(ROOT / "tests/differential"))
import differential  # noqa: E402
from answers import canonical, canonical_exec, frame_end, is_push  # noqa: E402
from player import Barrier, Send, pack  # noqa: E402
from programs import program  # noqa: E402
from shrink import shrink  # noqa: E402

RUN = ["/usr/bin/python3", ROOT / "tests/differential/differential.py"]


def test_five_seconds():
    done = subprocess.run([*RUN, "--seconds", "5", "--seed", "1"], capture_output=True, text=True, timeout=10 * DEADLINE)
    assert done.returncode == 0, done.stdout + done.stderr
    programs, commands = map(int, re.search(r"(\d+) programs, (\d+) commands, \d+ s, no differences", done.stdout).groups())
    assert programs >= 3 and commands > programs


def test_one_program_again():
    done = subprocess.run([*RUN, "--seed", "7", "--program", "4"], capture_output=True, text=True, timeout=10 * DEADLINE)
    assert done.returncode == 0 and "\n1 programs" in done.stdout, done.stdout + done.stderr


def children_of(pid):
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and (stat := process_stat(name)) and stat[1] == pid]


def test_it_leaves_nothing_behind_when_it_is_ended():
    with subprocess.Popen([*RUN, "--seconds", "600"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        end, children = time.monotonic() + DEADLINE, []
        while len(children) < 3:  # two of redis-server, and a ccserver
            assert time.monotonic() < end, children
            time.sleep(0.02)
            children = children_of(process.pid)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=DEADLINE)
        assert process.returncode == 1
        for pid in children:
            wait_exit(pid)


# ---- servers that lie ----

class Liar(differential.Target):
    """A redis-server behind a relay that changes what its answers are: lie(number of the connection, answers)."""

    def __init__(self, mode):
        self.lie = {None: None, "swaps": self.swap, "mixes": self.mix, "withholds": self.withhold}[mode]
        super().__init__()

    def start(self):
        super().start()
        self.seen, self.known, self.lock = 0, b"", threading.Lock()
        if self.lie:
            self.listener = socket.create_server(("127.0.0.1", 0))
            self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
            threading.Thread(target=self.serve, args=[self.listener], daemon=True).start()

    def stop(self):
        if self.lie and self.redis:
            self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
        super().stop()

    def serve(self, listener):
        while True:
            try:
                client = listener.accept()[0]
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.redis.port))
            for relay, one, two in ((self.pass_on, client, server), (self.pass_lies, server, client)):
                threading.Thread(target=relay, args=[one, two], daemon=True).start()

    @staticmethod
    def pass_on(one, two):
        try:
            while data := one.recv(65536):
                two.sendall(data)
            two.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def pass_lies(self, server, client):
        rest = b""
        try:
            while data := server.recv(65536):
                rest, answers = rest + data, []
                while rest and (end := frame_end(rest)) is not None:
                    answers.append(rest[:end])
                    rest = rest[end:]
                client.sendall(b"".join(self.lie(answers)))
            client.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    @staticmethod
    def swap(answers):
        """The last two that come at once."""
        return [*answers[:-2], *answers[:-3:-1]]

    def mix(self, answers):
        """Every tenth time, what somebody was told before, who may be another client."""
        with self.lock:
            self.seen += 1
            known, self.known = self.known, answers[0] if answers else self.known
        return [known, *answers[1:]] if self.seen % 10 == 0 and known and answers else answers

    @staticmethod
    def withhold(answers):
        """An answer of which there are many."""
        return [answer for answer in answers if answer != b":2\r\n"]


@pytest.mark.parametrize("lie", ["swaps", "mixes", "withholds"])
def test_a_lie_is_found(monkeypatch, lie):
    monkeypatch.setattr(differential, "PATIENCE", 3)
    monkeypatch.setattr(differential, "SHRINK_PATIENCE", 2)
    monkeypatch.setattr(differential, "SHRINK_SECONDS", 8)
    tester = differential.Tester(Liar)
    try:
        report = next(filter(None, (tester.run_one(1, number, lie) for number in range(20))))
    finally:
        tester.stop()
    assert re.match(rf"--seed 1 --program \d+, {lie}: a difference, in [1-4] of 4 more runs\nat first: ", report), report
    before, after = map(int, re.search(r"shrunk from (\d+) to (\d+) steps", report).groups())
    assert after < before and len(re.findall(r"^  (?:Send|Barrier|\w+)\(", report, re.M)) == after, report


# ---- its parts ----

def test_the_same_seed_is_the_same_program():
    assert program(random.Random("1-2")) == program(random.Random("1-2")) != program(random.Random("1-3"))


@pytest.mark.parametrize("frame", [
    b"+OK\r\n", b":1\r\n", b"$-1\r\n", b"$2\r\n\r\n\r\n", b"*-1\r\n", b"*0\r\n", b"*2\r\n*1\r\n:1\r\n$1\r\na\r\n",
    b"%1\r\n+a\r\n*0\r\n", b"|1\r\n+a\r\n:1\r\n+b\r\n", b"~1\r\n_\r\n", b">1\r\n#t\r\n", b"=5\r\ntxt:x\r\n"])
def test_where_an_answer_ends(frame):
    assert frame_end(frame + b"+rest\r\n") == len(frame)
    assert not any(frame_end(frame[:size]) for size in range(len(frame)))


def test_what_is_compared():
    """Without order where Redis has none; everything else to the byte."""
    one, two = b"*2\r\n$1\r\na\r\n$1\r\nb\r\n", b"*2\r\n$1\r\nb\r\n$1\r\na\r\n"
    assert canonical((b"smembers", b"x"), one) == canonical((b"SMEMBERS", b"x"), two)
    assert canonical((b"LRANGE", b"x"), one) != canonical((b"LRANGE", b"x"), two)
    assert canonical((b"HGETALL", b"x"), one) != canonical((b"HGETALL", b"x"), two)
    nested = [canonical_exec([(b"GET", b"x"), (b"SUNION", b"x")], b"*2\r\n$-1\r\n" + each) for each in (one, two)]
    assert nested[0] == nested[1]
    hello = b"*4\r\n$2\r\nid\r\n:%d\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n"
    assert canonical((b"HELLO",), hello % 7) == canonical((b"hello", b"2"), hello % 1234) != canonical((b"GET", b"x"), hello % 7)
    assert is_push(b"*3\r\n$9\r\nsubscribe\r\n$2\r\nch\r\n:1\r\n") and is_push(b">1\r\n+x\r\n") and not is_push(one)


def test_shrinking():
    steps = [Send(0, pack([b"%d" % number]), ()) for number in range(40)]
    steps[20:20] = [Barrier(), Barrier("all")]
    one, two = steps[7], steps[30]
    small = shrink(steps, lambda fewer: one in fewer and two in fewer, DEADLINE)
    assert small == [one, Barrier("all"), two], small
