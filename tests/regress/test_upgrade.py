"""SIGUSR2: the binary on disk takes over, or the old one goes on as if nothing had happened."""
import os
import re
import shutil
import signal
import subprocess
import threading
import time

import harness
import pytest
from bank import WITHDRAW
from harness import (DEADLINE, Load, await_file, connect_to, descriptors, exit_code, group_members, listen,
                     own_address, process_stat, title, wait_exit)

PING = b"ping", b"ping"
MANAGED = {"NOTIFY_SOCKET": "/nonexistent/manager"}  # the first master leaves as any other


@pytest.fixture
def binary(tmp_path):
    """A binary of the test's own, to be replaced."""
    shutil.copy(harness.BINARY, tmp_path / "ccserver")
    return tmp_path / "ccserver"


def replace(binary, text=None, source=None, mode=0o755):
    """Put another file there, as a package manager does it."""
    new = binary.with_name("new")
    if source:
        shutil.copy(source, new)
    else:
        new.write_text(text)
    new.chmod(mode)
    new.rename(binary)


def half_done(server):
    """A session in the middle of a frame, which its worker waits for when it drains."""
    client = server.connect("bank")
    client.ask(WITHDRAW + WITHDRAW[:60], WITHDRAW)
    return client


def finish_half(client):
    client.ask(WITHDRAW[60:], WITHDRAW)
    client.expect_end()


class PidfileWatch:
    """What a pid file says, read again and again while the block runs; None when it is not there."""

    def __init__(self, path):
        self.path, self.seen, self.reads = path, [], 0
        self._stop, self._thread = threading.Event(), threading.Thread(target=self._watch)

    def read(self):
        try:
            return self.path.read_text().strip()
        except FileNotFoundError:
            return None

    def _watch(self):
        stopped = False
        while not stopped:
            stopped = self._stop.is_set()  # before the last reading
            text, self.reads = self.read(), self.reads + 1
            if not self.seen or self.seen[-1] != text:
                self.seen.append(text)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()


# ---- good ones ----

def test_the_new_master_serves_and_the_old_one_drains(serve, binary):
    server = serve(listen("bank"), listen("pingpong"), workers=3, binary=binary)
    old, workers = server.pid, server.worker_pids()
    idle, busy = server.connect("bank"), half_done(server)
    idle.ask(WITHDRAW, WITHDRAW)
    since = server.mark()
    server.upgrade()
    assert server.pid != old
    server.wait_log(rf"upgrade: starting {re.escape(str(binary))} \(pid {server.pid}\)", since=since)
    server.wait_log(rf"master\[{server.pid}\]: ccserver \S+ takes over from pid {old}", since=since)
    server.wait_log(rf"master\[{server.pid}\]: ready: 3 workers, 2 listeners", since=since)
    idle.expect_end()
    busy.expect_silence()
    new = [server.connect("pingpong") for _ in range(30)]
    for client in new:
        client.ask(*PING)
    stats = server.stats()
    assert stats["master"]["pid"] == server.pid
    assert set(server.worker_pids().values()).isdisjoint(workers.values())
    assert stats["master"]["upgrades"] == 1 and stats["master"]["upgrade_failures"] == 0
    assert {each["last_reason"] for each in stats["workers"]} == {"upgrade"}
    assert stats["master"]["respawns"]["upgrade"] == 3
    assert server.process.poll() is None, "the old one waits for its session"
    finish_half(busy)
    server.wait_replaced_masters()
    new[0].ask(*PING)
    server.connect("bank").ask(WITHDRAW, WITHDRAW)
    server.await_members(4)


def test_totals_are_carried_over(serve, binary):
    """Also those of the sessions that end in the old master's workers after the upgrade."""
    server = serve(listen("bank"), listen("pingpong"), binary=binary)
    for _ in range(10):
        with server.connect("pingpong") as client:
            client.ask(*PING)
    server.await_open("pingpong", 0)
    busy, before = half_done(server), server.stats()
    idle = next(each for each in before["workers"] if each["sessions_open"] == 0)
    server.signal(signal.SIGKILL, idle["pid"])
    server.wait_replaced(idle["slot"], idle["pid"])
    server.upgrade()
    with server.connect("pingpong") as client:
        client.ask(*PING)
    busy.close()
    server.wait_replaced_masters()
    stats = server.await_stats(lambda s: all(each["sessions_open"] == 0 for each in s["listeners"]))
    bank, pingpong = (server.pick(stats, name) for name in ("bank", "pingpong"))
    assert (bank["accepted"], pingpong["accepted"]) == (1, 11)
    assert pingpong["bytes_in"] == pingpong["bytes_out"] == 44
    assert stats["master"]["respawns"]["signal"] == 1


def test_nobody_is_refused_or_reset(serve, binary):
    server = serve(listen("pingpong"), workers=3, binary=binary)
    with Load(server, "pingpong", *PING) as load:
        for _ in range(5):
            server.upgrade()
            load.wait_more(100)
            server.wait_replaced_masters()
    load.expect_perfect()
    stats = server.await_stats(lambda s: s["listeners"][0]["sessions_open"] == 0)
    assert (stats["listeners"][0]["accepted"], stats["listeners"][0]["lost"]) == (load.connected, 0)


def test_the_pidfile_always_names_the_master_in_charge(serve, binary, tmp_path):
    path = tmp_path / "pid"
    server = serve(listen("pingpong"), binary=binary, pidfile=path)
    pids = [str(server.pid)]
    with PidfileWatch(path) as watch:
        while len(pids) <= 3 or (watch.reads <= 100 and len(pids) < 50):  # on a busy machine it reads rarely
            server.upgrade()
            pids.append(str(server.pid))
            assert watch.read() == pids[-1]
            server.wait_replaced_masters()
            assert watch.read() == pids[-1]
    # Each in its turn, nothing else, never none; one that was there while the watch did not run is seen above.
    assert watch.seen == [pid for pid in pids if pid in watch.seen] and watch.reads > 100
    refused = subprocess.run([binary, "-c", server.config], capture_output=True, text=True, timeout=DEADLINE)
    assert refused.returncode == 1 and pids[-1] in refused.stderr
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert not path.exists()


@pytest.mark.parametrize("text", ["", "nonsense", "1"])
def test_a_pidfile_that_somebody_has_written_into(serve, binary, tmp_path, text):
    """It is the file that the master has locked, whatever stands there: it is replaced."""
    file = tmp_path / "pid"
    server = serve(listen("pingpong"), binary=binary, pidfile=file)
    file.write_text(text)
    refused = subprocess.run([binary, "-c", server.config], capture_output=True, text=True, timeout=DEADLINE)
    assert refused.returncode == 1 and "another master is running" in refused.stderr and "pid 0" not in refused.stderr
    server.upgrade()
    assert int(file.read_text()) == server.pid


def test_twice_in_a_row(serve, binary):
    server = serve(listen("pingpong"), listen("bank"), binary=binary)
    masters, pid = {server.pid}, server.pid
    for number in 1, 2, 3:
        busy = half_done(server)
        server.upgrade()
        masters.add(server.pid)
        finish_half(busy)
        server.wait_replaced_masters()
        assert not process_stat(pid) or pid == server.process.pid
        pid = server.pid
        server.connect("pingpong").ask(*PING)
        assert server.stats()["master"]["upgrades"] == number
    assert len(masters) == 4
    assert server.listener("bank")["accepted"] == 3 and server.listener("pingpong")["accepted"] == 3


def test_a_second_upgrade_while_the_first_one_drains(serve, binary):
    """Whatever comes of it, somebody is in charge, and the session of the first master goes on."""
    server = serve(listen("pingpong"), listen("bank"), binary=binary)
    busy = half_done(server)
    server.upgrade()
    since = server.mark()
    server.signal(signal.SIGUSR2)
    server.signal(signal.SIGUSR2, server.group)  # the one that drains is not asked any more
    outcome = server.wait_log(r"upgrade: pid (\d+) is in charge|upgrade (failed|refused|deferred)", since=since)
    if outcome[1]:
        server.replaced.append(server.pid)
        server.pid = int(outcome[1])
    server.connect("pingpong").ask(*PING)
    finish_half(busy)
    server.wait_replaced_masters()
    server.connect("pingpong").ask(*PING)


def test_a_burst_is_one_upgrade(serve, binary):
    """What comes too late reaches a master that only drains. (A guardian passes it on: see test_guardian.py.)"""
    server = serve(listen("pingpong"), binary=binary, env=MANAGED)
    old = server.pid
    for _ in range(5):
        os.kill(old, signal.SIGUSR2)
        time.sleep(0.002)
    server.replaced.append(old)
    server.pid = int(server.wait_log(r"upgrade: pid (\d+) is in charge")[1])
    server.wait_replaced_masters()
    server.connect("pingpong").ask(*PING)
    assert sum("takes over from pid" in line for line in server.lines) == 1
    server.await_members(3)


def test_term_to_the_new_master_stops_everything(serve, binary, tmp_path):
    server = serve(listen("bank"), binary=binary, pidfile=tmp_path / "pid")
    server.upgrade()
    server.wait_replaced_masters()
    idle, busy = server.connect("bank"), half_done(server)
    idle.ask(WITHDRAW, WITHDRAW)
    server.signal(signal.SIGTERM)
    idle.expect_end()
    finish_half(busy)
    for client in server.clients:
        client.close()
    assert server.wait() == 0
    with pytest.raises(ConnectionRefusedError):
        connect_to(server.addresses["bank"][0])
    assert not group_members(server.group) and not (tmp_path / "pid").exists()


def test_term_while_the_old_master_drains(serve, binary):
    """The new master's pid is the only one that is known: its end is the end of both, and nobody is cut off."""
    server = serve(listen("bank"), binary=binary)
    old, busy = server.pid, half_done(server)
    server.upgrade()
    fresh = half_done(server)
    server.signal(signal.SIGTERM)
    finish_half(fresh)
    finish_half(busy)
    for client in server.clients:
        client.close()
    wait_exit(server.pid)
    wait_exit(old)
    server.wait_replaced_masters()
    with pytest.raises(ConnectionRefusedError):
        connect_to(server.addresses["bank"][0])


def test_term_to_the_old_master_ends_its_draining(serve, binary):
    """And not the service, where the old master does not stay as its guardian."""
    server = serve(listen("bank"), binary=binary, env=MANAGED)
    old, busy = server.pid, half_done(server)
    server.upgrade()
    os.kill(old, signal.SIGQUIT)
    busy.expect_gone()
    server.wait_replaced_masters()
    server.connect("bank").ask(WITHDRAW, WITHDRAW)


def test_the_death_of_the_old_master_does_not_matter(serve, binary):
    server = serve(listen("bank"), binary=binary)
    old, busy, workers = server.pid, half_done(server), server.worker_pids()
    server.upgrade()
    os.kill(old, signal.SIGKILL)
    assert server.process.wait(DEADLINE) == -signal.SIGKILL
    server.replaced.clear()
    server.stays = False
    busy.expect_gone()
    server.connect("bank").ask(WITHDRAW, WITHDRAW)
    for pid in workers.values():
        if process_stat(pid):  # else the old master has reaped it
            exit_code(pid)
    server.await_members(3)


def test_unix_sockets_are_kept(serve, binary, tmp_path):
    """The same socket at the same path: neither the start of the new master nor the end of the old one touches it."""
    path = tmp_path / "s"
    server = serve(listen("pingpong", bind=f"unix:{path}"), binary=binary)
    inode = path.stat().st_ino
    with Load(server, "pingpong", *PING) as load:
        for _ in range(2):
            server.upgrade()
            server.wait_replaced_masters()
            load.wait_more(50)
            assert path.stat().st_ino == inode
    load.expect_perfect()
    server.connect("pingpong").ask(*PING)
    server.clients[-1].close()
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert not path.exists()


def test_the_configuration_of_the_day_is_taken(serve, binary):
    """With more workers, an address more and one less."""
    first, second = own_address(), own_address()
    server = serve(listen("pingpong"), listen("bank", bind=first), binary=binary, workers=2)
    server.configure(listen("pingpong", idle_timeout="200ms"), listen("echo", bind=second), workers=3)
    server.upgrade()
    server.wait_replaced_masters()
    assert server.stats()["master"]["workers"] == 3
    client = server.connect("pingpong")
    client.ask(*PING)
    client.expect_end()
    with connect_to(second) as client:
        client.ask(b"hi\r\n", b"ccserver echo:hi\r\n")
    with pytest.raises(ConnectionRefusedError):
        connect_to(first)


def test_an_address_that_is_dropped_refuses_connections(serve, binary):
    """Also while the old master, who does not know that, still drains: nobody is to wait there in vain."""
    dropped = own_address()
    server = serve(listen("bank"), listen("pingpong", bind=dropped), binary=binary)
    client = half_done(server)
    server.configure(listen("bank"))
    server.upgrade()
    server.wait_log(rf"master\[{server.pid}\]: no longer listening on {dropped}")
    with pytest.raises(ConnectionRefusedError):
        connect_to(dropped)
    finish_half(client)


def test_a_hup_during_an_upgrade_reaches_who_is_in_charge(serve, binary):
    """One that came before the change, and one to the pid that was in charge before it; when the old one has gone."""
    server = serve(listen("bank"), binary=binary)
    client, old = half_done(server), server.pid
    replace(binary, f'#!/bin/sh\nsleep 0.3\nexec {harness.BINARY} "$@"\n')
    since = server.mark()
    server.signal(signal.SIGUSR2)
    server.wait_log("upgrade: starting", since=since)
    server.signal(signal.SIGHUP)
    server.wait_log("reload deferred: an upgrade is under way", since=since)
    new = int(server.wait_log(r"upgrade: pid (\d+) is in charge", since=since)[1])
    server.wait_log(rf"master\[{new}\]: reload deferred", since=since)
    server.wait_log(rf"master\[{old}\]: upgrade: pid {new} is in charge", since=since)
    server.replaced.append(old)
    server.pid, since = new, server.mark()
    server.signal(signal.SIGHUP, old)
    server.wait_log(rf"master\[{new}\]: reload deferred", since=since)
    server.touch()
    finish_half(client)
    server.wait_log(rf"master\[{new}\]: reload: generation 3 serves", since=since)


def test_fewer_workers_lose_no_connection(serve, binary):
    """The sockets of the slots that are no more are handed over as well, and adopted."""
    server = serve(listen("pingpong"), binary=binary, workers=4)
    with Load(server, "pingpong", *PING) as load:
        for number in 2, 4, 1:
            server.configure(workers=number)
            server.upgrade()
            load.wait_more(100)
            server.wait_replaced_masters()
            assert server.stats()["master"]["workers"] == number
    load.expect_perfect()


def test_more_workers_when_one_stays_down(serve, trap_binary, binary, tmp_path):
    """The new master is ready when every worker is, or has asked not to be started again."""
    server = serve(listen("pingpong"), binary=binary, workers=2)
    (tmp_path / "trap").write_text("once exit 2")
    replace(binary, f'#!/bin/sh\nCCSERVER_TRAP={tmp_path}/trap exec {trap_binary} "$@"\n')
    server.configure(workers=3)
    server.upgrade()
    server.wait_replaced_masters()
    stats = server.await_stats(lambda stats: len(stats["workers"]) == 3)
    assert [each["state"] for each in stats["workers"]].count("down") == 1
    server.connect("pingpong").ask(*PING)


def test_quit_is_for_both_masters(serve, binary):
    """One drains, with a session that would take its time; the other is in charge."""
    server = serve(listen("bank"), binary=binary, env=MANAGED)
    half_done(server)
    server.upgrade()
    server.signal(signal.SIGINT, server.process.pid)  # Ctrl-C reaches both; the one that drains goes on
    server.wait_log("SIGINT: this master drains already")
    finish_half(server.clients[0])
    server.wait_replaced_masters()
    half_done(server)
    server.upgrade()
    server.signal(signal.SIGQUIT)
    server.wait_log("stopping at once: the master in charge does")
    wait_exit(server.pid)
    for old in server.replaced:
        wait_exit(old)
    server.replaced.clear()
    server.wait_log_end()
    server.reap()


def test_a_hup_that_comes_too_late_is_nothing(serve, binary):
    """The master in charge has gone, the other one still drains; nobody is there to pass it on to."""
    server = serve(listen("bank"), binary=binary)
    old, client = server.pid, half_done(server)
    server.upgrade()
    server.signal(signal.SIGTERM)
    server.wait_log(rf"master\[{server.pid}\]: stopped")
    wait_exit(server.pid)
    server.signal(signal.SIGHUP, old)
    server.wait_log(rf"master\[{old}\]: log reopened")
    finish_half(client)
    assert server.process.wait(DEADLINE) == 0


def test_shutdown_reaches_who_is_in_charge(serve, binary):
    """From a session of a master that only drains."""
    server = serve(listen("bank"), listen("echo", shutdown_command="loopback"), binary=binary)
    half, clients = half_done(server), [server.connect("echo") for _ in range(2)]
    for client in clients:
        client.send(b"SHUT")
    server.await_stats(lambda stats: server.pick(stats, "echo")["bytes_in"] == 8)
    server.upgrade()
    for client in clients:  # the second one does not make it an immediate stop
        client.ask(b"DOWN\r\n", b"ccserver echo:SHUTDOWN\r\n")
    server.wait_log(rf"master\[{server.pid}\]: stopping: a client asked for it")
    server.wait_log(rf"master\[{server.pid}\]: stopped")
    assert not any("at once" in line for line in server.lines)
    finish_half(half)
    assert server.process.wait(DEADLINE) == 0


def test_everything_else_works_after_an_upgrade(serve, binary):
    server = serve(listen("pingpong"), binary=binary, workers=2)
    server.upgrade()
    server.wait_replaced_masters()
    pid = server.worker_pids()[0]  # by then it has heard that the old master is gone
    before = len(descriptors(server.pid))
    server.signal(signal.SIGKILL, pid)
    server.wait_replaced(0, pid)
    server.reload()
    server.await_stats(lambda s: not s["leaving"])
    assert len(descriptors(server.pid)) == before
    since = server.mark()
    server.signal(signal.SIGTTIN)
    server.wait_log(r"worker 2 \(pid \d+\) ready", since=since)
    server.connect("pingpong").ask(*PING)


def test_options_of_the_command_line_are_kept(serve, binary):
    server = serve(listen("pingpong"), binary=binary, workers=2, args=["-w", "3", "-l", "debug"])
    for _ in range(2):
        server.upgrade()
        server.wait_replaced_masters()
        assert server.stats()["master"]["workers"] == 3
        assert title(server.pid) == f"ccserver: master {server.config}"


def test_a_daemon(tmp_path, binary):
    """It stays in the background, and its pid file tells who it is."""
    conf, log, pidfile, address = (tmp_path / name for name in ("d.conf", "d.log", "d.pid", "s"))
    conf.write_text(f"[server]\nworkers = 2\nlog = {log}\n" + listen("pingpong", bind=f"unix:{address}"))
    done = subprocess.run([binary, "-d", "-c", "d.conf", "-p", pidfile], cwd=tmp_path, timeout=DEADLINE)
    old = int(pidfile.read_text())
    group = os.getpgid(old)
    try:
        assert done.returncode == 0
        os.kill(old, signal.SIGUSR2)
        new = int(await_file(log, r"upgrade: pid (\d+) is in charge")[1])
        assert int(pidfile.read_text()) == new != old
        assert exit_code(old) == 0
        with connect_to(f"unix:{address}") as client:
            client.ask(*PING)
        assert {os.readlink(f"/proc/{new}/fd/{fd}") for fd in range(3)} == {"/dev/null"}
        os.kill(new, signal.SIGTERM)
        assert exit_code(new) == 0
        assert not pidfile.exists() and not group_members(group)
    finally:
        if group_members(group):
            os.killpg(group, signal.SIGKILL)


def test_a_daemon_that_does_not_get_ready_can_be_interrupted(tmp_path, trap_binary):
    """Who has typed the command is not to wait for ever."""
    conf, pidfile, trap = (tmp_path / name for name in ("d.conf", "d.pid", "trap"))
    conf.write_text(f"[server]\nworkers = 1\nlog = {tmp_path}/d.log\n" + listen("pingpong", bind=f"unix:{tmp_path}/s"))
    trap.write_text("exit 1")
    starter = subprocess.Popen([trap_binary, "-d", "-c", conf, "-p", pidfile], 
                               env={**os.environ, "CCSERVER_TRAP": str(trap), "CCSERVER_TRAP_SKIPS": "1"})
    pid = int(await_file(pidfile, r"(\d+)")[1])
    try:
        await_file(tmp_path / "d.log", "started again")
        starter.send_signal(signal.SIGTERM)
        assert starter.wait(DEADLINE) == -signal.SIGTERM
        os.kill(pid, signal.SIGQUIT)
        assert exit_code(pid) == 0
    finally:
        if group_members(pid):
            os.killpg(pid, signal.SIGKILL)


# ---- what fails ----

def expect_failed(server, before, session, why=".+", seconds=None):
    """The upgrade failed for this reason, nobody has noticed, and the footer finds nothing of it."""
    line = server.wait_log(r"upgrade failed: (.*); this master goes on", seconds=seconds)
    assert re.fullmatch(why, line[1]), line[1]
    assert re.search(rf" error master\[{server.pid}\]", line.string), line.string
    session.ask(*PING)
    server.connect("pingpong").ask(*PING)
    after = server.stats()
    assert after["master"]["pid"] == server.pid
    assert [each["pid"] for each in after["workers"]] == [each["pid"] for each in before["workers"]]
    assert after["master"]["upgrade_failures"] == before["master"]["upgrade_failures"] + 1
    assert after["master"]["upgrades"] == before["master"]["upgrades"]
    server.await_members(3)  # the one that failed has been reaped


@pytest.mark.parametrize("text, mode, why", [
    ("#!/bin/sh\nexit 0\n", 0o644, ".*Permission denied.*"),
    ("this is no program\n", 0o755, ".*Exec format error.*"),
    ("#!/nonexistent/interpreter\n", 0o755, ".*No such file or directory.*"),
    ("#!/bin/sh\nexit 1\n", 0o755, ".*exited with code 1.*"),
    ("#!/bin/sh\nexit 0\n", 0o755, ".*exited with code 0.*"),
    ("#!/bin/sh\nkill -SEGV $$\n", 0o755, ".*killed by SIGSEGV.*"),
], ids=["permission", "format", "interpreter", "exit 1", "exit 0", "signal"])
def test_a_broken_binary(serve, binary, tmp_path, text, mode, why):
    pidfile, good = tmp_path / "pid", tmp_path / "good"
    shutil.copy(binary, good)
    server = serve(listen("pingpong"), binary=binary, pidfile=pidfile)
    before, session = server.stats(), server.connect("pingpong")
    replace(binary, text, mode=mode)
    with PidfileWatch(pidfile) as watch:
        server.signal(signal.SIGUSR2)
        expect_failed(server, before, session, why)
    assert watch.seen == [str(server.pid)]
    replace(binary, source=good)
    server.upgrade()
    session.expect_end()
    server.wait_replaced_masters()
    server.connect("pingpong").ask(*PING)


def test_a_binary_that_knows_less_options(serve, binary):
    server = serve(listen("pingpong"), binary=binary)
    before, session = server.stats(), server.connect("pingpong")
    replace(binary, f'#!/bin/sh\nexec {harness.BINARY} "$@" --frobnicate\n')
    server.signal(signal.SIGUSR2)
    expect_failed(server, before, session, "unknown option --frobnicate")


def test_more_workers_of_a_binary_that_hangs_strand_nobody(serve, trap_binary, binary, tmp_path):
    """It must not open queues that nobody serves as long as it is not in charge."""
    server = serve(listen("pingpong"), binary=binary, workers=2)
    before, session = server.stats(), server.connect("pingpong")
    (tmp_path / "trap").write_text("sleep 600")
    replace(binary, f'#!/bin/sh\nCCSERVER_TRAP={tmp_path}/trap exec {trap_binary} "$@"\n')
    server.configure(workers=4)
    with Load(server, "pingpong", *PING) as load:
        server.signal(signal.SIGUSR2)
        newer = int(server.wait_log(r"upgrade: starting \S+ \(pid (\d+)\)")[1])
        server.await_members(6, also_unknown=True)
        load.wait_more(100)
        sleepers = [pid for pid in group_members(server.group) if process_stat(pid)[1] == newer]
        server.signal(signal.SIGKILL, newer)
        for pid in sleepers:
            server.signal(signal.SIGKILL, pid)
        expect_failed(server, before, session, ".*killed by SIGKILL")
        load.wait_more(50)
    load.expect_perfect()
    server.configure(workers=2)


def test_a_binary_whose_workers_give_up_in_charge_is_taken_back(serve, trap_binary, tmp_path):
    server = serve(listen("bank"), listen("trap"), binary=trap_binary, workers=1)
    dropped = own_address()
    server.reload(listen("bank"), listen("trap"), listen("pingpong", bind=dropped))
    half, old, worker = half_done(server), server.pid, server.worker_pids()[0]
    server.configure(listen("bank"), listen("trap"))
    server.upgrade()
    new, since = server.pid, server.mark()
    server.wait_log(rf"worker 0\[{worker}\]: draining")
    server.connect("trap").send(b"exit 2\n")
    server.wait_log(rf"master\[{new}\]: no worker can run", since=since)
    server.wait_log("this master serves again", since=since)
    server.replaced.remove(old)
    server.pid = old
    server.wait_log(r"worker 0 \(pid \d+\) ready", since=since)
    server.connect("trap").ask(b"hi\n", b"hi\n")
    with connect_to(dropped) as client:
        client.ask(*PING)
    finish_half(half)


def test_a_binary_that_is_gone(serve, binary):
    server = serve(listen("pingpong"), binary=binary)
    before, session = server.stats(), server.connect("pingpong")
    binary.unlink()
    server.signal(signal.SIGUSR2)
    expect_failed(server, before, session, ".*No such file or directory.*")


def test_a_bad_configuration(serve, binary):
    """The place is named, and nothing that the new one would have changed has been."""
    server = serve(listen("pingpong"), binary=binary)
    before, session = server.stats(), server.connect("pingpong")
    server.config.write_text("[server]\nworkers = 2\nnonsense = 1\n")
    server.signal(signal.SIGUSR2)
    expect_failed(server, before, session)
    assert any(f"{server.config}:3: " in line for line in server.lines), server.tail()
    server.configure()
    server.upgrade()
    server.wait_replaced_masters()


def test_an_address_that_cannot_be_bound(serve, binary):
    server = serve(listen("pingpong"), binary=binary)
    before, session = server.stats(), server.connect("pingpong")
    server.configure(listen("pingpong"), listen("bank", bind="198.51.100.1:7"))
    server.signal(signal.SIGUSR2)
    expect_failed(server, before, session)
    assert any("198.51.100.1:7" in line for line in server.lines), server.tail()
    server.configure(listen("pingpong"))


@pytest.mark.parametrize("trap", ["kill 1", "exit 2"], ids=["crashes", "no worker can run"])
def test_a_binary_that_fails_after_its_start(serve, trap_binary, binary, tmp_path, trap):
    """It has taken the sockets, it has started workers, and then it is gone."""
    path = tmp_path / "s"
    server = serve(listen("pingpong", bind=f"127.0.0.1:0, unix:{path}"), binary=binary, pidfile=tmp_path / "pid")
    before, session = server.stats(), server.connect("pingpong")
    (tmp_path / "trap").write_text(trap)
    replace(binary, f'#!/bin/sh\nCCSERVER_TRAP={tmp_path}/trap exec {trap_binary} "$@"\n')
    with Load(server, "pingpong", *PING) as load, PidfileWatch(tmp_path / "pid") as watch:
        server.signal(signal.SIGUSR2)
        expect_failed(server, before, session)
        load.wait_more(50)
    load.expect_perfect()
    assert watch.seen == [str(server.pid)]
    server.connect("pingpong", 1).ask(*PING)


@pytest.mark.slow
@pytest.mark.parametrize("text", ["exec sleep 600", "trap '' TERM; exec sleep 600"], ids=["asleep", "deaf"])
def test_a_binary_that_is_silent(serve, binary, text):
    """For ten seconds, after which it is not waited for any more, and killed."""
    server = serve(listen("pingpong"), binary=binary)
    before, session = server.stats(), server.connect("pingpong")
    replace(binary, f"#!/bin/sh\n{text}\n")
    start = time.monotonic()
    server.signal(signal.SIGUSR2)
    pid = int(server.wait_log(r"upgrade: starting \S+ \(pid (\d+)\)")[1])
    session.ask(*PING)
    server.wait_log(r"upgrade failed: .*; this master goes on", seconds=30)
    assert time.monotonic() - start >= 9.9
    wait_exit(pid)
    expect_failed(server, before, session)


def test_workers_are_replaced_while_an_upgrade_is_under_way(serve, binary):
    """And a stop is obeyed: the one that is not ready yet goes too."""
    server = serve(listen("pingpong"), binary=binary)
    replace(binary, "#!/bin/sh\nexec sleep 600\n")
    server.signal(signal.SIGUSR2)
    child = int(server.wait_log(r"upgrade: starting \S+ \(pid (\d+)\)")[1])
    pid = server.worker_pids()[0]
    server.signal(signal.SIGKILL, pid)
    server.wait_replaced(0, pid)
    server.connect("pingpong").ask(*PING)
    server.clients[-1].close()
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    wait_exit(child)


@pytest.mark.parametrize("seconds, number", [(1, signal.SIGTERM), (600, signal.SIGTERM), (600, signal.SIGQUIT)])
def test_a_stop_leaves_no_worker_of_a_binary_that_is_given_up(serve, trap_binary, binary, tmp_path, seconds, number):
    """Its workers, who sleep at their start and hear of nothing, lose their master; ours waits, but not for ever."""
    server = serve(listen("pingpong"), binary=binary, drain_timeout="100ms")
    (tmp_path / "trap").write_text(f"sleep {seconds}")
    replace(binary, f'#!/bin/sh\nCCSERVER_TRAP={tmp_path}/trap exec {trap_binary} "$@"\n')
    server.signal(signal.SIGUSR2)
    server.await_members(6, also_unknown=True)
    server.signal(number)
    assert server.wait() == 0
    assert not group_members(server.group)


def test_a_binary_that_fails_removes_nothing(serve, trap_binary, binary, tmp_path):
    """Its configuration has a unix socket less; the one that goes on still serves it."""
    path, pid = tmp_path / "s", tmp_path / "pid"
    server = serve(listen("pingpong"), listen("echo", bind=f"unix:{path}"), binary=binary, pidfile=pid)
    before, session = server.stats(), server.connect("pingpong")
    inode = path.stat().st_ino
    (tmp_path / "trap").write_text("kill 1")
    replace(binary, f'#!/bin/sh\nCCSERVER_TRAP={tmp_path}/trap exec {trap_binary} "$@"\n')
    server.configure(listen("pingpong"))
    server.signal(signal.SIGUSR2)
    expect_failed(server, before, session)
    assert path.stat().st_ino == inode and pid.read_text() == f"{server.pid}\n"
    server.connect("echo").ask(b"hi\r\n", b"ccserver echo:hi\r\n")
    server.configure(listen("pingpong"), listen("echo", bind=f"unix:{path}"))


def test_the_new_master_killed_while_it_stops_is_not_taken_back(serve, binary):
    server = serve(listen("bank"), listen("pingpong"), binary=binary)
    old, client, since = server.pid, half_done(server), server.mark()
    server.upgrade()
    for slot in range(2):
        server.wait_log(rf"worker {slot}\[\d+\]: draining", since=since)  # who comes now is served by the new one
    half = half_done(server)
    server.signal(signal.SIGTERM)
    server.wait_log(rf"master\[{server.pid}\]: stopping")
    server.signal(signal.SIGKILL)
    finish_half(client)
    half.close()
    server.wait_log(rf"master\[{old}\]: stopped")
    assert not any("serves again" in line for line in server.lines)
    assert server.process.wait(DEADLINE) == 128 + signal.SIGKILL, "a supervisor is to know of it"
    server.replaced.clear()
    server.wait_log_end()
    server.reap()
