"""
The server under attack: built with the service `nemesis` in a copy of the tree, started from a binary and a
configuration of its own that can be replaced, and followed through its log across generations and masters.
"""
import atexit
import fcntl
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import threading
import time
from datetime import datetime

import harness
from harness import DEADLINE, ROOT, SANITIZED, Server, descriptors, group_members, listen, pool, process_stat
from names import Names

FLAVOUR = ["OPTIMISE=-O1 -g -fno-omit-frame-pointer",
           "FLAVOUR=-fsanitize=address,undefined -fno-sanitize-recover=undefined"] if SANITIZED else []
SOURCES = ("Makefile", "bench", "common", "etc", "master", "proto", "worker")
FULL = 32768  # bytes in the pipe of the log, which takes 64 KiB
SERVICES = ("pingpong", "echo", "bank", "proxy")
POOLS = [pool("books", workers=2), pool("alone", single="on")]  # beside `main`, whose number of workers changes
POOL_WORKERS = 3


def build():
    """The path of the binary with the service `nemesis`; made again only when a source has changed."""
    home = ROOT / "build" / ("chaos-san" if SANITIZED else "chaos")
    tree = home / "tree"
    tree.mkdir(parents=True, exist_ok=True)
    with open(home / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = {"worker/services/nemesis.c": ROOT / "tests/chaos/nemesis.c"}
        for name in SOURCES:
            path = ROOT / name
            for each in [path] if path.is_file() else path.rglob("*"):
                if each.is_file():
                    wanted[str(each.relative_to(ROOT))] = each
        for old in [path for name in SOURCES for path in (tree / name).rglob("*") if path.is_file()]:
            if str(old.relative_to(tree)) not in wanted:
                old.unlink()
        for name, source in wanted.items():
            copy = tree / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            if not copy.exists() or copy.read_bytes() != source.read_bytes():
                shutil.copy(source, copy)
        env = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}
        made = subprocess.run(["make", "-j2", "all", *FLAVOUR], cwd=tree, env=env, capture_output=True, text=True)
        if made.returncode != 0:
            raise SystemExit(made.stdout[-2000:] + made.stderr[-2000:])
    return tree / "build" / "ccserver"


def settings_of(binary, options):
    """The [server] keys of a run."""
    known = subprocess.run([binary, "-T", "-c", ROOT / "etc/ccserver.conf"], capture_output=True, text=True).stdout
    wanted = {"adopt_after": f"{options.adopt_after * 1000:.0f}ms",
              "watchdog_timeout": f"{options.watchdog_timeout * 1000:.0f}ms"}
    return {"workers": options.workers} | {key: value for key, value in wanted.items() if key in known}


def free_ports(count):
    """Ports below the range from which the kernel gives clients theirs."""
    found, port = [], 20_000 + os.getpid() % 8000
    while len(found) < count:
        port += 1
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                found.append(port)
            except OSError:
                pass
    return found


class Reloads:
    """What the log says of them. One that comes while another is under way is answered later, maybe much later."""

    STEP = re.compile(r"reload (deferred|refused)|reload: (?:generation \d+ )?(starts|serves|nothing has changed)")

    def __init__(self):
        self.answers, self.answered_at, self.starting, self.owed = 0, 0, False, False

    def read(self, line, time_of):
        if not (match := self.STEP.search(line)):
            return
        step = match[1] or match[2]
        if step == "deferred":
            self.owed = True
        elif step == "starts" or not self.starting:  # refused, or not needed: that is an answer, too
            self.owed = False
        self.starting = step == "starts" or step == "deferred" and self.starting
        if step in ("serves", "refused", "nothing has changed"):
            self.answers += 1
            self.answered_at = time_of(line)


class Daemon(Server):
    """`pid` is the master in charge, `group` all that the first one has started, `masters` those it has had."""

    def __init__(self, good_binary, upstream, **settings):
        self.good_binary, self.upstream = good_binary, upstream
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="chaos-"))
        atexit.register(shutil.rmtree, self.home, ignore_errors=True)
        self.binary = self.home / "ccserver"
        self.ports = dict(zip([*SERVICES, "nemesis", "extra"], free_ports(len(SERVICES) + 2)))
        self.settings = {"drain_timeout": "2s", "drain_spread": "300ms", "linger_timeout": "1s", "max_sessions": 20_000,
                         "pidfile": self.home / "pid", **settings}
        self.extra, self.max_output = False, "16m"
        self.alive, self.ready_at, self.readies, self.deaths, self.seen = {}, {}, [], [], 0
        self.replaced_codes = {}  # {pid: exit code} of masters that an upgrade has put out of charge
        self.hups, self.reloads, self.written = 0, Reloads(), 0
        self.lock = threading.Lock()
        self.install()
        harness.BINARY = str(self.binary)
        self.names = Names() if os.geteuid() == 0 else None  # a name server of its own, which can be silent
        super().__init__(*self.listeners(), preexec=self.names and self.names.enter, **self.settings)
        self.group, self.masters, self.exit_codes = self.pid, [self.pid], {}
        atexit.register(self.kill_group)

    # ---- what it is started with ----

    def listeners(self):
        def at(name):
            return f"127.0.0.1:{self.ports[name]}"
        made = [listen("pingpong", bind=at("pingpong"), max_output=self.max_output), listen("nemesis", bind=at("nemesis")),
                listen("bank", bind=at("bank"), max_output=self.max_output, pool="books"),
                listen("echo", bind=at("echo"), shutdown_command="off", pool="alone"),
                listen("proxy", bind=at("proxy"), upstream=self.upstream), *POOLS]
        return made + ([listen("pingpong", name="extra", bind=at("extra"))] if self.extra else [])

    def write_config(self, text=None):
        """Replaced by rename: never seen half written. Without `text` it is another file each time, so that a reload
        of it is one."""
        if text is None:
            self.written += 1
            keys = {"stats_file": self.stats_file, **self.settings}
            text = "\n".join([f"# written {self.written}", "[server]"] + [f"{key} = {value}" for key, value in keys.items()])
            text += "\n\n" + "\n".join(self.listeners())
        new = self.dir / "new.conf"
        new.write_text(text)
        new.rename(self.config)
        return text

    def install(self, content=None, mode=0o755):
        """Replace the binary by a copy of the good one, by other content, or by nothing (b"")."""
        new = self.home / "new"
        if content is None:
            shutil.copy(self.good_binary, new)
        else:
            new.write_bytes(content)
        new.chmod(mode)
        new.rename(self.binary)

    # ---- the log ----

    def _read_log(self):
        self.log_goes_on = threading.Event()
        self.log_goes_on.set()
        super()._read_log()

    def _read_stderr(self):
        self.log_goes_on.wait()
        return super()._read_stderr()

    def fill_log(self):
        """Have so much written to the pipe of the log, which nobody reads now, that no line of statistics fits."""
        def waiting():
            return int.from_bytes(fcntl.ioctl(self.process.stderr, termios.FIONREAD, bytes(4)), sys.byteorder)

        before = now = 0
        while now < FULL or now != before:  # the reader may have taken the first ones, as late as it likes
            before, written = now, self.stats_file.stat().st_ino
            super().signal(signal.SIGUSR1)
            end = time.monotonic() + DEADLINE
            while self.stats_file.stat().st_ino == written:
                assert time.monotonic() < end, "no statistics while nobody reads the log"
                time.sleep(0.001)
            now = waiting()

    # ---- what the log says ----

    REPLACED = re.compile(r"guardian: the master that was replaced \(pid (\d+)\) (?:exited with code (\d+)|killed)")
    WORKER = re.compile(r"((?:\w+ )?worker \d+) \(pid (\d+)\) (ready after|killed by (SIG\w+)|exited with code (\d+))")

    @staticmethod
    def time_of(line):
        """Seconds since the epoch, in the middle of the line's millisecond."""
        return datetime.fromisoformat(line[:23]).timestamp() + 0.0005

    def follow(self):
        """Read what is new in the log: who is alive, who has died of what, what has become of reloads."""
        with self.lock:
            while self.seen < len(self.lines):
                line = self.lines[self.seen]
                self.seen += 1
                self.reloads.read(line, self.time_of)
                if match := self.REPLACED.search(line):
                    self.replaced_codes[int(match[1])] = int(match[2] or -1)
                if not (match := self.WORKER.search(line)):
                    continue
                slot, pid, when = match[1], int(match[2]), self.time_of(line)
                if match[3] == "ready after":
                    self.alive[pid] = slot
                    self.ready_at[pid] = when
                    self.readies.append((when, slot, pid))
                else:
                    self.alive.pop(pid, None)
                    # The pid may be another worker's by the time that somebody looks.
                    self.deaths.append((when, slot, pid, match[4] or int(match[5]), self.ready_at.pop(pid, 0)))
            return dict(self.alive)

    def tail(self):
        """The last lines of the log, without the tables of statistics, but with the calls of who was aborted."""
        return "\n".join([line for line in self.lines[-2000:]
                          if " error " in line[:32] or not re.search(r"\]:  |: statistics", line)][-60:])

    def newest(self):
        """{name of the slot, as in the log: pid} of the workers that serve, not of those that leave."""
        newest = {}
        for pid, slot in self.follow().items():
            if slot not in newest or self.ready_at.get(pid, 0) >= self.ready_at.get(newest[slot], 0):
                newest[slot] = pid
        return newest

    def signal(self, number, pid=None):
        self.hups += number == signal.SIGHUP
        super().signal(number, pid)

    def kill(self, pid, number):
        """Signal one of our processes, certainly no stranger. False: it is gone."""
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            return False
        try:
            if (stat := process_stat(pid)) is None or stat[2] != self.group or stat[0] == "Z":
                return False
            signal.pidfd_send_signal(fd, number)
            return True
        except ProcessLookupError:
            return False
        finally:
            os.close(fd)

    # ---- what is measured ----

    def resources(self):
        """Of the master: descriptors and resident memory; of the workers: descriptors of the one with most."""
        status = open(f"/proc/{self.pid}/status").read()
        workers = [len(descriptors(pid)) for pid in self.newest().values()]
        to_guardian = 1 if self.pid != self.process.pid else 0
        return {"master descriptors": len(descriptors(self.pid)) - to_guardian,
                "worker descriptors": max(workers),
                "master KiB": int(re.search(r"VmRSS:\s+(\d+)", status)[1])}

    def members(self):
        return {pid: state for pid, state in group_members(self.group).items() if not self.is_guardian(pid)}

    def ended(self, pid):
        """The exit code of a master that has ended; None while it runs. The first one, now the guardian, reaps the rest."""
        if pid == self.process.pid:
            return self.process.poll()
        self.follow()
        return self.replaced_codes.get(pid)

    def reap(self):
        """Collect masters that have handed over. Anybody else who becomes our child is an orphan, see orphans()."""
        for pid in self.masters[:-1]:
            if pid not in self.exit_codes and (code := self.ended(pid)) is not None:
                self.exit_codes[pid] = code

    def terminate(self):
        """SIGTERM to the master in charge; returns its exit code, which is its guardian's."""
        self.signal(signal.SIGTERM)
        end = time.monotonic() + DEADLINE
        while (code := self.process.poll()) is None:
            assert time.monotonic() < end, "the master still runs"
            time.sleep(0.01)
        return code

    def orphans(self):
        """Of our group, and children of ours or of the guardian: their parents have left them."""
        parents = {os.getpid()} | {pid for pid in [self.process.pid] if self.is_guardian(pid)}
        return [pid for pid in self.members() if pid not in self.masters and not self.is_leak_checker(pid)
                and (stat := process_stat(pid)) and stat[1] in parents]

    def kill_group(self):
        """Whatever happened, nothing stays behind."""
        group = getattr(self, "group", self.pid)
        while group_members(group):
            os.killpg(group, signal.SIGKILL)
            self.process.poll()
            try:
                while os.waitpid(-group, os.WNOHANG)[0]:
                    pass
            except ChildProcessError:
                pass
            time.sleep(0.01)

    def wait_group_gone(self):
        """{pid: state} of what is left of the group after the master's end; leak checkers do not count."""
        end = time.monotonic() + DEADLINE
        while left := {pid: state for pid, state in self.members().items() if not self.is_leak_checker(pid)}:
            self.reap()
            if time.monotonic() > end:
                break
            time.sleep(0.02)
        return left
