"""SIGUSR1: what is printed, always; what is counted, and that it adds up; the JSON, as docs/statistics.md has it."""
import json
import os
import re
import signal
import time

import pytest
from bank import WITHDRAW
from harness import DEADLINE, ROOT, Load, connect_to, listen, own_address

PING = b"ping", b"ping"
WIDTH = 100


def half_done(server):
    """A session in the middle of a frame, which its worker waits for when it drains."""
    client = server.connect("bank")
    client.ask(WITHDRAW + WITHDRAW[:60], WITHDRAW)
    return client


def finish_half(client):
    client.ask(WITHDRAW[60:], WITHDRAW)
    client.expect_end()


def ask(server, pattern="statistics: ", pid=None):
    """SIGUSR1; the first line of the answer."""
    since = server.mark()
    server.signal(signal.SIGUSR1, pid)
    return server.wait_log(pattern, since=since).string


def await_served(address):
    """Await that the workers serve; the log does not say so."""
    end = time.monotonic() + DEADLINE
    while True:
        try:
            with connect_to(address) as client:
                client.ask(*PING)
                return
        except ConnectionRefusedError:
            assert time.monotonic() < end
            time.sleep(0.01)


# ---- USR1 always prints ----

@pytest.mark.parametrize("level", ["notice", "warn", "error"])
def test_whatever_the_log_level(serve, level):
    address = own_address()
    server = serve(listen("pingpong", bind=address), log_level=level, stats_file="", ready=False)
    await_served(address)
    ask(server)
    server.wait_log(r"  pingpong +[01] +1 ")
    server.signal(signal.SIGTERM)
    assert server.wait() == 0


def test_when_the_file_cannot_be_written(serve, tmp_path):
    server = serve(listen("pingpong"), stats_file=tmp_path / "none" / "stats")
    ask(server)
    server.wait_log("cannot write statistics: ")
    server.reload(stats_file=server.stats_file)


def test_while_the_server_stops(serve):
    server = serve(listen("bank"))
    client = half_done(server)
    server.signal(signal.SIGTERM)
    server.wait_log("stopping: SIGTERM")
    ask(server, "statistics: .* stopping")
    server.wait_log(r"  [01] .* stopping ")
    finish_half(client)


def test_in_a_master_that_has_handed_over(serve):
    server = serve(listen("bank"), env={"NOTIFY_SOCKET": "/nonexistent/manager"})
    client, old = half_done(server), server.pid
    server.upgrade()
    ask(server, rf"master\[{old}\]: statistics: .* handed over", old)
    ask(server, rf"master\[{server.pid}\]: statistics: .* serving")
    finish_half(client)


def test_while_a_generation_starts(trapped):
    """Its processes have rows of their own before they serve."""
    server = trapped(workers=2)
    server.trap.write_text("sleep 60")
    since = server.mark()
    server.touch()
    server.signal(signal.SIGHUP)
    server.wait_log("reload: generation 2 starts", since=since)
    stats = server.stats()
    server.wait_log(r"  1 +2 +\d+ starting ", since=since)
    assert [(each["slot"], each["generation"], each["state"]) for each in stats["starting"]] == [
        (0, 2, "starting"), (1, 2, "starting")]
    server.trap.unlink()
    for each in stats["starting"]:
        server.signal(signal.SIGKILL, each["pid"])
    server.wait_log("reload refused", since=since)
    assert server.stats()["starting"] == []


# ---- the tables ----

def test_no_line_is_wider_than_100_columns(serve):
    name = "a-listener-with-a-name-that-is-longer-than-most"
    server = serve(listen("pingpong", name=name), listen("bank"), workers=3)
    client = half_done(server)
    for _ in range(9):
        server.connect(name).ask(*PING)
    server.stats()
    for client_of in server.clients[1:]:
        client_of.abort()
    server.signal(signal.SIGKILL, server.worker_pids()[0])
    server.signal(signal.SIGTTOU)
    server.wait_log("resize: 2 workers")
    server.stats()
    lines = [re.sub(server.LINE, "", line) for line in server.lines]
    table = [line for line in lines if line.startswith(("statistics: ", "  "))]
    assert max(map(len, table)) <= WIDTH, max(table, key=len)
    headings = [line.split() for line in table if re.match(r"  (worker|listener) +[a-z]+ ", line)]
    assert ["listener", "open", "accepted", "acc/s", "in", "in/s", "out", "out/s", "received", "recv/s", "sent", "sent/s",
            "errors"] in headings
    assert "  " + name in table
    client.close()


def test_rates_are_those_since_the_last_time(serve):
    server = serve(listen("pingpong"), workers=1)
    server.connect("pingpong").ask(b"x" * 2000, b"x" * 2000)
    row = r"  pingpong +1 +1 +(\S+) +\d+ +(\S+) +\d+ +(\S+) +\S+ +(\S+) +\S+ +(\S+) +0$"
    counted = server.await_stats(lambda stats: server.pick(stats, "pingpong")["bytes_out"] == 2000)
    assert server.pick(counted, "pingpong")["accepted"] == 1
    server.stats()  # the file is read after the table: what it shows may be in the next table only
    since = server.mark()
    server.stats()
    assert server.wait_log(row, since=since).groups() == ("0", "0", "0", "0B", "0B")
    server.clients[0].ask(b"x" * 2000, b"x" * 2000)
    since = server.mark()
    server.await_stats(lambda stats: server.pick(stats, "pingpong")["bytes_out"] == 4000)
    rates = [match.groups() for line in server.lines[since:] if (match := re.search(row, line))]
    assert any(accepted == "0" and received != "0B" for accepted, _, _, received, _ in rates), rates


# ---- sums ----

def counters(row):
    """Every counter of the traffic of a row."""
    found = {key: row[key] for key in ("sessions_open", "accepted", "refused", "lost", "messages_in", "messages_out",
                                       "bytes_in", "bytes_out", "protocol_errors", "upstream_failures")}
    return {**found, **{f"closed.{reason}": count for reason, count in row["closed"].items()}}


def add(rows):
    rows = [counters(row) for row in rows]
    return {key: sum(row[key] for row in rows) for key in rows[0]}


def expect_equal_sums(stats):
    workers = add([*stats["workers"], stats["gone"]["workers"]])
    assert workers == add([*stats["listeners"], stats["gone"]["listeners"]])
    return workers


def talk(server, names, count=12):
    for name in names:
        for _ in range(count):
            with server.connect(name) as client:
                client.ask(*PING)


def test_sums_agree_whatever_goes(serve):
    """A retired worker, a removed listener, both, and an upgrade; then nothing is missing either."""
    pings, others = listen("pingpong", bind=own_address()), listen("pingpong", name="other")
    server = serve(pings, others, workers=4)
    talk(server, ["pingpong", "other"])
    done = lambda stats: expect_equal_sums(stats)["closed.peer"] == 24  # noqa: E731
    server.await_stats(done)
    for count in 3, 2:
        since = server.mark()
        server.signal(signal.SIGTTOU)
        server.wait_log(f"resize: {count} workers", since=since)
    stats = server.await_stats(lambda stats: done(stats) and not stats["leaving"])
    assert len(stats["workers"]) == 2 and stats["gone"]["workers"]["accepted"] > 0
    server.reload(pings)
    stats = server.await_stats(lambda stats: done(stats) and not stats["leaving"])
    assert len(stats["workers"]) == 4 and counters(stats["gone"]["listeners"])["accepted"] == 12
    server.reload(pings, workers=2)
    stats = server.await_stats(lambda stats: done(stats) and not stats["leaving"])
    assert len(stats["workers"]) == 2 and stats["gone"]["workers"]["accepted"] > 0
    server.upgrade()
    server.wait_replaced_masters()
    stats = server.stats()
    assert done(stats) and stats["gone"]["workers"]["accepted"] > 0 and stats["gone"]["listeners"]["accepted"] == 12
    since = server.mark()
    server.stats()
    server.wait_log(r"\]:   gone ", since=since)


def test_sums_agree_while_the_workers_count(serve):
    server = serve(listen("pingpong"), listen("bank"), workers=2)
    with Load(server, "pingpong", *PING) as load:
        for _ in range(50):
            expect_equal_sums(server.stats())
        load.wait_more(20)


# ---- what an upgrade keeps ----

def test_an_upgrade_keeps_what_is_the_services(serve):
    server = serve(listen("pingpong"), workers=1)
    server.reload(workers=2)
    server.reload(workers=1)
    server.configure("[listen broken]\n")
    since = server.mark()
    server.signal(signal.SIGHUP)
    server.wait_log("reload refused", since=since)
    server.configure(listen("pingpong"))
    before = server.stats()["master"]
    assert (before["generation"], before["reloads"], before["reload_failures"]) == (3, 2, 1)
    for number in 1, 2:
        server.upgrade()
        server.wait_replaced_masters()
        after = server.stats()["master"]
        assert (after["reloads"], after["reload_failures"], after["upgrades"]) == (2, 1, number)
        assert after["generation"] > before["generation"]
        assert after["uptime_s"] > before["uptime_s"] and after["master_uptime_s"] < after["uptime_s"]
        before = after
    assert server.reload() > before["generation"]
    assert server.stats()["master"]["reloads"] == 3


def test_an_upgrade_does_not_end_the_last_minute(serve):
    """The next master goes on with the readings that are there."""
    server = serve(listen("bank"))
    for _ in range(50):
        server.connect("bank").ask(WITHDRAW, WITHDRAW)
    client = half_done(server)
    server.await_stats(lambda stats: sum(server.pick(stats, "bank")["answered"]["counts"]) == 51)
    server.upgrade()
    stats = server.await_stats(lambda stats: stats["last_minute"]["seconds"] > 0)
    assert stats["last_minute"]["seconds"] > stats["master"]["master_uptime_s"]
    assert server.pick(stats, "bank")["last_minute"]["answered"]["count"] == 51
    finish_half(client)


# ---- the log ----

def test_dropped_lines_are_counted(serve):
    """By the master and by the workers; the file that is written at the end has them all."""
    address = own_address()
    server = serve(listen("echo", bind=address, shutdown_command="loopback"), log="/dev/full", ready=False)
    end = time.monotonic() + DEADLINE
    while not server.stats_file.exists():
        try:
            with connect_to(address) as client:
                client.send(b"SHUTDOWN\r\n")
        except ConnectionError:
            assert time.monotonic() < end
        time.sleep(0.01)
    assert server.wait() == 0
    stats = json.loads(server.stats_file.read_text())
    assert stats["master"]["log_dropped"] > 5 and stats["gone"]["workers"]["log_dropped"] > 0


# ---- the JSON ----

def tables(text):
    """{heading: [members]} of the tables of docs/statistics.md, from "The JSON document" on."""
    found, heading = {}, None
    for line in text[text.index("## The JSON document"):].splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ").lower()
        elif match := re.match(r"\| `(\S+)` \| ([^|]*)\| (.*) \|$", line):
            found.setdefault(heading, []).append((match[1], match[3]))
    return found


def documented():
    """All paths of the document; where the table refers to others, theirs."""
    found, paths = tables((ROOT / "docs" / "statistics.md").read_text()), set()
    shared = {heading: {member for member, _ in rows} for heading, rows in found.items()}
    shared["process"] |= shared["loop"] | shared["traffic"]
    for path, meaning in found["the json document"]:
        assert meaning.strip()
        if path.endswith("…"):
            links = re.findall(r"\]\(#(\w+)\)", meaning)
            paths |= {path[:-1] + member for link in links for member in shared[link]}
        else:
            paths.add(path)
    return paths


def paths_of(value, path=""):
    if isinstance(value, dict):
        return {each for key, inner in value.items() for each in paths_of(inner, f"{path}.{key}".lstrip("."))}
    if isinstance(value, list):
        return {f"{path}[]"}.union(*(paths_of(inner, f"{path}[]") for inner in value))
    return {path}


def test_the_document_is_the_documented_one(serve):
    """Every member is described, and every one that is described is there."""
    server = serve(listen("bank"), workers=2)
    client = half_done(server)
    server.reload()
    stats = server.stats()
    assert stats["leaving"]
    stats["starting"] = stats["leaving"]  # the same shape, see test_while_a_generation_starts
    described, present = documented(), paths_of(stats)
    assert present - described == set() and described - present == set()
    text = (ROOT / "docs" / "statistics.md").read_text()
    assert stats["layout"] == int(re.search(r"`layout` is (\d+)", text)[1])
    finish_half(client)


def test_a_path_that_is_not_utf8(serve, tmp_path):
    path = os.fsencode(tmp_path) + b"/caf\xe9"
    server = serve(listen("pingpong"))
    server.config.write_bytes(server.config.read_bytes().replace(b"bind = 127.0.0.1:0", b"bind = unix:" + path))
    since = server.mark()
    server.signal(signal.SIGHUP)
    server.wait_log("reload: generation 2 serves", since=since)
    server.stats()
    stats = json.loads(server.stats_file.read_bytes().decode())
    assert stats["listeners"][0]["addresses"] == [f"unix:{tmp_path}/caf\ufffd"]
