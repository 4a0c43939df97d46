"""SIGHUP: a new configuration with new workers, on the same sockets; or the old one goes on."""
import os
import pty
import re
import shutil
import signal
import socket
import threading
import time

import harness
import pytest
from bank import WITHDRAW
from harness import (DEADLINE, TICK, Load, await_file, connect_to, descriptors, group_members, listen, own_address,
                     process_stat)
from test_ctl import ctl

PING = b"ping", b"ping"
REASONS = {"signal", "exit", "hang", "reload", "resize", "recycle", "operator", "upgrade"}


def half_done(server, name="bank"):
    """A session in the middle of a frame, which its worker waits for when it drains."""
    client = server.connect(name)
    client.ask(WITHDRAW + WITHDRAW[:60], WITHDRAW)
    return client


def finish_half(client):
    client.ask(WITHDRAW[60:], WITHDRAW)
    client.expect_end()


def pids(stats):
    return {each["slot"]: each["pid"] for each in stats["workers"]}


def changes(server, since):
    """The lines that tell what a reload changes."""
    return {match[1] for line in server.lines[since:] if (match := re.search(r"\]: reload: (\[.+\] [-+] .*)", line))}


def refused(address):
    try:
        connect_to(address).close()
    except (ConnectionRefusedError, FileNotFoundError):
        return True
    except ConnectionResetError:  # in the very moment in which it was closed
        return False
    return False


def await_refused(address):
    """The last worker that still has the socket closes it soon; there is no event for it."""
    end = time.monotonic() + 10
    while not refused(address):
        assert time.monotonic() < end, f"{address} still accepts"
        time.sleep(0.01)


# ---- no change at all ----

UNCHANGED = "reload: nothing has changed; logs reopened"


def hup(server, pattern):
    since = server.mark()
    server.signal(signal.SIGHUP)
    return server.wait_log(pattern, since)


def test_a_file_that_has_not_changed_changes_nothing(serve, tmp_path):
    """Log rotation: no session ends, no worker is replaced, and what TTIN did stays."""
    server = serve(listen("pingpong"), listen("bank"), workers=2)
    since = server.mark()
    server.signal(signal.SIGTTIN)
    server.wait_log("resize: 3 workers", since)
    server.wait_log(r"worker 2 \(pid \d+\) ready", since)
    idle, half, before = server.connect("pingpong"), half_done(server), server.stats()
    idle.ask(*PING)
    for _ in range(3):
        hup(server, UNCHANGED)
    after = server.stats()
    assert pids(after) == pids(before) and not after["leaving"]
    for key in "generation", "reloads", "reload_failures", "workers":
        assert after["master"][key] == before["master"][key], key
    idle.ask(*PING)
    half.ask(WITHDRAW[60:], WITHDRAW)


def test_an_old_file_that_comes_back_is_a_change(serve):
    """What counts is the configuration in effect, not the one before; one that was refused is not in effect."""
    server = serve(listen("pingpong"))
    text = server.config.read_text()
    server.reload(max_sessions=77)
    server.config.write_text("[nonsense")
    hup(server, "reload refused")
    server.configure()
    server.touch()
    changed = server.config.read_text()
    server.config.write_text(text)
    hup(server, r"reload: generation \d+ serves")
    hup(server, UNCHANGED)
    server.config.write_text(changed)
    hup(server, r"reload: generation \d+ serves")


def test_who_has_given_up_is_started_again(trapped):
    """What it missed may be there by now, and does not show in the configuration."""
    server = trapped(workers=2)
    before = pids(server.stats())
    server.trap.write_text("exit 2")
    server.signal(signal.SIGKILL, before[0])
    server.wait_log("worker 0 stays down")
    since = server.mark()
    hup(server, "worker 0 has given up and is started again")
    server.wait_log("worker 0 stays down", since)
    server.trap.unlink()
    since = server.mark()
    hup(server, UNCHANGED)
    server.wait_log(r"worker 0 \(pid \d+\) ready", since)
    after = pids(server.stats())
    assert after[1] == before[1]
    server.baseline.clear()


# ---- good ones ----

def test_nothing_changes_but_the_workers(serve):
    """The same file again: new processes, the same ports, also those that the kernel has chosen."""
    server = serve(listen("pingpong"), listen("bank", bind="127.0.0.1:0, [::1]:0"), workers=3)
    before, since = server.stats(), server.mark()
    assert server.reload() == before["master"]["generation"] + 1
    after = server.stats()
    assert not changes(server, since)
    assert set(pids(before).values()).isdisjoint(pids(after).values()) and len(pids(after)) == 3
    assert after["master"]["pid"] == server.pid
    assert [each["addresses"] for each in after["listeners"]] == [each["addresses"] for each in before["listeners"]]
    assert (after["master"]["reloads"], after["master"]["reload_failures"]) == (1, 0)
    assert after["master"]["respawns"] == {**dict.fromkeys(REASONS, 0), "reload": 3}
    assert {each["generation"] for each in after["workers"]} == {after["master"]["generation"]}
    assert {each["last_reason"] for each in after["workers"]} == {"reload"}
    server.connect("pingpong").ask(*PING)
    for index in 0, 1:
        server.connect("bank", index).ask(WITHDRAW, WITHDRAW)
    server.wait_log("generation %d is gone" % before["master"]["generation"])
    for pid in pids(before).values():
        assert not process_stat(pid)


def test_sessions_of_the_old_generation_go_on(serve):
    server = serve(listen("bank"))
    idle, busy = server.connect("bank"), [half_done(server) for _ in range(6)]
    idle.ask(WITHDRAW, WITHDRAW)
    old = server.stats()
    server.reload()
    idle.expect_end()
    idle.close()
    busy[0].expect_silence()
    server.await_stats(lambda stats: sum(each["sessions_open"] for each in stats["leaving"]) == 6)
    new = server.connect("bank")
    new.ask(WITHDRAW, WITHDRAW)
    during = server.stats()
    assert {each["pid"] for each in during["leaving"]} <= set(pids(old).values())
    assert {each["generation"] for each in during["leaving"]} == {old["master"]["generation"]}
    assert sum(each["sessions_open"] for each in during["leaving"]) == 6
    for client in busy:
        finish_half(client)
    server.wait_log("generation %d is gone" % old["master"]["generation"])
    after = server.await_stats(lambda stats: not stats["leaving"])
    new.ask(WITHDRAW, WITHDRAW)
    bank = after["listeners"][0]
    assert (bank["accepted"], bank["sessions_open"], bank["lost"]) == (8, 1, 0), "totals outlive a generation"


def test_who_has_just_connected_is_served(serve):
    """Accepted by the old generation, and the first byte is still under way: that is not an idle session."""
    server = serve(listen("pingpong"))
    clients = [server.connect("pingpong") for _ in range(20)]
    server.await_open("pingpong", 20)
    server.reload()
    for client in clients:
        client.ask(*PING)


def test_an_old_generation_drains_for_drain_timeout(serve):
    server = serve(listen("bank"), drain_timeout="500ms")
    client, generation = half_done(server), server.stats()["master"]["generation"]
    start = time.monotonic()
    server.reload()
    client.expect_gone()
    assert time.monotonic() - start >= 0.5 - TICK
    server.wait_log(f"generation {generation} is gone")
    assert server.listener("bank")["closed"]["drain"] == 1


def test_new_keys_are_in_effect(serve):
    server = serve(listen("pingpong", idle_timeout="off"), listen("bank"))
    since = server.mark()
    server.reload(listen("pingpong", idle_timeout="200ms"), listen("bank", max_frame=64))
    assert {"[listen pingpong] + idle_timeout = 200ms", "[listen bank] + max_frame = 64"} <= changes(server, since)
    client = server.connect("pingpong")
    client.ask(*PING)
    client.expect_end()
    server.await_closed("pingpong", "idle")
    server.connect("bank").send(WITHDRAW + bytes(64))
    server.await_closed("bank", "oversize")


def test_the_upstream_of_a_proxy_is_changed(serve, upstream):
    first, second = upstream(), upstream()
    server = serve(listen("proxy", upstream=first.address))
    for up in first, second:
        client = server.connect("proxy")
        client.send(b"request")
        with up.accept() as side:
            side.expect(b"request")
            side.send(b"reply")
            client.expect(b"reply")
        client.expect_end()
        server.reload(listen("proxy", upstream=second.address))


def test_what_changes_is_logged(serve):
    address = own_address()
    server = serve(listen("pingpong"), listen("echo", idle_timeout="30s"), workers=2)
    since = server.mark()
    server.reload(listen("pingpong"), listen("echo", idle_timeout="40s"), listen("bank", bind=address), workers=3)
    logged = changes(server, since)
    assert {"[server] - workers = 2", "[server] + workers = 3", "[listen echo] - idle_timeout = 30s",
            "[listen echo] + idle_timeout = 40s", f"[listen bank] + bind = {address}",
            "[listen bank] + service = bank"} <= logged
    assert not [line for line in logged if re.search("pingpong|stats_file|shutdown_command", line)], logged
    assert not [line for line in logged if line.startswith("[listen bank] -")], logged
    since = server.mark()
    server.reload(listen("pingpong"), listen("echo", idle_timeout="40s"), workers=3)
    assert all(line.startswith("[listen bank] - ") for line in changes(server, since)), changes(server, since)
    assert f"[listen bank] - bind = {address}" in changes(server, since)


def test_an_address_is_added(serve):
    first, second = own_address(), own_address()
    server = serve(listen("pingpong", bind=first))
    assert refused(second)
    server.reload(listen("pingpong", bind=f"{first}, {second}"))
    for index in 0, 1:
        server.connect("pingpong", index).ask(*PING)
    assert server.listener("pingpong")["addresses"] == [first, second]


def test_a_listener_is_added_and_removed(serve, tmp_path):
    """A removed address refuses; who is connected may finish; all of it leaves no descriptor behind."""
    address, path = own_address(), f"unix:{tmp_path}/s"
    server = serve(listen("pingpong"))
    master = len(descriptors(server.pid))
    for times, bind in enumerate((address, path, address), 1):
        server.reload(listen("pingpong"), listen("bank", bind=bind))
        client = half_done(server)
        assert server.listener("bank")["accepted"] >= times, "its totals are those of its name"
        server.reload(listen("pingpong"))
        await_refused(server.addresses["bank"][0])
        assert [each["name"] for each in server.stats()["listeners"]] == ["pingpong"]
        finish_half(client)
    assert not (tmp_path / "s").exists()
    server.await_stats(lambda stats: not stats["leaving"])
    assert len(descriptors(server.pid)) == master


def test_what_waits_at_a_removed_address_is_served(serve):
    """It was connected before the reload: the server has accepted it, as the client sees it."""
    address = own_address()
    server = serve(listen("bank", bind=address), listen("pingpong"))
    old = pids(server.stats()).values()
    for pid in old:
        server.signal(signal.SIGSTOP, pid)
    clients = [server.connect("bank") for _ in range(20)]
    for client in clients:
        client.send(WITHDRAW)
    server.reload(listen("pingpong"))
    for pid in old:
        server.signal(signal.SIGCONT, pid)
    for client in clients:
        client.expect(WITHDRAW)
        client.expect_end()
    await_refused(address)


def test_the_service_of_an_address_is_changed(serve):
    """From one moment to the next; nobody is refused, and nobody gets anything else than one of both answers."""
    address = own_address()
    server = serve(listen("pingpong", bind=address))
    answers, errors, stop = [], [], threading.Event()

    def knock():
        try:
            while not stop.is_set():
                with connect_to(address) as client:
                    client.send(b"hi\r\n")
                    client.half_close()
                    answers.append(client.recv_to_end())
        except (AssertionError, OSError) as error:
            errors.append(error)

    def await_answer(wanted):
        """The old generation may still accept for a moment, until it has read that it is to drain."""
        end = time.monotonic() + DEADLINE
        while True:
            with connect_to(address) as client:
                client.send(b"hi\r\n")
                client.half_close()
                if client.recv_to_end() == wanted:
                    return
            assert time.monotonic() < end

    knocking = threading.Thread(target=knock)
    knocking.start()
    for _ in range(3):
        server.reload(listen("echo", bind=address))
        await_answer(b"ccserver echo:hi\r\n")
        server.reload(listen("pingpong", bind=address))
        await_answer(b"hi\r\n")
    stop.set()
    knocking.join()
    assert not errors, errors
    assert set(answers) == {b"hi\r\n", b"ccserver echo:hi\r\n"}


def test_nobody_is_refused_or_reset(serve):
    """Clients connect in a loop while it is reloaded ten times."""
    server = serve(listen("pingpong"), workers=3)
    with Load(server, "pingpong", *PING) as load:
        for turn in range(10):
            server.reload(max_sessions=1000 + turn)
            load.wait_more(50)
    load.expect_perfect()
    stats = server.await_stats(lambda s: s["listeners"][0]["sessions_open"] == 0 and not s["leaving"])
    assert stats["listeners"][0]["accepted"] == load.connected
    assert (stats["master"]["reloads"], stats["listeners"][0]["lost"]) == (10, 0)


def test_the_number_of_workers_is_changed(serve):
    server = serve(listen("pingpong"), workers=2)
    with Load(server, "pingpong", *PING) as load:
        for number in 4, 1, 3, 2:
            server.reload(workers=number)
            load.wait_more(100)
            stats = server.stats()
            assert stats["master"]["workers"] == number and sorted(pids(stats)) == list(range(number))
    load.expect_perfect()
    server.await_stats(lambda s: not s["leaving"])
    server.await_members(3)


def test_options_of_the_command_line_win_again(serve):
    server = serve(listen("pingpong"), workers=2, args=["-w", "3"])
    since = server.mark()
    server.reload(workers=4)
    assert server.stats()["master"]["workers"] == 3
    assert not any("workers" in line for line in changes(server, since))


def test_the_statistics_go_to_another_file(serve):
    server = serve(listen("pingpong"))
    other = server.dir / "other.json"
    server.reload(stats_file=other)
    since = server.mark()
    server.signal(signal.SIGUSR1)
    server.wait_log(f"statistics written to {other}", since=since)
    server.stats_file = other
    assert server.stats()["master"]["reloads"] == 1


def test_the_log_goes_to_another_file(serve, tmp_path):
    """All lines after the reload: those of the master, of new workers, and of who still drains."""
    first, second, address = tmp_path / "log", tmp_path / "log.new", f"unix:{tmp_path}/s"
    server = serve(listen("bank", bind=address), ready=False, log=first)
    await_file(first, "ready: 2 workers")
    server.configure(log=second)
    server.signal(signal.SIGHUP)
    await_file(second, r"reload: generation \d+ serves")
    old = first.read_text()
    server.signal(signal.SIGUSR1)
    await_file(second, "statistics written to")
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert re.search(r" worker \d+\[", second.read_text()) and "stopped" in second.read_text()
    assert first.read_text().startswith(old) and "stopped" not in first.read_text()
    assert not server.lines, "it has stopped to write to standard error"


# ---- what is refused ----

def expect_refused(server, before, pattern):
    """The last reload failed for this reason, and nothing has changed."""
    line = server.wait_log(r"reload refused: (.+)")
    assert re.fullmatch(pattern, line[1]), line[1]
    assert re.search(r" error master\[", line.string), line.string
    after = server.stats()
    assert pids(after) == pids(before) and not after["leaving"]
    assert after["master"]["generation"] == before["master"]["generation"]
    assert after["master"]["reloads"] == before["master"]["reloads"]
    assert after["master"]["reload_failures"] == before["master"]["reload_failures"] + 1


@pytest.mark.parametrize("text, line, why", [
    ("[server]\nworkers = 2\nnonsense = 1\n[listen pingpong]\n", 3, ".*nonsense.*"),
    ("[server]\nworkers = 5000\n", 2, ".*1024.*"),
    ("[server]\n\n[listen x]\nservice = nothing\nbind = 127.0.0.1:0\n", 4, ".*nothing.*"),
    ("[server]\n[listen x]\nservice = echo\n\n\nbind = nowhere\n", 6, ".*nowhere.*"),
    ("[server\n", 1, ".+"),
    ("", None, ".+"),
    (None, None, "No such file or directory"),
], ids=["key", "number", "service", "address", "syntax", "empty", "missing"])
def test_a_bad_configuration_is_refused(serve, text, line, why):
    server = serve(listen("pingpong"), listen("bank"))
    sessions, before = [server.connect("pingpong") for _ in range(10)], server.stats()
    if text is None:
        server.config.unlink()
    else:
        server.config.write_text(text)
    server.signal(signal.SIGHUP)
    where = re.escape(str(server.config)) + (f":{line}" if line else r"(:\d+)?")
    expect_refused(server, before, rf"{where}: {why}")
    for client in sessions:
        client.ask(*PING)
    server.connect("bank").ask(WITHDRAW, WITHDRAW)
    server.configure(workers=3)
    server.reload()
    assert server.stats()["master"]["workers"] == 3


def test_an_address_that_cannot_be_bound_is_refused(serve):
    """Together with everything else in the file; what could be bound is given back."""
    good = own_address()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = "127.0.0.1:%d" % other.getsockname()[1]
        server = serve(listen("pingpong"))
        before = server.stats()
        server.configure(listen("pingpong"), listen("bank", bind=good), listen("echo", bind=taken), workers=4)
        server.signal(signal.SIGHUP)
        place = server.config.read_text().splitlines().index(f"bind = {taken}") + 1
        expect_refused(server, before, rf"{server.config}:{place}: .*{re.escape(taken)}.*Address already in use")
        server.configure(listen("pingpong"), log="/no/such/folder/log")
        since, place = server.mark(), server.config.read_text().splitlines().index("log = /no/such/folder/log") + 1
        server.signal(signal.SIGHUP)
        server.wait_log(rf"reload refused: {server.config}:{place}: log = /no/such/folder/log: No such file", since=since)
    assert refused(good)
    server.connect("pingpong").ask(*PING)


@pytest.mark.parametrize("kind", ["fifo", "terminal"])
def test_a_file_that_nobody_writes_is_refused(serve, kind):
    """Whoever reads it would wait for ever: HUP and USR2 do not, and everything goes on."""
    server = serve(listen("pingpong"))
    reader, terminal = pty.openpty()
    server.config.unlink()
    if kind == "fifo":
        os.mkfifo(server.config)
    else:
        server.config.symlink_to(os.ttyname(terminal))
    before = server.stats()
    server.signal(signal.SIGHUP)
    expect_refused(server, before, rf"{re.escape(str(server.config))}: is not a regular file")
    since = server.mark()
    server.signal(signal.SIGUSR2)
    server.wait_log(rf"upgrade failed: {re.escape(str(server.config))}: is not a regular file", since=since, seconds=5)
    server.connect("pingpong").ask(*PING)
    os.close(reader)
    os.close(terminal)


def test_the_path_of_the_pidfile_cannot_be_changed(serve, tmp_path):
    """That is said, and the rest of the file is in effect."""
    server = serve(listen("pingpong"), pidfile=tmp_path / "pid")
    since = server.mark()
    server.reload(pidfile=tmp_path / "other", workers=3)
    server.wait_log("reload: pidfile cannot be changed while running", since=since)
    assert "done: a new generation serves, but pidfile changes by a restart only" in ctl(server, "status")
    assert int((tmp_path / "pid").read_text()) == server.pid and not (tmp_path / "other").exists()
    assert server.stats()["master"]["workers"] == 3
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert not (tmp_path / "pid").exists()


# ---- generations ----

def test_never_more_than_two_generations(serve):
    """SIGHUPs while a session keeps the old generation: the next one waits for its end, and none is forgotten."""
    server = serve(listen("bank"), workers=2)
    client, first = half_done(server), server.stats()["master"]["generation"]
    server.reload(max_sessions=1001)
    for number in range(1002, 1012):
        since = server.mark()
        server.configure(max_sessions=number)
        server.signal(signal.SIGHUP)
        server.wait_log(f"reload deferred: generation {first} still drains", since=since)
        stats = server.stats()
        generations = {each["generation"] for each in stats["workers"] + stats["leaving"]}
        assert generations == {first, first + 1}
        assert len(server.members()) <= 1 + 2 * 2
    since = server.mark()
    finish_half(client)
    server.wait_log(f"generation {first} is gone", since=since)
    server.wait_log(rf"reload: generation {first + 2} serves", since=since)
    assert any("[server] + max_sessions = 1011" in line for line in changes(server, since)), changes(server, since)
    stats = server.await_stats(lambda s: not s["leaving"])
    assert stats["master"]["generation"] == first + 2, "one reload for all that were deferred"
    server.await_members(3)


def test_a_generation_that_was_given_up_counts_as_one(trapped):
    """One of its workers never gets ready, the other has a session to finish: a further reload waits for that."""
    server = trapped(listen("bank"), workers=2)
    server.trap.write_text("once sleep 600")
    since = server.mark()
    server.touch()
    server.signal(signal.SIGHUP)
    ready = int(server.wait_log(r"reload: generation 2 starts(?s:.*)", since=since) and
                server.wait_log(r"worker \d \(pid (\d+)\) ready", since=since)[1])
    idle, half = len(descriptors(ready)), []
    while len(descriptors(ready)) == idle:
        half.append(half_done(server))
    (asleep,) = set(group_members(server.group)) - {server.pid, ready, *server.worker_pids().values()}
    server.signal(signal.SIGKILL, asleep)
    server.wait_log("reload refused: a worker of it died", since=since)
    for client in half[:-1]:  # they may be of the generation that serves
        client.close()
    since = server.mark()
    server.signal(signal.SIGHUP)
    server.wait_log("reload deferred: generation 2 still drains", since=since)
    finish_half(half[-1])
    server.wait_log(r"reload: generation 3 serves", since=since)


def test_totals_of_numbers_and_addresses_that_are_no_more(serve):
    """What retired workers have counted is not forgotten with their queues."""
    server = serve(listen("pingpong"), workers=4)
    for _ in range(40):
        server.connect("pingpong").ask(*PING)
        server.clients[-1].close()
    server.await_open("pingpong", 0)
    before = server.listener("pingpong")
    server.reload(listen("pingpong", bind=own_address()), workers=1)
    after = server.await_stats(lambda stats: not stats["leaving"])
    after = server.pick(after, "pingpong")
    assert [after[key] for key in ("accepted", "bytes_in")] == [before[key] for key in ("accepted", "bytes_in")]


def test_a_storm_of_hangups(serve):
    """Faster than workers start: at every look there are two generations at most, and the last file wins."""
    server = serve(listen("pingpong"), workers=2)
    with Load(server, "pingpong", *PING) as load:
        for number in range(2000, 2100):
            server.configure(max_sessions=number)
            server.signal(signal.SIGHUP)
            assert len(server.members()) <= 1 + 2 * 2
            time.sleep(0.005)
        server.wait_log(r"\[server\] \+ max_sessions = 2099")
        server.await_stats(lambda s: not s["leaving"])
        load.wait_more(50)
    load.expect_perfect()


def test_a_generation_that_does_not_start_replaces_nobody(trapped):
    """Its workers die at their start: the reload is refused, and the old ones go on."""
    server = trapped(workers=2)
    client, before, since = server.connect("trap"), server.stats(), server.mark()
    client.ask(b"hi\n", b"hi\n")
    server.trap.write_text("exit 1")
    server.touch()
    server.signal(signal.SIGHUP)
    server.wait_log(r"reload: generation \d+ starts", since=since)
    server.wait_log("reload refused: a worker of it died before all were ready", since=since)
    for _ in range(20):
        server.connect("trap").ask(b"hi\n", b"hi\n")
    client.ask(b"ho\n", b"ho\n")
    for pid in pids(before).values():
        assert process_stat(pid)[0] in "SR"
    assert not any(re.search(r"reload: generation \d+ serves", line) for line in server.lines)
    server.trap.unlink()
    server.reload()
    client.expect_end()
    server.connect("trap").ask(b"hi\n", b"hi\n")


def test_a_generation_that_gives_up_replaces_nobody(trapped):
    server = trapped(workers=2)
    client, before, since = server.connect("trap"), server.stats(), server.mark()
    client.ask(b"hi\n", b"hi\n")
    server.trap.write_text("exit 2")
    server.touch()
    server.signal(signal.SIGHUP)
    server.wait_log(r"reload refused: |reload failed", since=since)
    server.trap.unlink()
    client.ask(b"ho\n", b"ho\n")
    after = server.await_stats(lambda stats: not stats["leaving"])
    assert pids(after) == pids(before)
    assert after["master"]["reload_failures"] == 1
    server.reload()
    server.connect("trap").ask(b"hi\n", b"hi\n")


def test_a_worker_of_the_old_generation_is_killed_while_it_drains(serve):
    """It is not replaced: its successor serves already."""
    server = serve(listen("bank"), workers=1)
    client, before = half_done(server), server.stats()
    server.reload()
    server.signal(signal.SIGKILL, pids(before)[0])
    client.expect_gone()
    server.wait_log("generation %d is gone" % before["master"]["generation"])
    server.connect("bank").ask(WITHDRAW, WITHDRAW)
    after = server.stats()
    server.await_members(2)
    assert not after["leaving"]
    assert after["listeners"][0]["lost"] == 1


def test_a_hung_worker_of_the_old_generation_goes_too(serve):
    server = serve(listen("bank"), workers=2, watchdog_timeout="500ms", drain_timeout="60s")
    half_done(server)
    before = server.stats()
    old = next(each for each in before["workers"] if each["sessions_open"])
    server.reload()
    server.signal(signal.SIGSTOP, old["pid"])
    server.wait_log(rf"worker {old['slot']} \(pid {old['pid']}\) killed by SIGKILL")
    server.wait_log("generation %d is gone" % before["master"]["generation"])
    server.connect("bank").ask(WITHDRAW, WITHDRAW)


def test_a_stop_during_a_reload(serve):
    """Both generations are told."""
    server = serve(listen("bank"))
    old = half_done(server)
    server.reload()
    new, idle = half_done(server), server.connect("bank")
    server.signal(signal.SIGTERM)
    server.wait_log("stopping")
    idle.expect_end()
    finish_half(old)
    finish_half(new)
    for client in server.clients:
        client.close()
    assert server.wait() == 0


def test_workers_of_both_generations_go_when_the_master_was_killed(serve):
    server = serve(listen("bank"))
    half_done(server)
    server.reload()
    half_done(server)
    assert len(group_members(server.pid)) >= 4
    server.signal(signal.SIGKILL)
    assert server.wait() == -signal.SIGKILL
    end = time.monotonic() + 5
    while any(state != "Z" for state in group_members(server.pid).values()):
        assert time.monotonic() < end, group_members(server.pid)
        time.sleep(0.02)
    server.reap()
    assert not os.path.exists(f"/proc/{server.pid}")


@pytest.mark.parametrize("burst", [[signal.SIGHUP, signal.SIGHUP, signal.SIGTERM],
                                   [signal.SIGUSR2, signal.SIGHUP, signal.SIGTERM],
                                   [signal.SIGHUP, signal.SIGUSR2, signal.SIGTTIN, signal.SIGINT],
                                   [signal.SIGTTIN, signal.SIGHUP, signal.SIGHUP, signal.SIGQUIT]],
                         ids=lambda burst: "-".join(number.name[3:].lower() for number in burst))
@pytest.mark.parametrize("pause_ms", [0, 3, 12])
def test_a_stop_in_a_burst_of_signals_is_a_stop(serve, tmp_path, burst, pause_ms):
    """Nothing is begun after it, and nobody is left: the footer looks for them. The upgrade never gets to its end."""
    shutil.copy(harness.BINARY, tmp_path / "ccserver")
    server = serve(listen("pingpong"), workers=4, binary=tmp_path / "ccserver")
    (tmp_path / "new").write_text("#!/usr/bin/perl\nsleep;\n")
    (tmp_path / "new").chmod(0o755)
    (tmp_path / "new").rename(tmp_path / "ccserver")
    server.touch()
    for number in burst:
        server.signal(number)
        time.sleep(pause_ms / 1000)  # not for an event: the bursts are to differ
    assert server.wait() == 0
    server.wait_log_end()
    stopping = next(i for i, line in enumerate(server.lines) if f"master[{server.pid}]: stopping" in line)
    assert not any("generation" in line and "starts" in line for line in server.lines[stopping:]), server.tail()


def test_the_level_of_the_log_is_changed(serve):
    """Also in the workers, and back again: that one drains is an `info`."""
    def reload(level):
        pid, since = server.worker_pids()[0], server.mark()
        server.reload(log_level=level)
        server.await_stats(lambda stats: not stats["leaving"])
        return any(f"worker 0[{pid}]: draining" in line for line in server.lines[since:])

    server = serve(listen("echo"), workers=1)
    assert [reload(level) for level in ("notice", "info", "info")] == [True, False, True]
