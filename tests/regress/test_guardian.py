"""The process that was started first, after an upgrade: whoever waits for it must not notice."""
import os
import pty
import re
import shutil
import signal
import subprocess
import time

import harness
import pytest
from bank import WITHDRAW
from harness import (DEADLINE, await_file, connect_to, descriptors, group_members, listen, own_address, process_stat,
                     title, wait_exit)

PING = b"ping", b"ping"


@pytest.fixture
def binary(tmp_path):
    shutil.copy(harness.BINARY, tmp_path / "ccserver")
    return tmp_path / "ccserver"


def half_done(server):
    client = server.connect("bank")
    client.ask(WITHDRAW + WITHDRAW[:60], WITHDRAW)
    return client


def finish_half(client):
    client.ask(WITHDRAW[60:], WITHDRAW)
    client.expect_end()


def upgraded(server):
    """The pid of the guardian; it has drained."""
    server.upgrade()
    server.wait_replaced_masters()
    return server.process.pid


# ---- what it stays for ----

def test_it_stays_small(serve, binary):
    server = serve(listen("bank"), listen("pingpong"), binary=binary, workers=4, log="stderr")
    guardian = upgraded(server)
    assert process_stat(server.pid)[1] == guardian, "it is the parent of the master in charge"
    assert re.search(rf"guardian of master {server.pid}\b", title(guardian))
    assert len(descriptors(guardian)) <= 6, descriptors(guardian)  # 0, 1, 2, the log's own, signals, the socket
    maps = open(f"/proc/{guardian}/maps").read()
    assert "ccserver-stats" not in maps
    before = process_stat(guardian)[3]
    time.sleep(1.2)  # not for an event: it is to do next to nothing
    assert process_stat(guardian)[3] - before <= 0.02
    server.connect("pingpong").ask(*PING)


def test_it_does_not_stay_for_a_manager_that_follows(serve, binary):
    server = serve(listen("pingpong"), binary=binary, env={"NOTIFY_SOCKET": "/nonexistent/manager"})
    server.upgrade()
    assert server.process.wait(DEADLINE) == 0
    server.replaced.clear()
    server.connect("pingpong").ask(*PING)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
@pytest.mark.parametrize("drained", [True, False], ids=["drained", "draining"])
def test_a_stop_is_passed_on(serve, binary, number, drained):
    server = serve(listen("bank"), listen("pingpong"), binary=binary)
    half = None if drained else half_done(server)
    server.upgrade()
    if drained:
        server.wait_replaced_masters()
    server.signal(number, server.process.pid)
    server.wait_log(rf"master\[{server.pid}\]: stopping.*SIG")
    if half and number != signal.SIGQUIT:
        finish_half(half)
    assert server.process.wait(DEADLINE) == 0
    server.replaced.clear()
    server.wait_log_end()
    at_once = any("stopping at once" in line for line in server.lines)
    assert at_once == (number == signal.SIGQUIT)
    with pytest.raises(ConnectionRefusedError):
        connect_to(server.addresses["pingpong"][0])


@pytest.mark.parametrize("drained", [True, False], ids=["drained", "draining"])
def test_other_signals_are_passed_on(serve, binary, drained):
    server = serve(listen("bank"), binary=binary, workers=2)
    half = None if drained else half_done(server)
    server.upgrade()
    if drained:
        server.wait_replaced_masters()
    guardian, since = server.process.pid, server.mark()
    server.signal(signal.SIGUSR1, guardian)
    server.wait_log(rf"master\[{server.pid}\]: statistics written", since=since)
    assert not any(f"master[{guardian}]: statistics" in line for line in server.lines[since:])
    server.touch()
    server.signal(signal.SIGHUP, guardian)
    server.wait_log(rf"master\[{server.pid}\]: log reopened", since=since)
    if drained:
        server.wait_log(rf"master\[{server.pid}\]: reload: generation 3 serves", since=since)
        server.await_stats(lambda stats: not stats["leaving"])
        server.signal(signal.SIGTTIN, guardian)
        server.wait_log(r"resize: 3 workers", since=since)
        server.signal(signal.SIGTTOU, guardian)
        server.wait_log(r"resize: 2 workers", since=since)
        server.await_stats(lambda stats: not stats["leaving"])
    else:
        finish_half(half)


def test_three_upgrades_in_a_row(serve, binary):
    """Each asked for at the process that is known. The masters between leave and are reaped."""
    server = serve(listen("bank"), binary=binary)
    first, masters = server.pid, []
    for number in 1, 2, 3:
        half, since = half_done(server), server.mark()
        server.signal(signal.SIGUSR2, first)
        masters.append(int(server.wait_log(r"upgrade: pid (\d+) is in charge", since=since)[1]))
        server.replaced.append(server.pid)
        server.pid = masters[-1]
        finish_half(half)
        server.wait_replaced_masters()
        server.connect("bank").ask(WITHDRAW, WITHDRAW)
        assert server.stats()["master"]["upgrades"] == number
        assert len(descriptors(first)) <= 6
    assert len(set(masters)) == 3 and not any(process_stat(pid) for pid in masters[:2])
    assert process_stat(masters[2])[1] == first
    server.signal(signal.SIGTERM, first)
    for client in server.clients:
        client.close()
    assert server.process.wait(DEADLINE) == 0


# ---- its end ----

def test_it_ends_with_who_is_in_charge(serve, binary):
    """Killed: as a shell, and a container, say it."""
    server = serve(listen("pingpong"), binary=binary)
    upgraded(server)
    os.kill(server.pid, signal.SIGKILL)
    assert server.process.wait(DEADLINE) == 128 + signal.SIGKILL
    assert not [pid for pid, state in server.members().items() if state != "Z"], "nobody is left behind"


def test_it_ends_with_the_exit_code(serve, trap_binary):
    server = serve(listen("trap"), binary=trap_binary, workers=1)
    upgraded(server)
    server.connect("trap").send(b"exit 2\n")
    assert server.process.wait(DEADLINE) == 1


def test_it_does_not_leave_workers_that_hang(serve, trap_binary):
    server = serve(listen("trap"), binary=trap_binary, workers=1, watchdog_timeout="1m")
    upgraded(server)
    worker = server.worker_pids()[0]
    server.connect("trap").send(b"loop\n")
    time.sleep(0.3)  # for it to be read
    os.kill(server.pid, signal.SIGKILL)
    assert server.process.wait(DEADLINE) == 128 + signal.SIGKILL
    assert not process_stat(worker)


def test_a_master_that_dies_while_another_one_drains(serve, binary):
    """Not the first one: it has left already. Who drains serves again, and signals reach it."""
    server = serve(listen("bank"), binary=binary)
    guardian = upgraded(server)
    middle, half = server.pid, half_done(server)
    server.upgrade()
    os.kill(server.pid, signal.SIGKILL)
    server.wait_log(rf"master\[{middle}\]: upgrade failed: pid {server.pid} died in charge; this master serves again")
    server.wait_log(rf"master\[{guardian}\]: guardian: pid {middle} is in charge", since=server.mark() - 20)
    server.pid = middle
    server.replaced.clear()
    finish_half(half)
    server.await_stats(lambda stats: not stats["leaving"])
    server.connect("bank").ask(WITHDRAW, WITHDRAW)
    server.clients[-1].close()
    server.signal(signal.SIGTERM, guardian)
    assert server.process.wait(DEADLINE) == 0


def test_other_children_are_not_waited_for(tmp_path, binary):
    """Those that the process was born with: a shell had started them before it became the server."""
    conf, log, address = tmp_path / "c.conf", tmp_path / "log", own_address()
    conf.write_text(f"[server]\nworkers = 1\nlog = {log}\n" + listen("pingpong", bind=address))
    process = subprocess.Popen(["sh", "-c", f"sleep 600 & exec {binary} -c {conf}"], start_new_session=True)
    try:
        await_file(log, "ready: 1 workers")
        process.send_signal(signal.SIGUSR2)
        await_file(log, "guardian: pid")
        start = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 0
        assert time.monotonic() - start < 3
        assert len(group_members(process.pid)) == 1, "it is not killed, either"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


# ---- a signal that comes twice ----

@pytest.mark.parametrize("drained", [True, False], ids=["drained", "draining"])
def test_ctrl_c_arrives_once(tmp_path, binary, drained):
    """A terminal sends it to all masters; twice would mean: at once."""
    conf, log, address = tmp_path / "c.conf", tmp_path / "log", own_address()
    conf.write_text(f"[server]\nworkers = 1\nlog = {log}\n" + listen("bank", bind=address))
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(binary, [str(binary), "-c", str(conf)])
    clients = []
    try:
        await_file(log, "ready: 1 workers")
        if not drained:
            clients.append(connect_to(address))
            clients[0].ask(WITHDRAW + WITHDRAW[:60], WITHDRAW)
        os.kill(pid, signal.SIGUSR2)
        await_file(log, "guardian: pid" if drained else "is in charge, this master drains")
        clients.append(connect_to(address))
        clients[-1].ask(WITHDRAW + WITHDRAW[:60], WITHDRAW)
        os.write(terminal, b"\x03")
        await_file(log, "stopping: SIGINT")
        for client in clients:
            finish_half(client)
        wait_exit(pid)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert "at once" not in log.read_text()
    finally:
        for client in clients:
            client.close()
        if group_members(pid):
            os.killpg(pid, signal.SIGKILL)
        os.close(terminal)


def test_a_signal_to_the_whole_group_arrives_once(serve, binary):
    """From kill(1) with a job of a shell, or a supervisor that stops groups."""
    server = serve(listen("bank"), binary=binary, workers=1)
    upgraded(server)
    half = half_done(server)
    os.kill(server.pid, signal.SIGTERM)
    server.wait_log("stopping: SIGTERM")
    os.kill(server.process.pid, signal.SIGTERM)
    server.wait_log(r"once for the process group and once from the guardian")
    finish_half(half)
    assert server.process.wait(DEADLINE) == 0
    assert not any("at once" in line for line in server.lines)


def test_two_signals_are_two(serve, binary):
    server = serve(listen("bank"), binary=binary, workers=1)
    guardian, half = upgraded(server), half_done(server)
    server.signal(signal.SIGTERM, guardian)
    server.wait_log("stopping: SIGTERM")
    server.signal(signal.SIGTERM, guardian)
    server.wait_log("stopping at once: SIGTERM")
    half.expect_gone()
    assert server.process.wait(DEADLINE) == 0


# ---- PID 1 ----

@pytest.fixture
def container(tmp_path, binary):
    """container(): ccserver as PID 1 of a namespace; (the process outside, the log, the address)."""
    if os.geteuid() != 0:
        pytest.skip("a pid namespace needs root")
    started = []

    def start(env=None):
        conf, log, address = tmp_path / "c.conf", tmp_path / "log", own_address()
        conf.write_text(f"[server]\nworkers = 1\nlog = {log}\npidfile = {tmp_path}/pid\n" +
                        listen("pingpong", bind=address))
        started.append(subprocess.Popen(["unshare", "-pf", "--mount-proc", "--kill-child", binary, "-c", conf],
                                        start_new_session=True, env={**os.environ, **(env or {})}))
        await_file(log, "ready: 1 workers")
        children = open(f"/proc/{started[0].pid}/task/{started[0].pid}/children").read().split()
        return started[0], int(children[0]), log, address

    yield start
    for process in started:
        if group_members(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize("env", [{}, {"NOTIFY_SOCKET": "/nonexistent/manager"}], ids=["alone", "with a manager"])
def test_a_container_lives_on(container, tmp_path, env):
    process, first, log, address = container(env)
    for number in 1, 2:
        os.kill(first, signal.SIGUSR2)
        await_file(log, rf"(?s)(guardian: pid \d+ is in charge.*){{{number}}}")
        assert process.poll() is None
        with connect_to(address) as client:
            client.ask(*PING)
    assert (tmp_path / "pid").read_text().strip() == re.findall(r"guardian: pid (\d+) is", log.read_text())[-1]
    os.kill(first, signal.SIGTERM)
    assert process.wait(DEADLINE) == 0
    assert not (tmp_path / "pid").exists()


def test_a_container_ends_with_who_is_in_charge(container):
    process, first, log, _ = container()
    os.kill(first, signal.SIGUSR2)
    await_file(log, "guardian: pid")
    children = open(f"/proc/{first}/task/{first}/children").read().split()
    os.kill(int(children[0]), signal.SIGKILL)
    assert process.wait(DEADLINE) == 128 + signal.SIGKILL


def test_orphans_of_others_are_reaped(container, binary):
    """As PID 1 must; they are not taken for its own."""
    process, first, log, address = container()
    os.kill(first, signal.SIGUSR2)
    await_file(log, "guardian: pid")
    orphan = subprocess.run(["nsenter", "-t", str(first), "-p", "-m", "sh", "-c", "sh -c 'sleep 0.2 & echo $!'"],
                            stdout=subprocess.PIPE, text=True, timeout=DEADLINE).stdout
    assert orphan
    end = time.monotonic() + DEADLINE
    while len(open(f"/proc/{first}/task/{first}/children").read().split()) != 1:
        assert time.monotonic() < end
        time.sleep(0.02)
    with connect_to(address) as client:
        client.ask(*PING)
    os.kill(first, signal.SIGTERM)
    assert process.wait(DEADLINE) == 0
