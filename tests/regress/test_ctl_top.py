"""ccserverctl top, in a batch and on a terminal."""
import contextlib
import fcntl
import os
import pathlib
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import pytest
from harness import BINARY, DEADLINE, Load, listen, pool, process_stat
from test_ctl_log import following
from test_upgrade import MANAGED

CTL = pathlib.Path(BINARY).with_name("ccserverctl")
VERSION = subprocess.run([BINARY, "-V"], capture_output=True, text=True, check=True).stdout.split()[1]
DONE, NOT_RUNNING, USAGE = 0, 3, 64
PING = b"ping", b"ping"
ESCAPE = re.compile(r"\033\[[0-9;?]*[A-Za-z]")


def ctl(server, *args, **options):
    return subprocess.run([CTL, "-c", server.config, *args], capture_output=True, text=True, timeout=2 * DEADLINE,
                          stdin=subprocess.DEVNULL, **options)


class Page:
    """One screen of it, without its escape codes."""

    def __init__(self, text):
        body, _, self.status = text.partition("\033[J")
        self.lines = [ESCAPE.sub("", line).rstrip() for line in re.split(r"\r?\n", body)]
        self.status = ESCAPE.sub("", self.status)
        heads = [i for i, line in enumerate(self.lines) if re.match("(worker|listener) ", line)]
        self.workers, self.listeners = (self.rows(at) for at in heads) if len(heads) == 2 else ([], [])

    def rows(self, at):
        """[{heading: cell}] of the table whose heading is line `at`."""
        names, found = self.lines[at].split(), []
        for line in self.lines[at + 1:]:
            if not line or line.startswith("("):
                break
            found.append(dict(zip(names, line.split())))
        return found

    def names(self):
        return [row["worker"] for row in self.workers], [row["listener"] for row in self.listeners]


class Terminal:
    """One that it runs on; it is the session's own, unless that has `jobs` to control."""

    def __init__(self, server, *args, rows=24, columns=80, jobs=False):
        self.master, self.slave = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(self.slave)
        self.text = ""
        self.process = subprocess.Popen([CTL, "-c", server.config, "top", *args], stdin=self.slave, stdout=self.slave,
                                        stderr=subprocess.PIPE, env={**os.environ, "TERM": "xterm"},
                                        preexec_fn=lambda: self.begin(jobs))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stderr.close()
        os.close(self.master)
        os.close(self.slave)

    @staticmethod
    def begin(jobs):
        """As a shell starts it: with its own signals, whatever whoever has started the tests ignores."""
        for signo in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
            signal.signal(signo, signal.SIG_DFL)
        if jobs:
            os.setpgrp()
        else:
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def press(self, keys):
        os.write(self.master, keys.encode())

    def read(self, seconds):
        if not select.select([self.master], [], [], max(0, seconds))[0]:
            return False
        self.text += os.read(self.master, 65536).decode()
        return True

    def page(self):
        """The last one that has been written to its end, as far as one can tell."""
        pages = [each for each in self.text.split("\033[H") if "\033[J" in each]
        return Page(pages[-1]) if pages else Page("")

    def await_page(self, good):
        end = time.monotonic() + DEADLINE
        while not good(page := self.page()):
            assert self.read(end - time.monotonic()), "\n".join([*page.lines, page.status])
        return page

    def await_status(self, part):
        return self.await_page(lambda page: part in page.status)

    def await_end(self):
        """Its exit code. What it does at the end is read, too."""
        end = time.monotonic() + DEADLINE
        while self.process.poll() is None:
            assert time.monotonic() < end, self.text[-2000:]
            self.read(0.01)
        while self.read(0):
            pass
        return self.process.returncode

    def await_stopped(self):
        end = time.monotonic() + DEADLINE
        while not os.WIFSTOPPED((status := os.waitpid(self.process.pid, os.WUNTRACED | os.WNOHANG)[1])):
            assert status == 0 and time.monotonic() < end, status
            time.sleep(0.01)
        while self.read(0):
            pass

    def expect_restored(self):
        assert termios.tcgetattr(self.slave) == self.before
        assert self.text.rindex("\033[?1049l") > self.text.rindex("\033[?1049h")
        assert self.text.rindex("\033[?25h") > self.text.rindex("\033[?25l")

    def expect_taken(self):
        assert not termios.tcgetattr(self.slave)[3] & (termios.ICANON | termios.ECHO)


def number(cell):
    """12.3k, 4.5MiB, 1.2ms, - as a number."""
    match = re.fullmatch(r"([\d.]+)([kKMG]?)(i?B)?", cell)
    return float(match[1]) * {"": 1, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9}[match[2]]


@pytest.fixture
def two_pools(serve):
    """Two workers of main with 1 session, one of "two" with 3."""
    server = serve(listen("pingpong", name="echo"), listen("pingpong", pool="two"), pool("two", workers=1), workers=2)
    ctl(server, "wait", "--ready")
    server.connect("echo").ask(*PING)
    for _ in range(3):
        server.connect("pingpong").ask(*PING)
    return server


# ---- in a batch ----

def test_batch_under_load(serve):
    """Rates are those of the time between two screens, and totals add up."""
    server = serve(listen("pingpong", max_frame=64), listen("echo", name="a-name-longer-than-its-column-is-wide"), workers=2)
    with Load(server, "pingpong", *PING) as load:
        before, begun = load.connected, time.monotonic()
        done = ctl(server, "top", "-b", "-n", "3", "-d", "0.5")
        rate = (load.connected - before) / (time.monotonic() - begun)
    assert done.returncode == DONE and done.stderr == ""
    assert "\033" not in done.stdout and max(len(line) for line in done.stdout.splitlines()) <= 80
    pages = [Page(text) for text in re.split(r"\n\n(?=ccserver )", done.stdout)]
    assert len(pages) == 3
    for page in pages[1:]:
        assert page.names() == ([each["worker"] for each in page.workers], ["pingpong", "a-name-longer-t+"])
        assert sorted(page.names()[0]) == ["0", "1"]
        by_worker = sum(number(row["msg/s"]) for row in page.workers)
        traffic = page.listeners[0]
        assert rate / 4 < number(traffic["new/s"]) < rate * 4 + 50
        assert by_worker == pytest.approx(number(traffic["msg/s"]), rel=0.3, abs=20)
        assert number(traffic["in/s"]) > 0 and number(traffic["out/s"]) > 0
        assert all(number(row["memory"]) > 1e5 and 0 <= number(row["cpu%"]) < 150 for row in page.workers)
        head = re.search(r"^sessions \S+, new (\S+)/s, messages (\S+)/s, in \S+/s, out \S+/s$", "\n".join(page.lines), re.M)
        assert number(head[1]) == pytest.approx(number(traffic["new/s"]), rel=0.01)
    assert any(number(row["cpu%"]) > 0 for page in pages for row in page.workers)
    assert len({page.listeners[0]["msg/s"] for page in pages}) > 1


def test_batch_of_an_idle_server(two_pools):
    page = Page(ctl(two_pools, "top", "-bn1").stdout)
    assert re.fullmatch(rf"ccserver \S+, serving for \S+, pid {two_pools.pid}, generation 1, \d\d:\d\d:\d\d", page.lines[0])
    assert page.lines[1] == "sessions 4, new 0/s, messages 0/s, in 0B/s, out 0B/s"
    assert page.lines[2].split() == ["last", "reload", "none", "yet"]
    assert page.names() == (["0", "1", "two/0"], ["echo", "pingpong"])
    pids = [*two_pools.worker_pids().values(), *two_pools.worker_pids("two").values()]
    assert [int(row["pid"]) for row in page.workers] == pids
    assert [row["sessions"] for row in page.listeners] == ["1", "3"] and page.workers[2]["sessions"] == "3"
    assert {(row["state"], row["adopts"]) for row in page.workers} == {("ready", "0")}


def test_batch_ends_with_its_reader(two_pools):
    with following(two_pools, "top", "-b", "-d", "60") as wait_for:
        wait_for("^listener ")
        wait_for.process.stdout.close()
        assert wait_for.process.wait(DEADLINE) in (DONE, 1)


def test_batch_while_everything_hangs(serve):
    server = serve(listen("pingpong"), workers=2, watchdog_timeout="60s")
    stopped = [server.pid, *server.worker_pids().values()]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        assert Page(ctl(server, "top", "-b", "-n", "1").stdout).names() == (["0", "1"], ["pingpong"])
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)


def test_batch_across_upgrades(serve):
    """Also when the master that it began with is gone: its memory lives on in the next one's."""
    server = serve(listen("pingpong"), env=MANAGED)
    with following(server, "top", "-b", "-d", "0.1") as wait_for:
        wait_for(rf"^ccserver .* pid {server.pid}, ")
        for _ in range(2):
            old = server.pid
            server.upgrade()
            server.wait_replaced_masters()
            wait_for(rf"^ccserver .* pid {server.pid}, ")
            assert process_stat(old) is None and server.pid != old
        server.connect("pingpong").ask(*PING)
        wait_for("^pingpong +1 ")
        server.clients.pop().close()
        server.signal(signal.SIGTERM)
        assert wait_for.process.wait(DEADLINE) == NOT_RUNNING
        assert b"no server runs with" in wait_for.process.stderr.read()


@pytest.mark.parametrize("args, complaint", [
    (["top"], "not a terminal"), (["top", "-b", "-n", "0"], "-n: not a number"), (["top", "-b", "x"], "too many"),
    (["top", "-b", "-d", "0.05"], "-d: not a number of seconds"), (["top", "-b", "-d", "nan"], "-d: not a number of seconds"),
    (["top", "-b", "-d", "1x"], "-d: not a number of seconds"), (["status", "-b"], "status: an option that is not for it"),
    (["-f", "top", "-b"], "top: an option that is not for it")])
def test_wrong_usage(args, complaint):
    done = subprocess.run([CTL, *args], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == USAGE and complaint in done.stderr


# ---- on a terminal ----

def test_order(two_pools):
    with Terminal(two_pools) as terminal:
        page = terminal.await_page(lambda page: len(page.workers) == 3)
        terminal.expect_taken()
        assert "by cpu, each 1 s" in terminal.await_status("help").status
        terminal.press("S")
        page = terminal.await_status("by sessions")
        assert page.names()[0][0] == "two/0" and page.names()[1] == ["pingpong", "echo"]
        terminal.press("N")
        assert terminal.await_status("by name").names() == (["0", "1", "two/0"], ["echo", "pingpong"])
        terminal.press("r")
        assert terminal.await_status("by name in reverse").names() == (["two/0", "1", "0"], ["pingpong", "echo"])
        terminal.press("M")
        memory = [number(row["memory"]) for row in terminal.await_status("by memory,").workers]
        assert memory == sorted(memory, reverse=True)
        terminal.press("\033[A\033OS\033[1;5Rr")  # up, F4, and F3 with Control: no order of ours
        terminal.await_status("by memory in reverse")
        terminal.press("P")
        terminal.await_status("by cpu")
        terminal.press("Nr")
        terminal.await_status("by name in reverse")
        with Load(two_pools, "echo", *PING):
            terminal.press("R")
            terminal.await_page(lambda page: "by messages" in page.status and page.names()[1][0] == "echo" and
                                page.names()[0][2] == "two/0" and number(page.listeners[0]["msg/s"]) > 0)
        terminal.press("q")
        assert terminal.await_end() == DONE
        terminal.expect_restored()


def test_filter(two_pools):
    with Terminal(two_pools) as terminal:
        terminal.await_page(lambda page: page.workers)  # until then the terminal edits the line itself
        terminal.press("/zZ\x7f\x15TWO")
        terminal.await_status("only names with: TWO_")
        terminal.press("\r")
        page = terminal.await_status("only TWO")
        assert page.names() == (["two/0"], []) and page.lines[1].startswith("sessions 4,")
        terminal.press("/x")
        terminal.await_status("only names with: x_")
        terminal.press("\033")
        assert terminal.await_status("only TWO").names() == (["two/0"], [])
        terminal.press("/\n")
        assert len(terminal.await_page(lambda page: "only" not in page.status).workers) == 3
        terminal.press("o0\n")
        assert terminal.await_status("only 0").names() == (["0", "two/0"], [])
        terminal.press("=")
        terminal.await_page(lambda page: len(page.workers) == 3)
        terminal.press("/q")  # a letter of a text, not a command
        terminal.await_status("only names with: q_")
        terminal.press("\033")
        terminal.await_status("by cpu")
        terminal.press("q")
        assert terminal.await_end() == DONE


def test_help_and_delay(two_pools):
    with Terminal(two_pools, "-d", "60") as terminal:
        terminal.await_status("each 60 s; h: help")
        terminal.press("h")
        assert len(terminal.await_status("q quit").status) < 80
        terminal.press("?")
        terminal.await_status("d delay")
        terminal.press("h")
        two_pools.connect("echo").ask(*PING)
        terminal.press(" ")
        terminal.await_page(lambda page: page.lines[1].startswith("sessions 5,"))
        terminal.press("d0.2\n")
        terminal.await_status("each 0.2 s")
        two_pools.connect("echo").ask(*PING)
        terminal.await_page(lambda page: page.lines[1].startswith("sessions 6,"))
        terminal.press("d0\n")
        terminal.await_status("each 0.2 s")
        terminal.press("q")
        assert terminal.await_end() == DONE


def test_so_many_screens(two_pools):
    with Terminal(two_pools, "-n", "2", "-d", "0.1") as terminal:
        assert terminal.await_end() == DONE
        terminal.expect_restored()
        assert terminal.text.count("\033[J") == 2


def test_height(serve):
    """What does not fit is counted, and shown when there is room; each of the tables has its share."""
    server = serve(*(listen("pingpong", name=f"l{i}") for i in range(10)), workers=12)
    with Terminal(server, rows=18, columns=60) as terminal:
        page = terminal.await_page(lambda page: page.workers)
        assert len(page.workers) == 4 and "(8 more)" in page.lines
        assert len(page.listeners) == 4 and page.lines[-1] == "" and "(6 more)" in page.lines
        assert max(map(len, page.lines)) <= 60 and len(page.lines) <= 18
        terminal.press("/l9\n")
        page = terminal.await_status("only l9")
        assert page.names() == ([], ["l9"])
        terminal.press("=")
        terminal.resize(40, 200)
        page = terminal.await_page(lambda page: len(page.workers) == 12)
        assert len(page.listeners) == 10 and not any("more)" in line for line in page.lines)
        terminal.resize(3, 20)
        terminal.await_page(lambda page: len(page.lines) <= 3)
        terminal.press("q")
        assert terminal.await_end() == DONE


@pytest.mark.parametrize("how", ["key", signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=str)
def test_signal_that_ends_it(two_pools, how):
    with Terminal(two_pools) as terminal:
        terminal.await_page(lambda page: page.workers)
        if how == "key":
            terminal.press("\x03")
        else:
            terminal.process.send_signal(how)
        assert terminal.await_end() == -(signal.SIGINT if how == "key" else how)
        terminal.expect_restored()


def test_stop_and_go_on(two_pools):
    """What Ctrl-Z and fg do: the shell has its terminal meanwhile."""
    with Terminal(two_pools, jobs=True) as terminal:
        terminal.await_page(lambda page: page.workers)
        for _ in range(2):
            terminal.process.send_signal(signal.SIGTSTP)
            terminal.await_stopped()
            terminal.expect_restored()
            terminal.text = ""
            terminal.process.send_signal(signal.SIGCONT)
            terminal.await_page(lambda page: page.workers)
            terminal.expect_taken()
            assert "\033[?1049h" in terminal.text
        terminal.process.send_signal(signal.SIGSTOP)  # nobody is asked; then the shell puts its terminal in order itself
        terminal.await_stopped()
        termios.tcsetattr(terminal.slave, termios.TCSANOW, terminal.before)
        terminal.process.send_signal(signal.SIGCONT)
        terminal.press("N")
        terminal.await_status("by name")
        terminal.expect_taken()
        terminal.press("q")
        assert terminal.await_end() == DONE
        terminal.expect_restored()


def test_a_terminal_that_takes_nothing(two_pools):
    """Its reader hangs in the middle of a page: it can be ended, and its modes are put back."""
    with Terminal(two_pools, "-d", "0.1") as terminal:
        terminal.await_page(lambda page: page.workers)
        end = time.monotonic() + DEADLINE
        while select.select([], [terminal.slave], [], 0)[1]:
            assert time.monotonic() < end
            time.sleep(0.05)
        time.sleep(0.5)  # it waits in write() by now
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.process.wait(DEADLINE) == -signal.SIGTERM
        assert termios.tcgetattr(terminal.slave) == terminal.before


def test_a_terminal_that_goes(two_pools):
    with Terminal(two_pools) as terminal:
        terminal.await_page(lambda page: page.workers)
        for fd in terminal.master, terminal.slave:
            os.close(fd)
        terminal.master, terminal.slave = (os.open("/dev/null", os.O_RDWR) for _ in range(2))
        assert terminal.process.wait(DEADLINE) in (DONE, -signal.SIGHUP)


def test_the_server_goes(serve):
    server = serve(listen("pingpong"))
    with Terminal(server, "-d", "0.1") as terminal:
        terminal.await_page(lambda page: page.workers)
        server.upgrade()
        terminal.await_page(lambda page: f"pid {server.pid}, " in page.lines[0])
        server.signal(signal.SIGTERM)
        assert terminal.await_end() == NOT_RUNNING
        terminal.expect_restored()
        assert b"no server runs with" in terminal.process.stderr.read()


@pytest.mark.parametrize("kind", ["", "dumb"])
def test_a_terminal_that_is_none(two_pools, kind, monkeypatch):
    monkeypatch.setenv("TERM", kind)
    master, slave = pty.openpty()
    try:
        done = subprocess.run([CTL, "-c", two_pools.config, "top"], stdin=slave, stdout=slave, stderr=subprocess.PIPE,
                              timeout=DEADLINE)
        assert (done.returncode == USAGE and b"not a terminal" in done.stderr) == (kind == "dumb")
    except subprocess.TimeoutExpired:
        assert kind == ""
    finally:
        os.close(master)
        os.close(slave)


# ---- memory that somebody else has written ----

FAKE = """
import os, sys, time
area = os.memfd_create("ccserver-stats")
with open(f"/proc/{sys.argv[1]}/fd/{sys.argv[2]}", "rb") as source:
    data = source.read()
# The pid of the master stands before its version; the same bytes may stand for anything elsewhere.
pid, version = int(sys.argv[1]).to_bytes(4, "little"), sys.argv[3].encode()
assert data.count(pid + version) == 1
data = data.replace(pid + version, os.getpid().to_bytes(4, "little") + version)
for pair in sys.argv[4:]:
    old, new = (bytes.fromhex(each) for each in pair.split("="))
    assert old in data and len(old) == len(new)
    data = data.replace(old, new)
os.write(area, data)
print("ready", flush=True)
time.sleep(60)
"""


@contextlib.contextmanager
def forged(server, **replaced):
    """The pid of a process with the memory of `server`, in which texts are replaced by bytes of the same length."""
    folder = pathlib.Path(f"/proc/{server.pid}/fd")
    fd = next(each.name for each in folder.iterdir() if os.readlink(each).startswith("/memfd:ccserver-stats (del"))
    pairs = [f"{old.encode().hex()}={new.hex()}" for old, new in replaced.items()]
    with subprocess.Popen(["ccserver: master", "-c", FAKE, str(server.pid), fd, VERSION, *pairs], executable=sys.executable,
                          stdout=subprocess.PIPE) as fake:
        try:
            assert fake.stdout.readline() == b"ready\n"
            yield fake.pid
        finally:
            fake.kill()


def test_text_that_would_steer_the_terminal(serve):
    other = listen("pingpong", pool="pool_name"), pool("pool_name", workers=1)
    server = serve(listen("pingpong", name="listener_name"), *other, workers=1)
    ctl(server, "wait", "--ready")
    server.configure(listen("pingpong", name="listener_name", nonsense=1), *other)
    assert ctl(server, "reload").returncode == 1
    evil = {"listener_name": b"\x1b]0;listen\x9b1\x07", "pool_name": b"p\x1b[2Jl\nn\r", "nonsense": b"n\x1bc\xc2\x9bse\xff",
            "ready": b"\x1b[1mE"}
    with forged(server, **evil) as pid:
        for args in ["top", "-b", "-n1"], ["log"], ["status"], ["workers"], ["listeners"], ["pools"]:
            shown = subprocess.run([CTL, "-p", str(pid), *args], capture_output=True, check=True).stdout
            assert args[0] not in ("log", "status") or re.search(rb"n\?c.*se\?", shown)
            assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f\xff]|\xc2[\x80-\x9f]|[^\xc2]\x9b", shown), shown
        page = Page(subprocess.run([CTL, "-p", str(pid), "top", "-bn1"], capture_output=True, text=True, check=True).stdout)
        assert max(map(len, page.lines)) == 80  # the text of the refusal is longer
        assert page.listeners[0]["listener"] == "?]0;listen?1?"
        assert [row["worker"] for row in page.workers] == ["0", "p?[2Jl?n?/0"] and page.workers[0]["state"] == "?[1mE"
