"""
The log stalls, fails or goes away: the service does not. Each test lets the log fail, makes master and workers write, and
then expects what expect_healthy() expects of every server: clients are served, a dead worker is replaced, TERM stops it.
"""
import fcntl
import json
import os
import pathlib
import pty
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import termios
import time

import pytest
from harness import BINARY, DEADLINE, SANITIZED, Server, connect_to, cpu_seconds, listen, own_address, process_stat

LOST = r"warn (?:master|worker \d+)\[\d+\]: (\d+) lines? could not be written"
ROOM = 1 << 16


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        found = [int(each) for each in file.read().split()]
    return [each for each in found if (process_stat(each) or "Z")[0] != "Z"]


def until(condition, what):
    end = time.monotonic() + DEADLINE
    while not (value := condition()):
        assert time.monotonic() < end, what
        time.sleep(0.01)
    return value


class Daemon:
    """A server whose standard error is whatever the test says; it is not read here."""

    def __init__(self, directory, log="stderr", stderr=subprocess.DEVNULL, prefix=(), env=None, preexec=None, keys=""):
        self.stats_file, self.address = directory / "stats.json", own_address()
        refusing = own_address()  # nobody listens there
        self.config = directory / "ccserver.conf"
        self.config.write_text(
            f"[server]\nworkers = 2\nwatchdog_timeout = 2s\nlog = {log}\nstats_file = {self.stats_file}\n{keys}"
            + listen("pingpong", bind=self.address)
            + listen("proxy", bind=f"unix:{directory}/proxy", upstream=refusing, protocol="redis"))
        self.proxy = f"unix:{directory}/proxy"
        self.process = subprocess.Popen([*prefix, BINARY, "-c", self.config], stdin=subprocess.DEVNULL, stderr=stderr,
                                        stdout=subprocess.DEVNULL, env={**os.environ, **(env or {})}, preexec_fn=preexec,
                                        start_new_session=True)
        self.pid = self.process.pid

    def wait_ready(self):
        until(self.answers, "it does not start")
        until(lambda: len(children(self.pid)) == 2, "two workers")

    def answers(self):
        assert self.process.poll() is None, f"it has ended with {self.process.returncode}"
        try:
            with connect_to(self.address) as client:
                client.ask(b"ping", b"ping")
        except OSError:
            return False
        return True

    def write_statistics(self):
        """The master writes a table into its log, and then this file."""
        before = self.stats_file.stat().st_ino if self.stats_file.exists() else 0
        os.kill(self.pid, signal.SIGUSR1)
        until(lambda: self.stats_file.exists() and self.stats_file.stat().st_ino != before, "the master is stuck")
        return json.loads(self.stats_file.read_text())

    def flood(self, times=60):
        for _ in range(times):
            self.write_statistics()
        for _ in range(4):  # each is a line of a worker
            with connect_to(self.proxy) as client:
                client.send(b"PING\r\n")
                assert client.recv_exactly(4) == b"-LOA"

    def expect_healthy(self):
        victim = children(self.pid)[0]
        os.kill(victim, signal.SIGKILL)
        until(lambda: victim not in (now := children(self.pid)) and len(now) == 2, "a dead worker is not replaced")
        for _ in range(6):
            assert self.answers()

    def stop(self):
        self.process.terminate()
        assert self.process.wait(DEADLINE) == 0


@pytest.fixture
def daemon(tmp_path):
    started = []

    def start(directory=tmp_path, **options):
        started.append(Daemon(directory, **options))
        started[-1].wait_ready()
        return started[-1]

    yield start
    for each in started:
        try:
            os.killpg(each.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        each.process.wait()


def read_all(fd):
    text = b""
    while select.select([fd], [], [], 0.2)[0] and (data := os.read(fd, ROOM)):
        text += data
    return text.decode().replace("\r\n", "\n")


def expect_whole(text):
    """Every line is one of ours, from its date to its end; returns how many were dropped between them."""
    assert text.endswith("\n")
    for line in text.splitlines():
        assert Server.LINE.match(line), line
        assert len(re.findall(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}", line)) == 1, line
    return sum(int(number) for number in re.findall(LOST, text))


# ---- pipes ----

def test_the_reader_of_the_pipe_is_gone(daemon):
    reader, writer = os.pipe()
    server = daemon(stderr=writer)
    os.close(writer)
    os.close(reader)
    server.flood(3)
    server.expect_healthy()
    before = cpu_seconds(server.pid)
    time.sleep(0.5)  # the time in which a master that spins is seen to
    assert cpu_seconds(server.pid) - before < 0.25
    server.stop()


def test_the_reader_of_the_pipe_is_stuck(daemon):
    reader, writer = os.pipe()
    server = daemon(stderr=writer)
    server.flood(150)
    server.expect_healthy()
    before = read_all(reader)
    server.flood(1)
    after = read_all(reader)
    expect_whole(before)
    assert expect_whole(after) > 100
    assert not fcntl.fcntl(writer, fcntl.F_GETFL) & os.O_NONBLOCK
    server.stop()
    os.close(reader)
    os.close(writer)


def test_session_lines_that_nobody_reads(daemon):
    """One for each session: what does not fit is dropped and counted, and clients are answered."""
    reader, writer = os.pipe()
    server = daemon(stderr=writer, keys="session_log = all\n")
    sessions, shortest = 1500, len(" info worker 0[1]: session 127.0.0.1:1 of pingpong: 0.000 s, 1 messages, ")
    assert sessions * shortest > ROOM
    for _ in range(sessions):
        assert server.answers()
    server.expect_healthy()
    assert sum(worker["log_dropped"] for worker in server.write_statistics()["workers"]) > 0
    expect_whole(read_all(reader))
    server.stop()
    os.close(reader)
    os.close(writer)


def test_standard_error_is_another_users_pipe(daemon):
    """It cannot be opened once more, and is asked for room instead."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    reader, writer = os.pipe()
    os.fchmod(writer, 0)
    binary_folder = os.path.dirname(BINARY)
    if subprocess.run(["test", "-x", BINARY], user=65534, cwd=binary_folder).returncode:
        pytest.skip("the binary cannot be run by nobody")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ccs-"))
    folder.chmod(0o777)
    server = daemon(directory=folder, stderr=writer, preexec=lambda: os.setuid(65534))
    server.flood(150)
    server.expect_healthy()
    expect_whole(read_all(reader))
    server.flood(1)
    assert expect_whole(read_all(reader)) > 100
    assert not fcntl.fcntl(writer, fcntl.F_GETFL) & os.O_NONBLOCK
    server.stop()
    shutil.rmtree(folder)


def test_a_fifo_without_a_reader(daemon, tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    server = daemon(log=fifo)
    for _ in range(2):
        server.flood(3)
        os.kill(server.pid, signal.SIGHUP)
        server.expect_healthy()
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        server.flood(1)
        assert expect_whole(read_all(reader)) > 3
        os.close(reader)
    server.stop()


# ---- terminals ----

def test_a_terminal_that_is_stopped(daemon):
    """As by Ctrl-S. Others who use it are not disturbed by us: its flags are theirs."""
    master, terminal = pty.openpty()
    server = daemon(stderr=terminal)
    read_all(master)
    termios.tcflow(terminal, termios.TCOOFF)
    server.flood(3)
    server.expect_healthy()
    termios.tcflow(terminal, termios.TCOON)
    assert not fcntl.fcntl(terminal, fcntl.F_GETFL) & os.O_NONBLOCK
    server.flood(1)
    assert expect_whole(read_all(master)) > 3
    server.stop()
    os.close(master)
    os.close(terminal)


def test_a_terminal_that_nobody_reads(daemon):
    master, terminal = pty.openpty()
    server = daemon(stderr=terminal)
    server.flood(150)
    server.expect_healthy()
    text = read_all(master)
    server.flood(1)
    assert expect_whole(text + read_all(master)) > 100
    server.stop()
    os.close(master)
    os.close(terminal)


# ---- files ----

def test_a_full_device(daemon):
    server = daemon(log="/dev/full")
    server.flood(3)
    server.expect_healthy()
    server.stop()


def test_a_limit_for_the_size_of_files(daemon, tmp_path):
    """The log gets as far as the limit; the statistics file, which does not fit either, ends nobody."""
    limit, log = 2048, tmp_path / "log"
    server = daemon(log=log, preexec=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    os.kill(server.pid, signal.SIGUSR1)
    until(lambda: log.stat().st_size > limit - 200, "the log does not fill up")
    for _ in range(4):
        server.expect_healthy()
    expect_whole(log.read_text())
    log.rename(tmp_path / "old")
    os.kill(server.pid, signal.SIGHUP)
    until(lambda: log.exists() and re.search(LOST, log.read_text()), "what was dropped is not said")
    server.stop()


def test_an_upgrade_under_a_limit_for_the_size_of_files(daemon, tmp_path):
    """Shared memory is no file: it does not prevent the start of either."""
    limit, log = 1 << 14, tmp_path / "log"
    server = daemon(log=log, env={"NOTIFY_SOCKET": "/nonexistent/manager"},
                    preexec=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    os.kill(server.pid, signal.SIGUSR2)
    new = int(until(lambda: re.search(r"upgrade: pid (\d+) is in charge", log.read_text()), "no upgrade")[1])
    assert server.process.wait(DEADLINE) == 0
    os.kill(new, signal.SIGTERM)
    until(lambda: (process_stat(new) or "Z")[0] == "Z", "the new master does not stop")


def in_mount_namespace(commands):
    """The prefix of a command that sees file systems of its own; others reach them through /proc/PID/root."""
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("needs mount namespaces")
    return ["unshare", "-m", "--propagation", "private", "sh", "-ec", commands + '; exec "$0" "$@"']


def test_a_full_disk(daemon, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    server = daemon(log=disk / "log", prefix=in_mount_namespace(f"mount -t tmpfs -o size=64k none {disk}"))
    seen = f"/proc/{server.pid}/root{disk}"
    with open(f"{seen}/other", "wb", buffering=0) as other:
        with pytest.raises(OSError):
            while other.write(b"x" * 4096):
                pass
    server.flood(20)
    server.expect_healthy()
    expect_whole(open(f"{seen}/log").read())
    os.unlink(f"{seen}/other")
    server.flood(1)
    assert expect_whole(open(f"{seen}/log").read()) > 100
    server.stop()


def test_standard_error_is_closed(daemon):
    """No socket takes its number, to get the lines as a client would."""
    server = daemon(preexec=lambda: os.close(2))
    server.flood(2)
    for pid in [server.pid, *children(server.pid)]:
        assert os.readlink(f"/proc/{pid}/fd/2") == "/dev/null"
    server.expect_healthy()
    server.stop()


# ---- syslog ----

def syslog_namespace(tmp_path):
    dev = tmp_path / "dev"
    dev.mkdir()
    return in_mount_namespace(f"mount -t tmpfs none {dev}; mknod {dev}/null c 1 3; mknod {dev}/urandom c 1 9; "
                              f"chmod 666 {dev}/*; mount --move {dev} /dev")


class Syslogd:
    """What is behind /dev/log of a process."""

    def __init__(self, pid, kind):
        self.path = f"/proc/{pid}/root/dev/log"
        if os.path.lexists(self.path):
            os.unlink(self.path)
        self.socket = socket.socket(socket.AF_UNIX, kind)
        self.socket.bind(self.path)
        self.streams = []
        if kind == socket.SOCK_STREAM:
            self.socket.listen(16)

    def read(self, pattern):
        """Await a message."""
        end, text = time.monotonic() + DEADLINE, b""
        while not re.search(pattern, text):
            assert time.monotonic() < end, text
            for each in select.select([self.socket, *self.streams], [], [], 0.1)[0]:
                if each is self.socket and self.socket.type == socket.SOCK_STREAM:
                    self.streams.append(self.socket.accept()[0])
                else:
                    text += each.recv(ROOM) + (b"\n" if each is self.socket else b"")
        return text

    def close(self):
        for each in [self.socket, *self.streams]:
            each.close()


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM], ids=["datagrams", "stream"])
def test_syslog(daemon, tmp_path, kind):
    """It is not there at first, comes, does not read, and is restarted."""
    server = daemon(log="syslog", prefix=syslog_namespace(tmp_path))
    server.flood(2)
    server.expect_healthy()

    syslogd = Syslogd(server.pid, kind)
    server.flood(1)
    text = syslogd.read(rb"<29>\w{3} [ \d]\d \d\d:\d\d:\d\d ccserver\[\d+\]: master: \w")  # a queue has room for ten
    assert re.search(rb"<28>\w{3} [ \d]\d \d\d:\d\d:\d\d ccserver\[\d+\]: master: \d+ lines could not be written", text)
    assert (b"\0" in text) == (kind == socket.SOCK_STREAM)

    server.flood(300)  # nobody reads now
    server.expect_healthy()

    syslogd.close()
    syslogd = Syslogd(server.pid, kind)
    server.flood(1)
    syslogd.read(rb"master: \d+ lines could not be written")
    server.stop()
    syslogd.close()


# ---- journald ----

def test_lines_for_the_journal_carry_their_level(daemon, tmp_path):
    ours, journal = socket.socketpair()
    status = os.fstat(journal.fileno())
    server = daemon(stderr=journal.fileno(), env={"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}",
                                                         "NOTIFY_SOCKET": "/nonexistent/manager"})
    server.write_statistics()
    server.expect_healthy()
    os.kill(server.pid, signal.SIGUSR2)
    text, numbers = "", {"debug": 7, "info": 6, "notice": 5, "warn": 4, "error": 3}
    while "upgrade: pid" not in text:
        text += read_all(ours.fileno())
    new = int(re.search(r"upgrade: pid (\d+) is in charge", text)[1])
    server.process.wait(DEADLINE)
    os.kill(new, signal.SIGTERM)
    journal.close()
    while data := ours.recv(ROOM):
        text += data.decode()
    assert f"master[{new}]: stopped" in text
    for line in text.splitlines():
        number, rest = re.fullmatch(r"<(\d)>(.*)", line).groups()
        assert numbers[Server.LINE.match(rest)[1]] == int(number)
    ours.close()


def test_lines_in_a_file_carry_no_number(daemon, tmp_path):
    ours, journal = socket.socketpair()
    status = os.fstat(journal.fileno())
    server = daemon(stderr=journal.fileno(), log=tmp_path / "log",
                    env={"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
    server.stop()
    expect_whole((tmp_path / "log").read_text())


def test_what_prevents_the_start_carries_a_level(tmp_path):
    ours, journal = socket.socketpair()
    status = os.fstat(journal.fileno())
    done = subprocess.run([BINARY, "-c", tmp_path / "none"], stderr=journal, timeout=DEADLINE,
                          env={**os.environ, "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
    assert done.returncode == 1
    assert ours.recv(ROOM).decode() == f"<3>{tmp_path}/none: No such file or directory\n"


# ---- the start ----

@pytest.mark.parametrize("flag", ["-t", "-T"])
def test_output_that_cannot_be_written(tmp_path, flag):
    config = tmp_path / "c"
    config.write_text(listen("echo"))
    reader, writer = os.pipe()
    os.close(reader)
    with open("/dev/full", "w") as full:
        for output, error in (writer, "Broken pipe"), (full, "No space left on device"):
            done = subprocess.run([BINARY, flag, "-c", config], stdout=output, stderr=subprocess.PIPE, text=True,
                                  restore_signals=True, timeout=DEADLINE)
            assert (done.returncode, done.stderr) == (1, f"ccserver: standard output: {error}\n")
    os.close(writer)


def test_a_failed_start_does_not_wait_for_a_stuck_reader(tmp_path):
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with pytest.raises(BlockingIOError):
        while os.write(writer, b"x" * 4096):
            pass
    os.set_blocking(writer, True)
    done = subprocess.run([BINARY, "-c", tmp_path / "none"], stderr=writer, timeout=DEADLINE)
    assert done.returncode == 1
    os.close(reader)
    os.close(writer)


# ---- crashes ----

def build_id():
    if not shutil.which("readelf"):
        pytest.skip("needs readelf")
    notes = subprocess.run(["readelf", "-n", BINARY], capture_output=True, text=True).stdout
    return re.search(r"Build ID: ([0-9a-f]+)", notes)[1]


@pytest.mark.parametrize("name", ["ABRT"] if SANITIZED else ["ABRT", "SEGV", "BUS", "FPE", "ILL"])
def test_a_crash_is_reported(serve, name):
    server = serve(listen("pingpong"), workers=2)
    pid = server.worker_pids()[1]
    server.signal(getattr(signal, f"SIG{name}"), pid)
    report = server.wait_log(rf"error worker 1\[{pid}\]: .* by SIG{name} from pid {os.getpid()}, build id (\w+);")
    assert Server.LINE.match(report.string)
    assert report[1] == build_id()
    server.wait_log(rf"error worker 1\[{pid}\]:   worker 1\(\+0x[0-9a-f]+\) \[0x")
    server.wait_log(rf"worker 1 \(pid {pid}\) killed by SIG{name}")
    server.wait_replaced(1, pid)


@pytest.mark.skipif(SANITIZED, reason="the sanitizer reports")
def test_a_crash_of_the_master_does_not_wait_for_a_stuck_reader(daemon):
    reader, writer = os.pipe()
    server = daemon(stderr=writer)
    server.flood(150)
    os.kill(server.pid, signal.SIGSEGV)
    assert server.process.wait(DEADLINE) == -signal.SIGSEGV
    os.close(reader)
    os.close(writer)
