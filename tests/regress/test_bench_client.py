"""The load client: what it counts is what was there, and a server that answers wrongly is found out."""
import json
import pathlib
import socket
import subprocess
import threading

import pytest
from bank import WITHDRAW
from harness import BINARY, DEADLINE, listen

CLIENT = pathlib.Path(BINARY).parent / "bench/ccpp_client"


def run_client(port, *options, frames=1, sessions=2, seconds=1):
    """The exit code, the text for people, and the figures."""
    command = [CLIENT, *map(str, options), "--json", "-", "127.0.0.1", str(port), "1", str(frames), str(sessions), str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
    return done.returncode, done.stderr, json.loads(done.stdout) if done.stdout else None


class Liar:
    """
    A server of one thread per connection that passes what it hears through `answer`; None ends the connection, and a
    list is answered with its bytes first.
    """

    def __init__(self, answer):
        self.answer, self.listener = answer, socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self):
        try:
            while True:
                threading.Thread(target=self._serve, args=[self.listener.accept()[0]], daemon=True).start()
        except OSError:
            pass

    def _serve(self, sock):
        with sock:
            try:
                while data := sock.recv(65536):
                    answer = self.answer(data)
                    sock.sendall(bytes(answer or b""))
                    if answer is None or isinstance(answer, list):
                        return
            except OSError:
                pass


def port_of(server, name):
    return int(server.addresses[name][0].rpartition(":")[2])


@pytest.mark.parametrize("name, options, reply_size", [
    ("pingpong", [], 109), ("pingpong", ["--bytes", 70_000], 70_000), ("pingpong", ["--connect"], 109), ("bank", [], 109),
    ("echo", ["--lines", 7, "--line-length", 30], 7 * (14 + 30 + 2))], ids=str)
def test_good_replies_are_counted_byte_for_byte(serve, name, options, reply_size):
    server = serve(listen(name), workers=2)
    code, text, figures = run_client(port_of(server, name), *options, "--verify", "--messages", 40)
    assert code == 0, text
    assert f"{40 * reply_size} total bytes read" in text
    assert figures["batches"] == 40 and figures["errors"] == 0
    server.await_stats(lambda stats: server.pick(stats, name)["bytes_out"] == 40 * reply_size)


def test_the_frame_is_the_one_of_the_protocol():
    heard = []
    with Liar(lambda data: heard.append(data) or data) as liar:
        assert run_client(liar.port, "--batch", "--messages", 1, sessions=1)[0] == 0
    assert b"".join(heard) == WITHDRAW


def spoil(data):
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize("answer", [spoil, lambda data: data + b"x", lambda data: None, lambda data: list(data[:50])],
                         ids=["another byte", "a byte too many", "an end", "half and an end"])
def test_wrong_replies_are_found_out(answer):
    with Liar(answer) as liar:
        code, text, _ = run_client(liar.port, "--batch", "--verify", "--messages", 40)
    assert code == 1, text


def test_without_verification_a_wrong_byte_goes_unseen():
    """So that the case above shows that --verify is what finds it."""
    with Liar(spoil) as liar:
        assert run_client(liar.port, "--batch", "--messages", 40)[0] == 0


def test_an_open_loop_tells_what_was_never_answered():
    """A server that answers no more does not look fast by it."""
    answered = []
    with Liar(lambda data: data if len(answered.append(1) or answered) <= 5 else b"") as liar:
        _, _, figures = run_client(liar.port, "--batch", "--rate", 100, sessions=1, seconds=0.5)
    assert figures["unfinished"] >= 20, figures


def test_latency_counts_from_when_a_batch_was_due():
    """One pause of 200 ms delays all that was due meanwhile, not one batch only: no coordinated omission."""
    pause, heard = threading.Event(), []

    def answer(data):
        heard.append(1)
        if len(heard) == 20:
            pause.wait(0.2)
        return data
    with Liar(answer) as liar:
        _, text, figures = run_client(liar.port, "--batch", "--rate", 200, sessions=1, seconds=0.5)
    assert figures["latency"]["p90"] > 50_000, text
