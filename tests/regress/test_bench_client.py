"""The load client: what it counts is what was there, and a server that answers wrongly is found out."""
import json
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time

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


# ---- as the original's: for its scripts, and for people ----

def run_plain(*arguments):
    return subprocess.run([CLIENT, *map(str, arguments)], capture_output=True, text=True, timeout=DEADLINE, check=False)


def scripted_rate(text):
    """What scripts do: grep -o '[0-9]* Msg/s'. One match, and digits in it."""
    done = subprocess.run(["grep", "-o", "[0-9]* Msg/s"], input=text, capture_output=True, text=True, check=True)
    (rate,) = done.stdout.splitlines()
    return int(rate.removesuffix(" Msg/s"))


def check_figures(text):
    """The rates of frames and of reads are those of the totals, over the same time."""
    total = int(re.search(r"^(\d+) total bytes read$", text, re.M)[1])
    frames = int(re.search(r"^(\d+) total messages read$", text, re.M)[1])
    assert frames == total // 109 > 0
    assert re.search(r"^109\.\d\d average message size$", text, re.M)
    assert re.search(r"^\d+\.\d\d MiB/s throughput$", text, re.M)
    rate = scripted_rate(text)
    assert f"\n{rate} Msg/s throughput (messages: frames of 109 bytes)\n" in text
    reads_a_second, reads = re.search(r"^(\d+) reads/s \(what the original calls messages: (\d+) reads,", text, re.M).groups()
    assert int(reads) < frames and abs(rate / int(reads_a_second) / (frames / int(reads)) - 1) < 0.2
    return rate, frames


def test_scripts_of_the_original_find_the_rate_of_frames(serve):
    server = serve(listen("bank"))
    done = run_plain("127.0.0.1", port_of(server, "bank"), 1, 50, 2, 1)
    assert (done.returncode, done.stderr) == (0, "")
    rate, frames = check_figures(done.stdout)
    assert rate == pytest.approx(frames, rel=0.2)  # of one second


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_prints_the_figures_so_far(serve, number):
    server = serve(listen("bank"))
    with subprocess.Popen([CLIENT, "127.0.0.1", str(port_of(server, "bank")), "2", "50", "4", "3600"],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as client:
        server.await_stats(lambda stats: server.pick(stats, "bank")["messages_in"] > 1000)
        client.send_signal(number)
        text, complaint = client.communicate(timeout=DEADLINE)
    assert (client.returncode, complaint) == (0, "ccpp_client: interrupted: the figures so far\n")
    check_figures(text)


def await_uncaught(pid, number):
    """Await that a signal has been handled by a handler that is there once; for want of an event it is looked again."""
    end = time.monotonic() + DEADLINE
    while int(re.search(r"SigCgt:\s+(\w+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1], 16) >> number - 1 & 1:
        assert time.monotonic() < end, "the first one was not handled"
        time.sleep(0.001)


def test_a_second_interruption_does_not_wait_for_replies():
    asked = threading.Event()
    with Liar(lambda data: asked.set() or b"") as liar, subprocess.Popen(
            [CLIENT, "127.0.0.1", str(liar.port), "1", "1", "1", "3600"], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE) as client:
        assert asked.wait(DEADLINE)
        client.send_signal(signal.SIGINT)
        await_uncaught(client.pid, signal.SIGINT)
        client.send_signal(signal.SIGINT)
        assert client.wait(DEADLINE) == -signal.SIGINT


def test_sizes_out_of_range_are_clamped(serve):
    port = port_of(serve(listen("bank")), "bank")
    done = run_plain("--messages", 3, "127.0.0.1", port, 0, 700, -2, 0)
    assert done.returncode == 0
    assert done.stderr.splitlines() == [f"ccpp_client: {name} is out of range, {used} is used" for name, used in
                                        (("threads 0", 1), ("msg_size 700", 500), ("sessions -2", 1))]
    assert f"{3 * 500 * 109} total bytes read\n" in done.stdout
    done = run_plain("127.0.0.1", port, 99999999999999999999, 0, 2, -1)
    assert done.stderr.splitlines() == [
        "ccpp_client: threads 99999999999999999999 is out of range, 256 is used",
        "ccpp_client: msg_size 0 is out of range, 1 is used", "ccpp_client: time -1 is out of range, 1 is used",
        "ccpp_client: threads 256 for 2 sessions, 2 is used"]
    assert done.returncode == 0 and scripted_rate(done.stdout) > 0


@pytest.mark.parametrize("arguments", [[], [1, 1, 1], ["x", 1, 1, 1], [1, "5x", 1, 1], [1, 1, "", 1], [1, 1, 1, "nan"]],
                         ids=str)
def test_what_is_no_number_is_wrong_usage(arguments):
    done = run_plain("127.0.0.1", 9, *arguments)
    assert (done.returncode, done.stdout) == (64, "") and done.stderr.startswith("ccpp_client: ")


def test_where_nobody_listens_there_are_no_figures():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        done = run_plain("127.0.0.1", sock.getsockname()[1], 1, 1, 2, 1)
    assert (done.returncode, done.stdout) == (1, "")
    assert "could not connect: Connection refused" in done.stderr


def test_a_server_that_closes_is_an_error_with_figures():
    with Liar(lambda data: None) as liar:
        done = run_plain("127.0.0.1", liar.port, 1, 1, 2, 1)
    assert done.returncode == 1
    assert "0 total bytes read\n" in done.stdout and scripted_rate(done.stdout) == 0
    assert "ccpp_client: 2 x " in done.stderr
