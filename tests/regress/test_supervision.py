"""Life and death: workers are replaced, nobody else notices, and the server stops as it was asked to."""
import os
import re
import signal
import threading
import time

import pytest
from bank import WITHDRAW
from harness import (TICK, await_file, connect_to, descriptors, group_members, listen, process_stat,
                     random_bytes, title, wait_exit)

TALK = {
    "pingpong": (b"ping", b"ping"),
    "echo": (b"hi\r\n", b"ccserver echo:hi\r\n"),
    "bank": (WITHDRAW, WITHDRAW),
    "proxy": (b"ping", b"ping"),
}


@pytest.fixture
def server(serve):
    return serve(listen("echo"), listen("bank"), listen("pingpong"))


@pytest.fixture
def with_all(serve):
    """A server with every service; the proxy's upstream is the ping-pong of another server."""
    up = serve(listen("pingpong"), workers=1)
    proxy = listen("proxy", upstream=up.addresses["pingpong"][0])
    return serve(listen("pingpong"), listen("echo"), listen("bank"), proxy, workers=3)


def answers(name, client):
    try:
        client.ask(*TALK[name])
    except (AssertionError, ConnectionError):
        return False
    return True


def send_or_give_up(client, data):
    try:
        client.send(data)
    except ConnectionError:
        pass


def open_sessions(server, each=8):
    """[(name, client)]: sessions on all listeners, each known to work."""
    sessions = [(name, server.connect(name)) for name in server.addresses for _ in range(each)]
    assert all(answers(name, client) for name, client in sessions)
    return sessions


def by_name(stats, key):
    return {each["name"]: each[key] for each in stats["listeners"]}


def respawns(stats):
    """The reasons for which workers were started again, with how often."""
    return {reason: count for reason, count in stats["master"]["respawns"].items() if count}


# ---- deaths of workers ----

def test_a_worker_is_replaced_also_where_sigchld_was_ignored(serve):
    """Whoever starts the server may have done that, and exec() keeps it."""
    server = serve(listen("pingpong"), workers=2, preexec=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
    pid = server.worker_pids()[0]
    server.signal(signal.SIGKILL, pid)
    server.wait_replaced(0, pid)
    server.connect("pingpong").ask(b"ping", b"ping")


def test_every_worker_is_killed_in_turn(with_all):
    server = with_all
    sessions = open_sessions(server)
    for slot in range(3):
        before = server.stats()
        victim = before["workers"][slot]
        server.signal(signal.SIGKILL, victim["pid"])
        new = server.wait_replaced(slot, victim["pid"])
        assert new != victim["pid"]
        alive = [(name, client) for name, client in sessions if answers(name, client)]
        assert len(sessions) - len(alive) == victim["sessions_open"], "more than the victim's sessions ended"
        after = server.stats()
        assert by_name(after, "accepted") == by_name(before, "accepted")
        for name in server.addresses:
            gone = sum(n == name for n, _ in sessions) - sum(n == name for n, _ in alive)
            assert by_name(after, "lost")[name] - by_name(before, "lost")[name] == gone
        assert respawns(after) == {"signal": slot + 1}
        assert {w["slot"]: w["pid"] for w in after["workers"] if w["slot"] != slot} == {
            w["slot"]: w["pid"] for w in before["workers"] if w["slot"] != slot}
        sessions = alive + open_sessions(server, each=3)


def test_the_cause_of_death_is_logged(server):
    pid = server.worker_pids()[1]
    server.signal(signal.SIGKILL, pid)
    line = server.wait_log(rf"worker 1 \(pid {pid}\) killed by SIGKILL after \d+\.\d+ s").string
    assert re.match(r"\S+ \S+ (notice|warn|error) master\[", line)
    pid = server.wait_replaced(1, pid)
    server.signal(signal.SIGTRAP, pid)
    server.wait_log(rf"worker 1 \(pid {pid}\) killed by SIGTRAP")
    server.wait_replaced(1, pid)


def test_what_waits_in_the_accept_queue_is_served_by_the_replacement(serve):
    server = serve(listen("pingpong"), workers=1)
    pid = server.worker_pids()[0]
    server.signal(signal.SIGSTOP, pid)
    waiting = [server.connect("pingpong") for _ in range(40)]
    for client in waiting:
        client.send(b"hello")
    server.signal(signal.SIGKILL, pid)
    for client in waiting:
        client.expect(b"hello")


def test_the_port_never_refuses(server):
    """Connections are opened all the time while each worker is killed three times."""
    refused, failed, stop = [], [], threading.Event()

    def knock():
        while not stop.is_set():
            try:
                client = server.connect("bank")
            except OSError as error:
                refused.append(error)
                continue
            if not answers("bank", client):
                failed.append(client)
            client.close()

    knocking = threading.Thread(target=knock)
    knocking.start()
    pids, kills = server.worker_pids(), 0
    for _ in range(3):
        for slot in pids:
            server.signal(signal.SIGKILL, pids[slot])
            kills += 1
            pids[slot] = server.wait_replaced(slot, pids[slot])
    stop.set()
    knocking.join()
    assert not refused
    stats = server.await_stats(lambda s: all(each["sessions_open"] == 0 for each in s["listeners"]))
    bank = next(each for each in stats["listeners"] if each["name"] == "bank")
    number = len(server.clients)
    assert number - kills <= bank["accepted"] <= number
    assert len(failed) <= bank["lost"] + number - bank["accepted"]
    assert stats["master"]["respawns"]["signal"] == kills


def test_nothing_is_left_of_the_dead(server):
    master = len(descriptors(server.pid))
    for _ in range(3):
        for slot, pid in server.worker_pids().items():
            server.signal(signal.SIGKILL, pid)
            server.wait_replaced(slot, pid)
    assert "Z" not in group_members(server.pid).values()
    assert len(group_members(server.pid)) == 3
    assert len(descriptors(server.pid)) == master


def test_both_workers_at_once(server):
    pids = server.worker_pids()
    for pid in pids.values():
        server.signal(signal.SIGKILL, pid)
    client = server.connect("echo")
    client.ask(*TALK["echo"])
    for slot, pid in pids.items():
        server.wait_replaced(slot, pid)


def test_a_worker_terminated_by_hand_drains_and_is_replaced(serve):
    server = serve(listen("bank"), workers=1)
    busy, idle = server.connect("bank"), server.connect("bank")
    for client in busy, idle:
        client.ask(WITHDRAW, WITHDRAW)
    busy.ask(WITHDRAW * 2 + WITHDRAW[:40], WITHDRAW * 2)
    pid = server.worker_pids()[0]
    since = server.mark()
    server.signal(signal.SIGTERM, pid)
    idle.expect_end()
    assert int(server.wait_log(r"worker 0 \(pid (\d+)\) ready", since=since)[1]) != pid
    server.connect("bank").ask(WITHDRAW, WITHDRAW)  # the replacement does not wait for the end of the other
    busy.ask(WITHDRAW[40:], WITHDRAW)
    busy.expect_end()
    server.wait_log(rf"worker 0 \(pid {pid}\) exited with code 0 after")
    server.connect("bank").ask(WITHDRAW, WITHDRAW)
    stats = server.stats()
    assert stats["listeners"][0]["lost"] == 0
    assert respawns(stats) == {"exit": 1}


# ---- statistics ----

def test_statistics_need_no_answer_from_a_worker(server):
    sessions = open_sessions(server)
    before = server.stats()
    pid = before["workers"][0]["pid"]
    server.signal(signal.SIGSTOP, pid)
    try:
        during = server.stats()
    finally:
        server.signal(signal.SIGCONT, pid)
    assert by_name(during, "accepted") == by_name(before, "accepted") == dict.fromkeys(server.addresses, 8)
    assert all(answers(name, client) for name, client in sessions)


def test_statistics_name_everything(server):
    open_sessions(server, each=2)
    stats = server.stats()
    assert stats["master"]["pid"] == server.pid and stats["master"]["workers"] == 2 and stats["version"]
    assert [each["slot"] for each in stats["workers"]] == [0, 1]
    assert all(each["state"] == "ready" and 0 <= each["uptime_s"] < 60 for each in stats["workers"])
    assert by_name(stats, "service") == {name: name for name in server.addresses}
    assert by_name(stats, "addresses") == server.addresses
    assert sum(each["sessions_open"] for each in stats["workers"]) == 6
    for key in "accepted", "messages_in", "messages_out", "bytes_in", "bytes_out":
        assert sum(each[key] for each in stats["workers"]) == sum(by_name(stats, key).values()) > 0
    assert not list(server.dir.glob("*stats.json?*")), "a temporary file is left"


def test_every_log_line_has_its_form(server):
    server.stats()
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    server.wait_log_end()
    for line in server.lines:
        assert server.LINE.match(line), line


def test_process_titles(server):
    assert title(server.pid) == f"ccserver: master {server.config}"
    for slot, pid in server.worker_pids().items():
        assert title(pid) == f"ccserver: worker {slot} {server.config}"
        assert process_stat(pid)[1] == server.pid


def test_an_idle_server_sleeps(server):
    turns = server.turns()
    server.connect("echo").expect_silence(0.5)
    assert server.turns() - turns < 20


def test_the_log_is_reopened_after_a_rotation(serve, tmp_path):
    """By the master and by the workers: the lines of both go on in the new file."""
    log, old, stats = tmp_path / "log", tmp_path / "log.1", tmp_path / "s"
    server = serve(listen("echo", bind=f"unix:{tmp_path}/echo"), ready=False, log=log, stats_file=stats)
    await_file(log, "ready: 2 workers")
    log.rename(old)
    server.signal(signal.SIGHUP)
    await_file(log, r" master\[")
    with connect_to(f"unix:{tmp_path}/echo") as client:
        client.ask(b"x\r\nSHUTDOWN\r\n", b"ccserver echo:x\r\nccserver echo:SHUTDOWN\r\n")
    await_file(log, r" worker \d+\[.*SHUTDOWN")
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert "SHUTDOWN" not in old.read_text() and "stopping" in log.read_text()


# ---- the end ----

@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_graceful_stop(server, number):
    """Idle sessions end at once, what is under way is finished; new connections are refused by then."""
    idle, half_frame, half_line = server.connect("echo"), server.connect("bank"), server.connect("echo")
    idle.ask(*TALK["echo"])
    half_frame.ask(WITHDRAW + WITHDRAW[:60], WITHDRAW)
    half_line.ask(b"one\r\ntw", b"ccserver echo:one\r\n")
    server.signal(number)
    server.wait_log("stopping")
    idle.expect_end()
    half_frame.ask(WITHDRAW[60:], WITHDRAW)
    half_frame.expect_end()
    half_line.ask(b"o\r\n", b"ccserver echo:two\r\n")
    half_line.expect_end()
    for client in server.clients:
        client.close()
    assert server.wait() == 0
    for name in server.addresses:
        with pytest.raises(ConnectionRefusedError):
            connect_to(server.addresses[name][0])


def test_output_under_way_is_delivered_after_a_stop(serve):
    server = serve(listen("pingpong"), workers=1)
    client, data = server.connect("pingpong", small_buffers=True), random_bytes(1 << 20)
    sent = client.send_until_stuck(data)
    server.signal(signal.SIGTERM)
    server.wait_log("stopping")
    got = client.recv_to_end()
    assert got == data[:len(got)] and len(got) > 0 and sent > 0
    assert server.wait() == 0


@pytest.mark.slow
@pytest.mark.parametrize("first", ["worker", "master", "group"])
def test_a_stop_of_the_whole_group_gives_sessions_their_time(serve, first):
    """As of a terminal, or of `kill -- -PGID`: a worker gets the signal, too, before or after the master's word."""
    server = serve(listen("bank"), workers=1, drain_timeout="15s")
    client, pid = server.connect("bank"), server.worker_pids()[0]
    client.ask(WITHDRAW + WITHDRAW[:60], WITHDRAW)
    since = server.mark()
    if first == "worker":
        server.signal(signal.SIGTERM, pid)
        server.wait_log(rf"worker 0\[{pid}\]: draining", since=since)
        server.signal(signal.SIGTERM)
    elif first == "master":
        server.signal(signal.SIGTERM)
        server.wait_log(rf"worker 0\[{pid}\]: draining", since=since)
        server.signal(signal.SIGTERM, pid)
    else:
        os.killpg(server.group, signal.SIGTERM)
    server.wait_log("stopping", since=since)
    client.expect_silence(3.5)
    client.ask(WITHDRAW[60:], WITHDRAW)
    client.expect_end()
    client.close()
    assert server.wait() == 0


UNREAD = {
    "a line": ("echo", b"x" * 61 + b"\r\n"),
    "500 frames": ("bank", WITHDRAW * 500),
    "1500 frames": ("bank", WITHDRAW * 1500),
    "200 kB": ("pingpong", random_bytes(200_000)),
}


@pytest.mark.parametrize("name, data", UNREAD.values(), ids=UNREAD)
def test_requests_that_were_sent_before_the_stop_are_answered(serve, name, data):
    """They lie in the kernel, unread, when the signal comes: the worker is asleep. So do new connections."""
    server = serve(listen(name), workers=1)
    clients = [server.connect(name) for _ in range(5)]
    for client in clients:
        client.ask(*TALK[name])
    pid = server.worker_pids()[0]
    server.signal(signal.SIGSTOP, pid)
    clients += [server.connect(name) for _ in range(5)]
    for client in clients:
        client.send(data)
    server.signal(signal.SIGTERM)
    server.wait_log("stopping")
    server.signal(signal.SIGCONT, pid)
    for client in clients:
        client.expect_end(b"ccserver echo:" + data if name == "echo" else data)
        client.close()
    assert server.wait() == 0


def test_a_request_to_the_upstream_is_answered_after_a_stop(serve, upstream):
    up = upstream()
    server = serve(listen("proxy", upstream=up.address))
    client = server.connect("proxy")
    client.send(b"request")
    with up.accept() as side:
        side.expect(b"request")
        server.signal(signal.SIGTERM)
        server.wait_log("stopping")
        client.expect_silence(0.3)
        side.send(b"reply")
        client.expect_end(b"reply")
        client.close()
        side.expect_gone()
    assert server.wait() == 0


def test_a_long_reply_of_the_upstream_is_delivered_after_a_stop(serve, upstream):
    up, reply = upstream(), random_bytes(20_000_000)
    server = serve(listen("proxy", upstream=up.address))
    client = server.connect("proxy")
    client.send(b"request")
    with up.accept() as side:
        side.expect(b"request")
        sender = threading.Thread(target=send_or_give_up, args=[side, reply])
        sender.start()
        client.expect(reply[:1_000_000])
        server.signal(signal.SIGTERM)
        server.wait_log("stopping")
        client.expect_end(reply[1_000_000:])
        client.close()
        sender.join()
    assert server.wait() == 0


def test_drain_timeout(serve):
    server = serve(listen("bank"), drain_timeout="500ms")
    client = server.connect("bank")
    client.ask(WITHDRAW + WITHDRAW[:60], WITHDRAW)
    start = time.monotonic()
    server.signal(signal.SIGTERM)
    client.expect_gone()
    assert 0.5 - TICK <= time.monotonic() - start < 4
    assert server.wait() == 0


def test_what_crosses_the_end_of_a_drain_is_no_reset(serve):
    """Closed with half a request, the client goes on sending: that is read away, or a reset would end the connection."""
    server = serve(listen("bank"), drain_timeout="300ms")
    client = server.connect("bank")
    client.ask(WITHDRAW + WITHDRAW[:60], WITHDRAW)
    server.signal(signal.SIGTERM)
    assert client.socket.recv(1) == b""
    client.send(WITHDRAW[60:])
    client.send(WITHDRAW)  # the first one, unread, would have made this one fail
    client.close()
    assert server.wait() == 0


@pytest.mark.parametrize("signals", [[signal.SIGTERM, signal.SIGTERM], [signal.SIGINT, signal.SIGTERM],
                                     [signal.SIGTERM, signal.SIGQUIT], [signal.SIGQUIT]])
def test_at_once(server, signals):
    client = server.connect("bank")
    client.ask(WITHDRAW + WITHDRAW[:60], WITHDRAW)
    for number in signals[:-1]:
        server.signal(number)
        server.wait_log("stopping")
        client.expect_silence(0.3)
    start = time.monotonic()
    server.signal(signals[-1])
    client.expect_gone()
    assert server.wait() == 0
    assert time.monotonic() - start < 3


def test_a_stopped_worker_does_not_hold_up_quit(server):
    server.signal(signal.SIGSTOP, server.worker_pids()[0])
    server.signal(signal.SIGQUIT)
    assert server.wait() == 0


def test_workers_go_when_the_master_was_killed(server, serve):
    sessions = open_sessions(server, each=2)
    half = server.connect("bank")
    half.ask(WITHDRAW + WITHDRAW[:60], WITHDRAW)
    pids, start = server.worker_pids().values(), time.monotonic()
    server.signal(signal.SIGKILL)
    assert server.wait() == -signal.SIGKILL
    for pid in pids:
        wait_exit(pid)
    assert time.monotonic() - start < 5
    for _, client in sessions:
        client.expect_gone()
    server.reap()
    again = serve(*(listen(name, bind=address[0]) for name, address in server.addresses.items()))
    open_sessions(again, each=2)


def test_master_and_a_worker_killed_together(server):
    pids = list(server.worker_pids().values())
    server.signal(signal.SIGKILL)
    os.kill(pids[0], signal.SIGKILL)
    server.wait()
    for pid in pids:
        wait_exit(pid)
    server.reap()
