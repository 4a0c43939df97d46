"""Accept queues: how many wait in exactly this one, and how many it has dropped; in every report, at any time."""
import contextlib
import json
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest
from harness import BINARY, DEADLINE, listen, pool
from test_ctl import await_equal, ctl, samples
from test_status import document, get, watched  # noqa: F401

PING = b"ping", b"ping"
PATIENT = {"adopt_after": "40s", "watchdog_timeout": "60s"}  # whoever is stopped is left alone


def queues(server, text=None):
    """{(listener, worker, address): {what: value}} of the metrics; the address is "" where it is not said."""
    found = {}
    for (name, labels), value in samples(text or ctl(server, "metrics")).items():
        if name.startswith("ccserver_listen_"):
            labels = dict(labels)
            place = labels["listener"], labels["worker"], labels.get("address", "")
            found.setdefault(place, {})[name.removeprefix("ccserver_listen_")] = value
    return found


def queue(server, worker="0", listener="pingpong", address=""):
    return queues(server)[listener, worker, address]


def length(server, *place):
    return queue(server, *place)["queue_length"]


@contextlib.contextmanager
def stopped(server, *slots):
    """Workers of main that do not run until the end of the block."""
    pids = [server.worker_pids()[slot] for slot in slots]
    for pid in pids:
        server.signal(signal.SIGSTOP, pid)
    try:
        yield
    finally:
        for pid in pids:
            server.signal(signal.SIGCONT, pid)


class Crowd:
    """Clients that wait for nothing, not even for their connection."""

    def __init__(self, server, listener="pingpong"):
        host, port = server.addresses[listener][0].rsplit(":", 1)
        self.address, self.sockets = (host, int(port)), []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for each in self.sockets:
            each.close()

    def knock(self):
        each = socket.socket()
        self.sockets.append(each)
        each.setblocking(False)
        each.connect_ex(self.address)


def overflow(server, crowd, worker, drops=3):
    """Knock until the queue of this worker has dropped so many; the others are given the time to accept."""
    end = time.monotonic() + DEADLINE
    while (found := queues(server))["pingpong", worker, ""]["drops_total"] < drops:
        assert time.monotonic() < end, found
        if all(each["queue_length"] == 0 for place, each in found.items() if place != ("pingpong", worker, "")):
            crowd.knock()


# ---- what waits ----

def test_who_waits_is_counted_in_every_report(watched):  # noqa: F811
    server = watched(workers=1, **PATIENT)
    assert queue(server) == {"queue_length": 0, "queue_limit": 4096, "drops_total": 0}
    with stopped(server, 0):
        clients = [server.connect("pingpong") for _ in range(5)]
        await_equal(lambda: length(server), 5)
        await_equal(lambda: queues(server, get(server, "/metrics", {"Accept": "application/openmetrics-text"})[2])
                    ["pingpong", "0", ""], {"queue_length": 5, "queue_limit": 4096, "drops_total": 0})
        row = {"address": server.addresses["pingpong"][0], "slot": 0, "length": 5, "limit": 4096, "drops": 0}
        for report in document(server), json.loads(ctl(server, "--json", "status")), server.stats():
            shown = server.pick(report, "pingpong")
            assert (shown["queue_length"], shown["queue_drops"], shown["queues"]) == (5, 0, [row])
            assert [(each["pool"], each["queue_length"]) for each in report["workers"]] == [("main", 5), ("admin", 0)]
        table = [line.split() for line in ctl(server, "queues").splitlines()]
        assert table == [["accept", "queue", "worker", "length", "limit", "drops", "address"],
                         ["pingpong", "0", "5", "4096", "0", row["address"]],
                         ["status", "admin/0", "0", "4096", "0", server.addresses["status"][0]]]
        since = server.mark()
        server.stats()
        server.wait_log(rf"\]:   pingpong +0 +5 +4096 +0 {row['address']}$", since=since)
        assert table[1] in [line.split() for line in ctl(server, "listeners").splitlines()]
    for client in clients:
        client.ask(*PING)
    assert length(server) == 0
    assert "accept queue" not in ctl(server, "listeners")


def test_a_reader_sees_its_own_queues_only(serve):
    """Two servers, whose listeners and workers have the same names."""
    servers = [serve(listen("pingpong", backlog=100 + i), workers=1, **PATIENT) for i in range(2)]
    with stopped(servers[1], 0):
        clients = [servers[1].connect("pingpong") for _ in range(3)]
        await_equal(lambda: length(servers[1]), 3)
        assert [queue(each)["queue_length"] for each in servers] == [0, 3]
        assert [queue(each)["queue_limit"] for each in servers] == [100, 101]
    for client in clients:
        client.ask(*PING)


def test_several_addresses(serve, tmp_path):
    """What all workers share is none of theirs, and the kernel does not count what it drops."""
    binds = ["127.0.0.1:0", "[::1]:0", f"unix:{tmp_path}/s"]
    server = serve(listen("pingpong", bind=", ".join(binds), backlog=9), workers=2, **PATIENT)
    four, six, local = server.addresses["pingpong"]
    assert set(queues(server)) == {("pingpong", "0", four), ("pingpong", "1", four), ("pingpong", "0", six),
                                   ("pingpong", "1", six), ("pingpong", "", local)}
    with stopped(server, 0, 1):
        clients = [server.connect("pingpong", index) for index in (1, 1, 1, 2, 2)]
        await_equal(lambda: length(server, "0", "pingpong", six) + length(server, "1", "pingpong", six), 3)
        await_equal(lambda: queue(server, "", "pingpong", local), {"queue_length": 2, "queue_limit": 9})
        shown = server.pick(json.loads(ctl(server, "--json", "status")), "pingpong")
        assert shown["queues"][-1] == {"address": local, "slot": None, "length": 2, "limit": 9}
        assert shown["queue_length"] == 5
        assert re.search(rf"^  pingpong +all +2 +9 +- {local[:40]}", ctl(server, "queues"), re.M)
        # The master itself is not told, and says nothing instead of a zero.
        assert server.listener("pingpong")["queues"][-1] == {"address": local, "slot": None}
    for client in clients:
        client.ask(*PING)
    await_equal(lambda: queue(server, "", "pingpong", local)["queue_length"], 0)


# ---- what is dropped ----

def test_drops_are_those_of_exactly_this_queue(serve):
    server = serve(listen("pingpong", backlog=2), listen("pingpong", name="other", backlog=2), workers=2, **PATIENT)
    with Crowd(server) as crowd, stopped(server, 1):
        overflow(server, crowd, "1")
        found = queues(server)
        full = found.pop(("pingpong", "1", ""))
        assert full["queue_length"] == 3 and full["queue_limit"] == 2 and full["drops_total"] >= 3  # one more fits
        assert [each["drops_total"] for each in found.values()] == [0, 0, 0]
        assert [each["queue_drops"] > 0 for each in server.stats()["workers"]] == [False, True]
        assert server.listener("pingpong")["queue_drops"] >= 3 and server.listener("other")["queue_drops"] == 0
        overflow(server, crowd, "1", full["drops_total"] + 1)  # they only grow
    await_equal(lambda: length(server, "1"), 0)
    assert queue(server, "1")["drops_total"] > full["drops_total"]


def test_adoption_empties_the_queue(serve):
    server = serve(listen("pingpong"), workers=2, adopt_after="3s", watchdog_timeout="60s")
    with stopped(server, 1):
        clients = [server.connect("pingpong") for _ in range(20)]
        await_equal(lambda: length(server, "1") > 0 and length(server, "0") == 0, True)
        server.wait_log("its siblings adopt its accept queues")
        for client in clients:
            client.ask(*PING)
        await_equal(lambda: length(server, "1"), 0)


def test_a_queue_keeps_its_figures(serve):
    """Across the death of its worker, a reload and an upgrade; they are those of a socket, and that is the same one."""
    server = serve(listen("pingpong", backlog=2), workers=1, **PATIENT)
    with Crowd(server) as crowd, stopped(server, 0):
        overflow(server, crowd, "0")
    await_equal(lambda: length(server), 0)
    drops = queue(server)["drops_total"]
    assert drops >= 3
    old = server.worker_pids()[0]
    server.signal(signal.SIGKILL, old)
    server.wait_replaced(0, old)
    assert queue(server)["drops_total"] == drops
    server.reload(listen("pingpong", backlog=5), workers=1)
    await_equal(lambda: queue(server), {"queue_length": 0, "queue_limit": 5, "drops_total": drops})
    server.upgrade()
    server.wait_replaced_masters()
    await_equal(lambda: queue(server), {"queue_length": 0, "queue_limit": 5, "drops_total": drops})
    assert server.listener("pingpong")["queue_drops"] == drops


# ---- which there are ----

def test_queues_come_and_go(serve):
    """One more worker, the queue of a worker that was retired, a listener that is new, and one that is gone."""
    def places():
        return sorted(place[:2] for place in queues(server))

    server = serve(listen("pingpong"), workers=1)
    assert places() == [("pingpong", "0")]
    for number in signal.SIGTTIN, signal.SIGTTOU:
        since = server.mark()
        server.signal(number)
        server.wait_log("resize: ", since=since)
        await_equal(places, [("pingpong", "0"), ("pingpong", "1")])
    assert [each["slot"] for each in server.stats()["workers"]] == [0]
    server.reload(listen("echo", pool="other"), pool("other"), workers=1)
    await_equal(places, [("echo", "0")])


def test_a_queue_that_is_made_anew(serve, tmp_path):
    """Another socket takes the place of one that was removed; its figures are those of the new one."""
    path = tmp_path / "s"
    server = serve(listen("pingpong", bind=f"unix:{path}", backlog=3), workers=1, **PATIENT)
    path.unlink()
    server.reload()
    with stopped(server, 0):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            await_equal(lambda: queue(server, ""), {"queue_length": 1, "queue_limit": 3})
    await_equal(lambda: queue(server, "")["queue_length"], 0)


def test_a_reader_in_another_network_namespace(serve):
    """The sockets that it sees are none of ours: there are no figures, and everything else is there."""
    if not shutil.which("unshare") or subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode != 0:
        pytest.skip("needs unshare -n")
    server = serve(listen("pingpong"), workers=1)
    assert queues(server)
    for command in ["metrics"], ["queues"], ["--json", "status"]:
        done = subprocess.run(["unshare", "-n", BINARY + "ctl", "-c", server.config, *command], capture_output=True,
                              text=True, timeout=DEADLINE, check=True, stdin=subprocess.DEVNULL)
        if command == ["metrics"]:
            assert queues(server, done.stdout) == {} and "ccserver_ready 1\n" in done.stdout
        elif command == ["queues"]:
            assert done.stdout.splitlines()[1].split()[:5] == ["pingpong", "0", "-", "-", "-"]
        else:
            shown = server.pick(json.loads(done.stdout), "pingpong")
            assert shown["queues"] == [{"address": server.addresses["pingpong"][0], "slot": 0}]
            assert "queue_length" not in shown and "queue_drops" not in shown
