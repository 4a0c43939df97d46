"""The session log: a line for each session at its end, where `session_log` asks for one."""
import datetime
import json
import os
import re
import signal
import subprocess
import time

import pytest
from harness import BINARY, DEADLINE, MIB, connect_to, listen

LINE = r"session (\S+) of (\S+): (\d+\.\d{3}) s, (\d+) messages, (\d+) bytes in, (\d+) bytes out, (\w+)$"


def line_of(server, peer, name):
    """(seconds, messages, bytes in, bytes out, reason) of the session of this client."""
    match = server.wait_log(LINE.replace(r"session (\S+) of (\S+)", f"session {re.escape(peer)} of {name}"))
    return float(match[1]), int(match[2]), int(match[3]), int(match[4]), match[5]


def peer_of(client):
    return "%s:%d" % client.socket.getsockname()[:2]


def session_lines(server):
    return [match.groups() for line in server.lines if (match := re.search(LINE, line))]


def test_every_session_has_a_line(serve):
    server = serve(listen("pingpong"), listen("echo"), session_log="all", log_level="notice")
    ping, echo = server.connect("pingpong"), server.connect("echo")
    peers = peer_of(ping), peer_of(echo)
    for _ in range(3):
        ping.ask(b"ping", b"ping")
    echo.ask(b"one\r\ntwo\r\n", b"ccserver echo:one\r\nccserver echo:two\r\n")
    ping.close()
    echo.abort()
    assert line_of(server, peers[0], "pingpong")[1:] == (3, 12, 12, "peer")
    assert line_of(server, peers[1], "echo")[1:] == (2, 10, 38, "reset")
    infos = [line for line in server.lines if " info " in line]
    assert infos and all(re.search(r" info worker \d+\[\d+\]: " + LINE, line) for line in infos)


def test_a_listener_overrides(serve):
    """What [server] says stands behind the listeners here, and holds for those that say nothing."""
    server = serve(listen("pingpong", name="all", session_log="all"), listen("pingpong", name="errors"),
                   listen("pingpong", name="off", session_log="off"), session_log="errors", workers=1)
    for name in "all", "errors", "off":
        with connect_to(server.addresses[name][0]) as client:
            client.ask(b"x", b"x")
        with connect_to(server.addresses[name][0]) as client:
            client.ask(b"x", b"x")
            client.abort()
        server.await_closed(name, "reset")
        server.await_closed(name, "peer")
    for name in "all", "errors":
        server.wait_log(rf" of {name}: .* reset$")  # a session is counted before its line is written
    lines = [(line[1], line[6]) for line in session_lines(server)]
    assert sorted(lines) == [("all", "peer"), ("all", "reset"), ("errors", "reset")]
    shown = subprocess.run([BINARY, "-T", "-c", server.config], capture_output=True, text=True, check=True).stdout
    for name, value in ("all", "all"), ("errors", "errors"), ("off", "off"):
        assert re.search(rf"^\[listen {name}\]\n(?:.+\n)*session_log = {value}\nsession_log_format = text$", shown, re.M)


def test_a_relay(serve, upstream):
    target = upstream()
    server = serve(listen("proxy", upstream=target.address), workers=1, session_log="all")
    client = server.connect("proxy")
    peer = peer_of(client)
    client.send(b"question")
    with target.accept() as other:
        other.expect(b"question")
        other.send(b"answer" * MIB)
        client.expect(b"answer" * MIB)
        client.half_close()
    client.expect_end()
    client.close()
    assert line_of(server, peer, "proxy")[1:] == (1, 8, 6 * MIB, "peer")


def test_a_session_that_failed_to_reach_its_upstream(serve):
    server = serve(listen("proxy", upstream="127.0.0.1:9", protocol="redis"), workers=1, session_log="errors")
    client = server.connect("proxy")
    peer, answer = peer_of(client), client.recv_to_end()
    client.close()
    assert line_of(server, peer, "proxy")[1:] == (0, 0, len(answer), "upstream")


def test_a_drain_that_is_cut_off(serve, tmp_path):
    """The last lines come when all that is left is closed; a worker that is killed has none for its sessions."""
    server = serve(listen("echo", bind=f"unix:{tmp_path}/echo"), workers=1, session_log="all", drain_timeout="100ms")
    client = server.connect("echo")
    client.send(b"half a line")
    server.await_stats(lambda stats: server.pick(stats, "echo")["bytes_in"] == 11)
    (pid,) = server.worker_pids().values()
    os.kill(pid, signal.SIGKILL)
    server.wait_replaced(0, pid)
    client.expect_gone()
    client = server.connect("echo")
    client.send(b"half a line")
    server.await_stats(lambda stats: server.pick(stats, "echo")["bytes_in"] == 22)
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    server.wait_log_end()
    (line,) = session_lines(server)
    assert (line[0], line[3:]) == ("unix:", ("0", "11", "0", "drain"))
    assert 0 < float(line[2]) < 100


def test_json(serve):
    """A line is one object and nothing else, among the others; its times are those of the session."""
    server = serve(listen("pingpong", bind="[::1]:0"), workers=1, session_log="all", session_log_format="json")
    before = datetime.datetime.now(datetime.timezone.utc)
    client = server.connect("pingpong")
    peer = "[%s]:%d" % client.socket.getsockname()[:2]
    client.ask(b"ping", b"ping")
    client.close()
    record = json.loads(server.wait_log(r"^\{.*\}$")[0])
    after = datetime.datetime.now(datetime.timezone.utc)
    opened, ended = (datetime.datetime.fromisoformat(record.pop(name).replace("Z", "+00:00")) for name in ("opened", "time"))
    ms = record.pop("duration_ms")
    a_turn = datetime.timedelta(milliseconds=50)
    assert before - a_turn <= opened <= ended <= after + a_turn
    assert abs((ended - opened) / datetime.timedelta(milliseconds=1) - ms) <= 1
    (pid,) = server.worker_pids().values()
    assert record == {"type": "session", "worker": "worker 0", "pid": pid, "pool": "main", "listener": "pingpong",
                      "service": "pingpong", "peer": peer, "reason": "peer", "messages": 1, "bytes_in": 4, "bytes_out": 4}


def sums_of(server, form):
    """What the lines say, together: sessions, messages, bytes in, bytes out of each listener."""
    sums = {name: [0, 0, 0, 0] for name in ("pingpong", "echo")}
    for line in list(server.lines):
        if form == "json" and line.startswith("{"):
            record = json.loads(line)
            name, figures = record["listener"], [record[key] for key in ("messages", "bytes_in", "bytes_out")]
        elif match := re.search(LINE, line):
            name, figures = match[2], [int(match[i]) for i in (4, 5, 6)]
        else:
            continue
        sums[name] = [a + b for a, b in zip(sums[name], [1, *figures])]
    return sums


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_figures_are_those_of_the_statistics(serve, form):
    """Many sessions at the same time, of two listeners: what their lines say adds up to what is counted."""
    server = serve(listen("pingpong"), listen("echo"), workers=2, session_log="all", session_log_format=form)
    clients = [(server.connect(name), name) for _ in range(30) for name in ("pingpong", "echo")]
    for number, (client, name) in enumerate(clients):
        line = b"x" * number + b"\r\n"
        client.send(line * 3)
        client.expect(line * 3 if name == "pingpong" else (b"ccserver echo:" + line) * 3)
    for client, _ in clients:
        client.close()
    for name in "pingpong", "echo":
        server.await_closed(name, "peer", 30)
    end = time.monotonic() + DEADLINE  # a session is counted before its line is written
    while min((sums := sums_of(server, form)).values())[0] < 30:
        assert time.monotonic() < end, sums
        time.sleep(0.005)
    for name, found in sums.items():
        counted = server.listener(name)
        assert found == [30, counted["messages_in"], counted["bytes_in"], counted["bytes_out"]]
