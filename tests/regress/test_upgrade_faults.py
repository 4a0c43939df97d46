"""An upgrade whose system calls fail, whose pid file cannot be written, or whose binary is somewhere else by now."""
import os
import re
import shutil
import signal
import subprocess
import time

import harness
import pytest
from harness import DEADLINE, SANITIZED, await_file, connect_to, descriptors, exit_code, group_members, listen, own_address

PING = b"ping", b"ping"
no_tracer_there = pytest.mark.skipif(SANITIZED, reason="LeakSanitizer does not work in a process that is traced")


@pytest.fixture
def binary(tmp_path):
    shutil.copy(harness.BINARY, tmp_path / "ccserver")
    return tmp_path / "ccserver"


def replace(binary, text):
    """By a script."""
    new = binary.with_name("new")
    new.write_text(text)
    new.chmod(0o755)
    new.rename(binary)


class Faults:
    """System calls of a process fail as long as the block runs: "sendto:error=ENOBUFS:when=1..3"."""

    def __init__(self, pid, *faults):
        self.arguments = [part for fault in faults for part in ("-e", "inject=" + fault)]
        traced = ",".join(fault.split(":")[0] for fault in faults)
        self.command = ["strace", "-p", str(pid), "-o", "/dev/null", "-e", "trace=" + traced, *self.arguments]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stderr=subprocess.PIPE, text=True)
        assert "attached" in self.process.stderr.readline()

    def __exit__(self, *_):
        self.process.terminate()
        self.process.communicate()


def faulty_newer(binary, *faults):
    """The newer master is the same binary, under these faults from its first system call on."""
    traced = ",".join(fault.split(":")[0] for fault in faults)
    injected = " ".join(f"-e inject={fault}" for fault in faults)
    replace(binary, f'#!/bin/sh\nexec strace -DDD -qq -o /dev/null -e trace={traced} {injected} {harness.BINARY} "$@"\n')


def expect_failed(server, why, session=None, seconds=None, members=3):
    """The upgrade has failed for this reason, and the one that goes on is as it was."""
    line = server.wait_log(r"upgrade failed: (.*); this master goes on", seconds=seconds)
    assert re.search(why, line[1]), line[1]
    server.connect("pingpong").ask(*PING)
    if session:
        session.ask(*PING)
    assert server.stats()["master"]["upgrade_failures"] == 1
    server.await_members(members)


# ---- shortages ----

@no_tracer_there
@pytest.mark.parametrize("fault, why", [
    ("memfd_create:error=ENOMEM", "Cannot allocate memory"),
    ("memfd_create:error=EMFILE", "Too many open files"),
    ("dup:error=EMFILE", "Too many open files"),
    ("lseek:error=EIO", "Input/output error"),
    ("socketpair:error=ENFILE:when=1", "Too many open files in system"),
    ("socketpair:error=ENOMEM:when=2", "Cannot allocate memory"),
    ("prctl:error=EINVAL", "Invalid argument"),
    ("clone,clone3,fork:error=EAGAIN", "Resource temporarily unavailable"),
    ("clone,clone3,fork:error=ENOMEM", "Cannot allocate memory"),
], ids=lambda value: value.split("=")[0] + "=" + value.split("=")[1] if ":" in value else "")
def test_what_fails_at_the_start_refuses_the_upgrade(serve, binary, fault, why):
    """With a line, and without a trace; the next one succeeds."""
    server = serve(listen("pingpong"), binary=binary)
    before, session = descriptors(server.pid), server.connect("pingpong")
    with Faults(server.pid, fault.replace(",clone3,fork", "")):
        server.signal(signal.SIGUSR2)
        expect_failed(server, why, session)
    assert descriptors(server.pid) == before
    server.upgrade()
    server.wait_replaced_masters()
    server.connect("pingpong").ask(*PING)


@no_tracer_there
@pytest.mark.parametrize("fault", [
    "sendto:error=ENOBUFS:when=1..6", "sendto:error=EAGAIN:when=1..6", "sendto:error=ENOMEM:when=2+2",
    "sendto:error=EINTR:when=1..3", "recvfrom:error=ENOMEM:when=1..4", "recvfrom:error=EINTR:when=1..5",
], ids=lambda fault: fault.replace(":error=", " "))
def test_words_of_the_newer_are_not_lost(serve, binary, fault):
    server = serve(listen("pingpong"), binary=binary)
    faulty_newer(binary, fault)
    start = time.monotonic()
    server.upgrade()
    assert time.monotonic() - start < 8, "it was awaited, not given up and tried again"
    server.wait_replaced_masters()
    server.connect("pingpong").ask(*PING)
    assert server.stats()["master"]["upgrades"] == 1


@no_tracer_there
@pytest.mark.parametrize("fault", [
    "sendto:error=ENOBUFS:when=1..3", "sendto:error=EAGAIN:when=1", "recvfrom:error=ENOMEM:when=1..4",
    "recvfrom:error=EINTR:when=1..5",
], ids=lambda fault: fault.replace(":error=", " "))
def test_words_of_the_older_are_not_lost(serve, binary, fault):
    server = serve(listen("pingpong"), binary=binary)
    with Faults(server.pid, fault):
        server.upgrade()
        server.wait_replaced_masters()
    server.connect("pingpong").ask(*PING)


@no_tracer_there
@pytest.mark.slow
def test_a_newer_master_that_can_never_speak_is_not_in_charge(serve, binary):
    """Ten seconds, then it is given up; an address that it has dropped is still served."""
    dropped = own_address()
    server = serve(listen("pingpong"), listen("echo", bind=dropped), binary=binary, workers=1)
    server.configure(listen("pingpong"))
    faulty_newer(binary, "sendto:error=ENOBUFS:when=2+")  # READY goes out, MINE does not
    server.signal(signal.SIGUSR2)
    expect_failed(server, "silent for 10 s", seconds=20, members=2)
    with connect_to(dropped) as client:
        client.ask(b"hi\r\n", b"ccserver echo:hi\r\n")
    server.configure(listen("pingpong"), listen("echo", bind=dropped))


@no_tracer_there
def test_the_last_word_of_a_newer_master_is_not_lost(serve, binary):
    """It says why it fails, then it is gone."""
    server = serve(listen("pingpong"), binary=binary)
    faulty_newer(binary, "sendto:error=EAGAIN:when=1..5")
    server.config.write_text("[server]\nworkers = 2\nnonsense = 1\n")
    server.signal(signal.SIGUSR2)
    line = server.wait_log(r"upgrade failed: (.*); this master goes on")
    assert f"{server.config}:3: " in line[1]
    server.configure()


# ---- the pid file ----

def test_a_pid_file_that_cannot_be_replaced_fails_the_upgrade(serve, binary, tmp_path):
    """It is known before the newer one has started a worker; the file stays what it is."""
    home, away = tmp_path / "run", tmp_path / "away"
    home.mkdir()
    server = serve(listen("pingpong"), binary=binary, pidfile=home / "pid")
    content, session = (home / "pid").read_bytes(), server.connect("pingpong")
    home.rename(away)
    server.signal(signal.SIGUSR2)
    expect_failed(server, f"{home}/pid", session)
    assert sum("ready after" in line for line in server.lines) == 2, "no worker of it"
    away.rename(home)
    assert (home / "pid").read_bytes() == content and len(list(home.iterdir())) == 1
    server.upgrade()
    server.wait_replaced_masters()
    assert int((home / "pid").read_text()) == server.pid


def test_a_pid_file_that_cannot_be_replaced_at_last(serve, trap_binary, binary, tmp_path):
    """The directory goes while the newer one's workers start."""
    home, away, trap, dropped = tmp_path / "run", tmp_path / "away", tmp_path / "trap", own_address()
    home.mkdir()
    server = serve(listen("pingpong"), listen("echo", bind=dropped), binary=binary, pidfile=home / "pid")
    content = (home / "pid").read_bytes()
    trap.write_text("sleep 2")
    replace(binary, f'#!/bin/sh\nCCSERVER_TRAP={trap} exec {trap_binary} "$@"\n')
    server.configure(listen("pingpong"))
    server.signal(signal.SIGUSR2)
    server.await_members(6, also_unknown=True)
    home.rename(away)
    expect_failed(server, f"{home}/pid")
    away.rename(home)
    assert (home / "pid").read_bytes() == content and len(list(home.iterdir())) == 1
    with connect_to(dropped) as client:
        client.ask(b"hi\r\n", b"ccserver echo:hi\r\n")
    server.configure(listen("pingpong"), listen("echo", bind=dropped))


# ---- a bare name ----

@pytest.fixture
def bare(tmp_path, binary):
    """bare(PATH): a server started as "ccserver", found in `tmp_path/old`; (process, log, address)."""
    started = []
    (tmp_path / "old").mkdir()
    (tmp_path / "first").mkdir()
    binary.rename(tmp_path / "old" / "ccserver")

    def start(path):
        conf, log, address = tmp_path / "c.conf", tmp_path / "log", own_address()
        conf.write_text(f"[server]\nworkers = 1\nlog = {log}\n" + listen("pingpong", bind=address))
        process = subprocess.Popen(["ccserver", "-c", conf], executable=tmp_path / "old" / "ccserver", cwd=tmp_path,
                                   env={**os.environ, "PATH": path}, start_new_session=True)
        started.append(process)
        await_file(log, "ready: 1 workers")
        return process, log, address

    yield start
    for process in started:
        process.terminate()
        assert process.wait(DEADLINE) == 0
        assert not group_members(process.pid)


def test_a_bare_name_is_looked_up_again(bare, tmp_path):
    """A newer version in a directory that comes first in PATH; the older one may be gone."""
    process, log, address = bare(f"{tmp_path}/first:{tmp_path}/old")
    shutil.copy(tmp_path / "old" / "ccserver", tmp_path / "first" / "ccserver")
    (tmp_path / "old" / "ccserver").unlink()
    process.send_signal(signal.SIGUSR2)
    new = int(await_file(log, rf"upgrade: starting {tmp_path}/first/ccserver \(pid (\d+)\)")[1])
    await_file(log, rf"upgrade: pid {new} is in charge")
    assert os.readlink(f"/proc/{new}/exe") == f"{tmp_path}/first/ccserver"
    with connect_to(address) as client:
        client.ask(*PING)


@pytest.mark.parametrize("what", ["a directory", "not executable", "a dangling link"])
def test_what_is_no_program_is_passed_over(bare, tmp_path, what):
    process, log, _ = bare(f"{tmp_path}/none:{tmp_path}/first:{tmp_path}/old")
    path = tmp_path / "first" / "ccserver"
    if what == "a directory":
        path.mkdir()
    elif what == "not executable":
        path.write_text("text")
    else:
        path.symlink_to("nowhere")
    process.send_signal(signal.SIGUSR2)
    await_file(log, rf"upgrade: starting {tmp_path}/old/ccserver ")
    await_file(log, r"is in charge, this master drains")


def test_a_bare_name_that_is_not_found(bare, tmp_path):
    process, log, address = bare(f"{tmp_path}/old")
    (tmp_path / "old" / "ccserver").unlink()
    process.send_signal(signal.SIGUSR2)
    await_file(log, "upgrade failed: ccserver: not found in PATH; this master goes on")
    with connect_to(address) as client:
        client.ask(*PING)


@pytest.mark.parametrize("path", ["", "/nonexistent"], ids=["empty", "elsewhere"])
def test_a_name_that_never_led_to_the_binary(bare, path):
    """Whoever starts us may call us anything: then it is the path of the binary that counts."""
    process, log, address = bare(path)
    process.send_signal(signal.SIGUSR2)
    await_file(log, "is in charge, this master drains")
    with connect_to(address) as client:
        client.ask(*PING)


def test_a_damaged_binary_is_not_read_by_a_shell(bare, tmp_path):
    process, log, address = bare(f"{tmp_path}/old")
    replace(tmp_path / "old" / "ccserver", f"touch {tmp_path}/executed\n")
    process.send_signal(signal.SIGUSR2)
    await_file(log, "upgrade failed: .*Exec format error; this master goes on")
    assert not (tmp_path / "executed").exists()


# ---- a stop that comes early ----

@pytest.mark.parametrize("pause_ms", [0, 1, 2, 4, 8, 16])
def test_term_while_it_starts(tmp_path, pause_ms):
    conf = tmp_path / "c.conf"
    conf.write_text(f"[server]\nworkers = 4\nlog = {tmp_path}/log\n" + listen("pingpong", bind=own_address()))
    process = subprocess.Popen([harness.BINARY, "-c", conf], start_new_session=True)
    time.sleep(pause_ms / 1000)  # not for an event: whatever it is doing then
    process.terminate()
    assert process.wait(DEADLINE) in (0, -signal.SIGTERM)
    assert not group_members(process.pid)


def test_term_to_pid_1_while_it_starts(tmp_path):
    """The kernel ignores what PID 1 has no handler for. The configuration is read from a pipe: it waits there."""
    if os.geteuid() != 0:
        pytest.skip("a pid namespace needs root")
    os.mkfifo(tmp_path / "c.conf")
    process = subprocess.Popen(["unshare", "-pf", "--kill-child", harness.BINARY, "-c", tmp_path / "c.conf"],
                               start_new_session=True)
    try:
        end = time.monotonic() + DEADLINE
        while not (children := open(f"/proc/{process.pid}/task/{process.pid}/children").read().split()) or \
                "ccserver" not in open(f"/proc/{children[0]}/comm").read() or \
                not re.search(r"(wait_for_partner|fifo_open)", open(f"/proc/{children[0]}/wchan").read()):
            assert time.monotonic() < end
            time.sleep(0.01)
        os.kill(int(children[0]), signal.SIGTERM)
        assert process.wait(DEADLINE) == 128 + signal.SIGTERM
    finally:
        if group_members(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
