"""Operators, control services and sockets that mean no good, and control at the worst moment."""
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest
from harness import DEADLINE, descriptors, listen, pool
from test_control import CONTROL, operator, over_socket, refuses, say, sessions
from test_ctl import CTL, DONE, NO_ANSWER, NOT_RUNNING, PING, REFUSED, await_equal, ctl
from tree import build_once
from usurper import SERVICE

BUSY = "a start, a reload, an upgrade or a stop is under way"
RELOAD, UPGRADE, STOP, RESIZE, RESTART, DRAIN, DISABLE, ENABLE, LOG_LEVEL, INSPECT, UNKNOWN = range(11)


def workers(server, name="main"):
    return [each for each in json.loads(ctl(server, "status", "-j"))["workers"] if each["pool"] == name]


def half_a_request(server, name="echo"):
    """A session whose worker does not finish draining before drain_timeout."""
    client = server.connect(name)
    client.ask(b"x\n", b"ccserver echo:x\r\n")
    client.send(b"half")
    return client


# ---- operators ----

@pytest.mark.parametrize("line", ["drain 0", "restart main", "resize main 3", "reload", "sessions", "kill 1-2-3",
                                  "disable echo", "set log_level info", "config"])
def test_an_operator_who_leaves_in_the_middle(serve, line):
    """What is under way goes on, but nothing is kept for one who is gone, however long it takes."""
    server = serve(listen("echo"), *CONTROL, workers=1, drain_timeout="10m")
    server.baseline.clear()
    client = half_a_request(server)
    with operator(server) as leaver:
        leaver.send(line.encode() + b"\n")
        if line == "drain 0":
            server.wait_log("is drained by an operator: it is replaced")
    server.await_open("control", 0)
    client.close()


def test_restart_of_a_pool_with_a_worker_that_is_down(trapped):
    server = trapped(listen("pingpong"), *CONTROL, workers=2)
    victim, since = server.worker_pids()[1], server.mark()
    server.trap.write_text("once exit 2")
    server.signal(signal.SIGKILL, victim)
    server.wait_log("worker 1 stays down", since=since)
    server.baseline.clear()
    assert over_socket(server, "-t", "5", "restart", "main").endswith("done: 1 worker replaced\n")


def test_disable_during_a_reload(trapped):
    """It holds for the generation that starts as well; and so does its end."""
    server = trapped(listen("pingpong"), *CONTROL, workers=1)
    server.trap.write_text("sleep 1")
    since = server.mark()
    server.configure(linger_timeout="900ms")
    server.signal(signal.SIGHUP)
    server.wait_log("generation 2 starts", since=since)
    assert say(server, "disable pingpong") == ([], "done the listener pingpong is disabled")
    server.wait_log("generation 2 serves", since=since)
    await_equal(lambda: refuses(server), True)
    for _ in range(10):
        assert refuses(server)
    since = server.mark()
    server.touch()
    server.signal(signal.SIGHUP)
    server.wait_log("generation 3 starts", since=since)
    assert say(server, "enable pingpong") == ([], "done the listener pingpong is enabled")
    server.wait_log("generation 3 serves", since=since)
    await_equal(lambda: refuses(server), False)


def test_a_disabled_queue_is_adopted(serve):
    server = serve(listen("pingpong"), *CONTROL, workers=2, watchdog_timeout="60s", adopt_after="150ms")
    assert "is disabled" in ctl(server, "disable", "pingpong")
    await_equal(lambda: refuses(server), True)
    pid, since = server.worker_pids()[0], server.mark()
    server.signal(signal.SIGSTOP, pid)
    server.wait_log("its siblings adopt its accept queues", since=since)
    for _ in range(20):
        assert refuses(server)
    assert "is enabled" in ctl(server, "enable", "pingpong")
    await_equal(lambda: all(not refuses(server) for _ in range(10)), True)
    server.signal(signal.SIGCONT, pid)
    server.baseline.clear()


def test_log_level_and_then_a_reload_without_change(serve):
    """Only the logs are opened anew."""
    server = serve(listen("pingpong"), *CONTROL, workers=1)
    ctl(server, "set", "log_level", "warn")
    pids = [each["pid"] for each in workers(server)]
    assert over_socket(server, "reload") == "done: nothing has changed\n"
    assert [each["pid"] for each in workers(server)] == pids
    ctl(server, "set", "log_level", "info")


def test_the_limit_of_resize(serve):
    server = serve(listen("pingpong"), listen("echo", pool="other"), pool("other"), *CONTROL, workers=2)
    assert "1021 workers is the limit" in ctl(server, "resize", "other", "1024", code=REFUSED)
    server.baseline.clear()
    assert ctl(server, "resize", "other", "1") == "done: 1 worker\n"


def test_many_resize_at_a_time(serve):
    """Each is told: that it is so, or that somebody else has resized it meanwhile."""
    server = serve(listen("pingpong"), *CONTROL, workers=1)
    server.baseline.clear()
    ends = []

    def resize(count):
        ends.append(say(server, f"resize main {count}")[1])
    threads = [threading.Thread(target=resize, args=[count]) for count in (2, 3, 4, 2, 3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for end in ends:
        assert re.fullmatch(rf"done [234] workers|refused {BUSY}|refused the pool main has been resized again meanwhile", end)
    assert len(ends) == 6 and any("done" in end for end in ends)


def test_a_late_connection(serve):
    """The master has hung meanwhile: what it answers then is not taken for the answer about another worker."""
    server = serve(listen("pingpong"), listen("pingpong", "second", pool="other"), pool("other"), *CONTROL, workers=1)
    one, two = server.connect("pingpong"), server.connect("second")
    one.ask(*PING)
    two.ask(*PING)
    pids = {name: server.worker_pids(name)[0] for name in ("main", "other")}
    with operator(server) as client:
        server.signal(signal.SIGSTOP)
        try:
            client.send(b"sessions\n")
            text = b""
            while b"does not answer" not in text:
                text += client.recv_exactly(1)
        finally:
            server.signal(signal.SIGCONT)
        client.half_close()
        text += client.recv_to_end()
    shown = {line.split("\t")[2]: line.split("\t")[1] for line in text.decode().splitlines()[1:] if "\t" in line}
    silent = {name for name, pid in pids.items() if f"pid {pid} does not answer" in text.decode()}
    expected = {"main": "pingpong", "other": "second"}
    assert {expected[name]: name for name in pids if name not in silent}.items() <= shown.items()
    assert all(expected.get(pool, name) == name for name, pool in shown.items())


@pytest.mark.parametrize("by_socket", [False, True])
def test_a_reload_during_a_reload(trapped, by_socket):
    """Each is told its own end; over the socket of a worker that leaves, that it comes later."""
    server = trapped(listen("pingpong"), *CONTROL, workers=1)
    server.baseline.clear()
    server.trap.write_text("sleep 1")
    since = server.mark()
    server.configure(linger_timeout="900ms")
    server.signal(signal.SIGHUP)
    server.wait_log("generation 2 starts", since=since)
    await_equal(lambda: bool(json.loads(ctl(server, "status", "-j"))["starting"]), True)
    server.configure(linger_timeout="never")
    where = ["-s", server.dir / "control.sock"] if by_socket else ["-c", server.config]
    done = subprocess.run([CTL, *where, "reload"], capture_output=True, text=True, timeout=2 * DEADLINE)
    assert done.returncode == REFUSED
    assert ("another reload came first" if by_socket else "linger_timeout = never") in done.stderr
    server.wait_log("reload refused: .*linger_timeout = never", since=since)


def test_the_session_that_asks_is_killed(serve):
    server = serve(listen("pingpong"), *CONTROL)
    ctl(server, "wait", "--ready")
    with operator(server) as client:
        client.send(b"sessions listener=control\n")
        text = b""
        while not text.endswith(b"done\n"):
            text += client.recv_exactly(1)
        own = text.decode().splitlines()[1].split("\t")[0].strip()
        client.send(f"kill {own}\n".encode())
        client.expect_gone()
    server.await_closed("control", "killed")
    assert sessions(server) == []


def test_inspect_during_drain(serve):
    server = serve(listen("echo"), *CONTROL, workers=1, drain_timeout="10s")
    server.baseline.clear()
    client = server.connect("echo")
    client.send(b"half")
    server.await_open("echo", 1)
    (found,) = sessions(server)
    server.reload(linger_timeout="900ms")
    assert [each["id"] for each in sessions(server)] == [found["id"]]
    assert ctl(server, "kill", found["id"]) == ""
    client.expect_gone()


def test_a_reload_during_listings(serve):
    """A worker that leaves meanwhile is left out, or listed as it was; nothing is torn."""
    server = serve(listen("pingpong"), *CONTROL, workers=2)
    for _ in range(600):
        server.connect("pingpong")
    stop, ends = threading.Event(), []

    def look():
        while not stop.is_set():
            ends.append(subprocess.run([CTL, "-c", server.config, "sessions", "-j"], capture_output=True, text=True,
                                       timeout=2 * DEADLINE))
    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    for i in range(4):
        server.reload(linger_timeout=f"{900 + i}ms")
    stop.set()
    for thread in threads:
        thread.join()
    for end in ends:
        assert end.returncode in (DONE, NO_ANSWER, NOT_RUNNING), end.stderr
        ids = [each["id"] for each in json.loads(end.stdout)]
        assert len(ids) == len(set(ids))


# ---- a control service ----

@pytest.fixture(scope="session")
def usurper_binary(tmp_path_factory):
    return build_once(tmp_path_factory, "usurper", {"usurper.c": SERVICE})


@pytest.fixture
def usurped(serve, usurper_binary, tmp_path):
    def start(*sections, **options):
        return serve(listen("usurper", bind=f"unix:{tmp_path}/usurper.sock", pool="admin"), pool("admin"), *sections,
                     binary=usurper_binary, **options)
    return start


def ask(server, kind, number=0, times=1, name="main"):
    with server.connect("usurper") as client:
        client.ask(f"{kind} {number} {times} {name}\n".encode(), b"asked\n")


def counts(*pids):
    return [len(descriptors(pid)) for pid in pids]


def test_floods(usurped):
    server = usurped(listen("pingpong"), workers=2)
    pids = {each["pool"] + str(each["slot"]): each["pid"] for each in server.stats()["workers"]}
    everybody = [server.pid, *pids.values()]
    before = counts(*everybody)
    for pid in [*pids.values(), server.pid, 0, 1, 2**32 - 1]:
        ask(server, INSPECT, pid, 3000)
    for kind in (DISABLE, ENABLE, LOG_LEVEL, UNKNOWN, 4294967295):
        ask(server, kind, 1, 3000, "pingpong")
    ask(server, RESTART, 0, 300, "nobody")
    with server.connect("pingpong") as client:
        client.ask(*PING)
    end = time.monotonic() + DEADLINE
    while counts(*everybody) > before and time.monotonic() < end:
        time.sleep(0.05)
    assert counts(*everybody) == before


@pytest.mark.parametrize("number", [0, 1025, 2**31, 2**32 - 1, 2**32 - 2])
def test_a_number_of_workers_that_cannot_be(usurped, number):
    server = usurped(listen("pingpong"), workers=2)
    ask(server, RESIZE, number, 3)
    with server.connect("pingpong") as client:
        client.ask(*PING)
    assert len(server.worker_pids()) == 2


@pytest.mark.parametrize("kind", range(11))
def test_every_request(usurped, kind):
    server = usurped(listen("pingpong"), workers=1)
    server.baseline.clear()
    for number in (0, 1, 3, 2**31, 2**32 - 1, server.pid, server.worker_pids()[0]):
        for name in ("main", "pingpong", "usurper", ""):
            if server.process.poll() is None and kind not in (STOP, UPGRADE):
                ask(server, kind, number, 2, name)
    if kind == LOG_LEVEL:
        ask(server, LOG_LEVEL, 1)
    elif kind == STOP:
        ask(server, STOP, 0, 5)
        assert server.wait() == 0
    elif kind == UPGRADE:
        ask(server, UPGRADE, 0, 5)
        pid = server.pid
        server.pid = int(server.wait_log(r"upgrade: pid (\d+) is in charge")[1])
        server.replaced.append(pid)


# ---- what ccserverctl connects to ----

class Fake:
    """Whoever connects gets these bytes again and again."""

    def __init__(self, path, data):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        self.socket.listen()
        self.data = data
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        client, _ = self.socket.accept()
        with client:
            try:
                while True:
                    client.sendall(self.data)
            except OSError:
                pass


@pytest.mark.parametrize("data, code, words", [
    (b" line\n" * 10000, NO_ANSWER, "no answer in time"), (b"x" * 65536, REFUSED, "too long"),
    (b"\n", REFUSED, "no control socket"), (b"hello\n", REFUSED, "no control socket"),
    (b" \x1b[2J\n" * 10 + b"refused \x1b[2J\n", REFUSED, "?[2J")])
@pytest.mark.parametrize("command", ["status", "sessions"])
def test_what_answers_is_no_server(tmp_path, data, code, words, command):
    Fake(tmp_path / "s", data)
    began = time.monotonic()
    with open(tmp_path / "out", "w+b") as out:
        done = subprocess.run([CTL, "-s", tmp_path / "s", "-t", "1", command], stdout=out, stderr=subprocess.PIPE, timeout=60,
                              text=True, errors="replace")
        out.seek(0)
        assert b"\x1b" not in out.read(1000)
    assert (done.returncode, words in done.stderr) == (code, True), done.stderr
    assert "\x1b" not in done.stderr and time.monotonic() - began < 10


# ---- where the socket is ----

def test_a_link_in_place_of_the_socket(serve, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "c.sock").symlink_to(victim)
    server = serve(listen("pingpong"), listen("control", bind=f"unix:{tmp_path}/c.sock"), ready=False)
    server.wait_log("cannot listen on unix:")
    assert server.wait() == 1 and victim.read_text() == "mine"


def test_a_link_in_place_of_the_folder(serve, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "other")
    server = serve(listen("pingpong"), listen("control", bind=f"unix:{tmp_path}/run/c.sock"), ready=False)
    server.wait_log(r"cannot listen on unix:.*: Not a directory")
    assert server.wait() == 1 and os.listdir(tmp_path / "other") == []
