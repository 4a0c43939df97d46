"""
The daemon under test: the real binary, in a directory and process group of its own, over real sockets.

    server = Server(listen("echo"), workers=1)      listen() writes a section, keywords go to [server]
    client = server.connect("echo")                 every call on a client has a deadline
    server.wait_log("worker 1 .* ready")            awaits a line, does not sleep
    server.stats()["listeners"]                     SIGUSR1, then the JSON file
    server.reload(listen("bank"), workers=3)        a new configuration, in effect on return
    server.upgrade()                                SIGUSR2; server.pid is the new master's from then on, while
                                                    server.process stays as its guardian (not with a manager)
    server.finish()                                 the footer of every test: see there

Everything that waits gives up with an AssertionError after DEADLINE seconds.
"""
import atexit
import ctypes
import json
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.path.abspath(os.environ.get("CCSERVER", ROOT / "build" / "ccserver"))
DEADLINE = float(os.environ.get("CCSERVER_DEADLINE", 15))
SANITIZED = os.path.exists(BINARY) and b"__asan_init" in pathlib.Path(BINARY).read_bytes()
MIB = 1 << 20
TICK = 0.002  # the server's clock counts whole milliseconds: that much earlier is not too early

# Processes whose parent dies become ours: they can be seen, awaited and reaped, wherever the tests run.
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def listen(service, name=None, bind="127.0.0.1:0", **keys):
    """The text of a [listen NAME] section."""
    lines = [f"[listen {name or service}]", f"service = {service}"] + ([f"bind = {bind}"] if bind else [])
    return "\n".join(lines + [f"{key} = {value}" for key, value in keys.items()]) + "\n"


def pool(name, **keys):
    """The text of a [pool NAME] section."""
    return "\n".join([f"[pool {name}]"] + [f"{key} = {value}" for key, value in keys.items()]) + "\n"


def own_address():
    """An address that no other test has, free to be bound now, later, and again."""
    pid = os.getpid()
    host = f"127.{(pid >> 16) % 128 + 1}.{pid >> 8 & 255}.{pid & 255}"
    with socket.socket() as sock:
        sock.bind((host, 0))
        return f"{host}:{sock.getsockname()[1]}"


def first_difference(got, wanted):
    at = next((i for i, (a, b) in enumerate(zip(got, wanted)) if a != b), min(len(got), len(wanted)))
    pieces = f"{got[at:at + 40]!r} instead of {wanted[at:at + 40]!r}"
    return f"{len(got)} bytes instead of {len(wanted)}, at byte {at}: {pieces}"


def random_bytes(size, seed=1):
    """Bytes in which no piece resembles another, so that a lost or doubled one is noticed."""
    import random
    return random.Random(seed).randbytes(size)


class Client:
    """One connection; over TCP without Nagle's delay."""

    def __init__(self, sock):
        self.socket = sock
        sock.settimeout(DEADLINE)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        self.socket.sendall(data)

    def recv_exactly(self, size):
        end, parts, left = time.monotonic() + DEADLINE, [], size
        while left > 0:
            self.socket.settimeout(max(0.001, end - time.monotonic()))
            try:
                part = self.socket.recv(min(left, MIB))
            except TimeoutError:
                part = None
            so_far = f"{size - left} of {size} bytes: ...{b''.join(parts[-3:])[-80:]!r}"
            assert part is not None, f"nothing more came after {so_far}"
            assert part, f"closed after {so_far}"
            parts.append(part)
            left -= len(part)
        return b"".join(parts)

    def expect(self, data):
        got = self.recv_exactly(len(data))
        assert got == data, first_difference(got, data)

    def ask(self, data, reply):
        self.send(data)
        self.expect(reply)

    def recv_to_end(self):
        """All bytes until the orderly end of the stream; a reset is an error."""
        parts = []
        self.socket.settimeout(DEADLINE)
        try:
            while part := self.socket.recv(MIB):
                parts.append(part)
        except TimeoutError:
            raise AssertionError(f"no end after {b''.join(parts)[-80:]!r}") from None
        return b"".join(parts)

    def expect_end(self, data=b""):
        """Exactly `data` still comes, then the orderly end of the stream."""
        got = self.recv_to_end()
        assert got == data, first_difference(got, data)

    def expect_gone(self):
        """The connection ends, somehow; what still comes is not looked at."""
        try:
            self.recv_to_end()
        except ConnectionError:
            pass

    def expect_silence(self, seconds=0.1):
        """Nothing arrives, not even an end, for this long."""
        assert not select.select([self.socket], [], [], seconds)[0], self.socket.recv(200)

    def expects_data(self):
        """Await what comes next: True for a byte, False for the orderly end."""
        self.socket.settimeout(DEADLINE)
        return bool(self.socket.recv(1, socket.MSG_PEEK))

    def half_close(self):
        self.socket.shutdown(socket.SHUT_WR)

    def abort(self):
        """Close with a RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self):
        self.socket.close()

    def send_until_stuck(self, data, patience=0.3):
        """Send without reading until nothing more is taken; the number of bytes that were."""
        self.socket.setblocking(False)
        sent = 0
        with memoryview(data) as view:
            while sent < len(data) and select.select([], [self.socket], [], patience)[1]:
                try:
                    sent += self.socket.send(view[sent:sent + MIB])
                except BlockingIOError:
                    pass
        self.socket.settimeout(DEADLINE)
        return sent

    def exchange(self, data, size):
        """Send `data` while reading `size` bytes, as they come; returns what was read."""
        end, sent, got = time.monotonic() + DEADLINE, 0, bytearray()
        self.socket.setblocking(False)
        with memoryview(data) as view:
            while sent < len(data) or len(got) < size:
                assert time.monotonic() < end, f"{sent} of {len(data)} sent, {len(got)} of {size} received"
                want = [self.socket]
                readable, writable, _ = select.select(want, want if sent < len(data) else [], [], 1)
                try:
                    if writable:
                        sent += self.socket.send(view[sent:sent + MIB])
                    if readable:
                        part = self.socket.recv(MIB)
                        assert part, f"closed after {len(got)} of {size} bytes"
                        got += part
                except BlockingIOError:
                    pass
        self.socket.settimeout(DEADLINE)
        return bytes(got)


def connect_to(address, small_buffers=False):
    """A client for "127.0.0.1:80", "[::1]:80", "unix:/path"; small buffers: the kernel pushes back sooner."""
    if address.startswith("unix:"):
        family, target = socket.AF_UNIX, address[5:]
    else:
        host, port = address.rsplit(":", 1)
        family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
        target = (host.strip("[]"), int(port))
    sock = socket.socket(family)
    try:
        if small_buffers:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        sock.settimeout(DEADLINE)
        sock.connect(target)
    except BaseException:
        sock.close()
        raise
    return Client(sock)


class Upstream:
    """A listening socket for the proxy to connect to, played by the test."""

    def __init__(self, backlog=16, small_buffers=False):
        self.socket = socket.socket()
        if small_buffers:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        self.socket.bind(("127.0.0.1", 0))
        if backlog is not None:
            self.socket.listen(backlog)
        self.socket.settimeout(DEADLINE)
        self.address = "127.0.0.1:%d" % self.socket.getsockname()[1]

    def accept(self):
        return Client(self.socket.accept()[0])

    def close(self):
        self.socket.close()


def process_stat(pid):
    """(state, parent, group, cpu seconds) of a process, or None."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    field = text[text.rindex(")") + 2:].split()
    ticks = int(field[11]) + int(field[12])
    return field[0], int(field[1]), int(field[2]), ticks / os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    return process_stat(pid)[3]


def resident_peak(pid):
    """The most memory the process has ever had, in bytes."""
    return int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1]) * 1024


def descriptors(pid):
    found = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
        except FileNotFoundError:  # just closed
            pass
    return sorted(found)


def title(pid):
    """As ps shows it: padding is not part of it."""
    return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode().rstrip()


def wait_exit(pid):
    """Await the end of any process (a zombie has ended)."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([fd], [], [], DEADLINE)[0], f"process {pid} still runs"
    finally:
        os.close(fd)


def exit_code(pid):
    """Await the end of a process that is our child, or becomes it when its parent has ended; as in subprocess."""
    wait_exit(pid)
    end = time.monotonic() + DEADLINE
    while True:
        try:
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        except ChildProcessError:  # its parent, a master that drains, has not ended yet
            assert time.monotonic() < end and process_stat(pid), f"the parent of {pid} has reaped it"
            time.sleep(0.01)


def await_file(path, pattern):
    """Await a line in a file; for want of an event it is read again and again. The match."""
    end, regex = time.monotonic() + DEADLINE, re.compile(pattern)
    while not path.exists() or not (match := regex.search(path.read_text())):
        assert time.monotonic() < end, path.read_text() if path.exists() else f"no {path}"
        time.sleep(0.02)
    return match


def group_members(group):
    """{pid: state} of all processes of a group, zombies included."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (stat := process_stat(name)) and stat[2] == group:
            found[int(name)] = stat[0]
    return found


class Load:
    """
    with Load(server, "pingpong", b"ping", b"ping") as load: clients in threads that connect, ask, are answered and
    leave, one after the other, as fast as they can, until the block ends.
    """

    def __init__(self, server, name, question, answer, threads=2):
        self.address, self.question, self.answer = server.addresses[name][0], question, answer
        self.refused, self.ended, self.wrong, self.counts = [], [], [], [0] * threads
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._knock, args=[i]) for i in range(threads)]

    def _knock(self, number):
        while not self._stop.is_set() and len(self.refused) < 1000:
            try:
                client = connect_to(self.address)
            except OSError as error:
                self.refused.append(error)
                continue
            with client:
                self.counts[number] += 1
                try:
                    client.send(self.question)
                    got = client.recv_exactly(len(self.answer))
                except (AssertionError, ConnectionError) as error:
                    self.ended.append(error)
                else:
                    self.wrong += [got] if got != self.answer else []

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        self.wait_more(20)
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def connected(self):
        """How many connections were opened, answered or not."""
        return sum(self.counts)

    def wait_more(self, number):
        """Await that so many more connections have been opened."""
        wanted, end = self.connected + number, time.monotonic() + DEADLINE
        while self.connected < wanted and not self.refused:
            assert time.monotonic() < end, f"only {self.connected} connections instead of {wanted}"
            time.sleep(0.002)

    def expect_perfect(self):
        assert not self.refused, f"{len(self.refused)} refused, {self.connected} not: {self.refused[0]!r}"
        assert not self.ended, f"{len(self.ended)} of {self.connected} not answered: {self.ended[0]!r}"
        assert not self.wrong, f"{len(self.wrong)} wrong of {self.connected}: {self.wrong[0]!r}"


class Server:
    LINE = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} (debug|info|notice|warn|error|fatal) "
                      r"(master|(?:[\w-]+ )?worker \d+)\[\d+\]: ")

    def __init__(self, *sections, args=(), ready=True, preexec=None, binary=None, env=None, **keys):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="ccs-"))
        atexit.register(shutil.rmtree, self.dir, ignore_errors=True)
        self.stats_file = self.dir / "stats.json"
        self.config = self.dir / "ccserver.conf"
        self.keys = {"workers": 2, "stats_file": self.stats_file, "drain_spread": 0}  # nobody waits for leavers
        self.touched = 0
        self.configure(*sections, **keys)
        self.clients, self.lines, self.addresses, self.baseline = [], [], {}, {}
        self._log_changed, self._log_ended, self._usr1 = threading.Condition(), False, threading.Lock()
        environment = {**self.environment(), **(env or {})}
        self.stays = not environment.get("NOTIFY_SOCKET")  # the first process, after an upgrade
        self.process = subprocess.Popen(
            [binary or BINARY, "-c", self.config, *args], cwd=self.dir, env=environment,
            start_new_session=True, preexec_fn=preexec, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE)
        self.pid = self.group = self.process.pid
        self.replaced = []  # masters that an upgrade has put out of charge
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        if ready:
            try:
                self.wait_ready()
            except BaseException:
                self.kill_group()
                raise

    def configure(self, *sections, **keys):
        """Write the configuration file: new sections if there are any, new values of keys of [server]."""
        self.sections = sections or self.sections
        self.keys.update(keys)
        lines = ["[server]"] + [f"{key} = {value}" for key, value in self.keys.items()]
        self.config.write_text("\n".join(lines) + "\n\n" + "\n".join(self.sections))

    def touch(self):
        """Make the file another one that means the same: SIGHUP does next to nothing when it has not changed."""
        self.touched += 1
        with open(self.config, "a") as config:
            config.write(f"# touched {self.touched}\n")

    def environment(self):
        def options(name, extra):
            return ":".join(filter(None, [os.environ.get(name), extra, f"log_path={self.dir}/sanitizer"]))
        return {**os.environ, "RUNTIME_DIRECTORY": str(self.dir), "ASAN_OPTIONS": options("ASAN_OPTIONS", ""),
                "UBSAN_OPTIONS": options("UBSAN_OPTIONS", "print_stacktrace=1")}

    # ---- the log ----

    def _read_stderr(self):
        return os.read(self.process.stderr.fileno(), 65536)

    def _read_log(self):
        rest = b""
        while data := self._read_stderr():
            *lines, rest = (rest + data).split(b"\n")
            with self._log_changed:
                self.lines += [line.decode(errors="replace") for line in lines]
                self._log_changed.notify_all()
        with self._log_changed:
            self.lines += [rest.decode(errors="replace")] if rest else []
            self._log_ended = True
            self._log_changed.notify_all()

    def mark(self):
        """A position in the log, for wait_log(since=...)."""
        return len(self.lines)

    def wait_log(self, pattern, since=0, seconds=None):
        """The match of `pattern` in the first line that has one, at or after `since`; awaits it."""
        regex, at, end = re.compile(pattern), since, time.monotonic() + (seconds or DEADLINE)
        with self._log_changed:
            while True:
                while at < len(self.lines):
                    if match := regex.search(self.lines[at]):
                        return match
                    at += 1
                assert not self._log_ended, f"the log ended without {pattern!r}:\n{self.tail()}"
                left = end - time.monotonic()
                assert left > 0, f"no {pattern!r} in the log:\n{self.tail()}"
                self._log_changed.wait(left)

    def wait_log_end(self):
        """Await that no process holds the log any more; they are all gone then."""
        self._reader.join(DEADLINE)
        assert self._log_ended, f"still there: {group_members(self.group)}"

    def tail(self):
        return "\n".join(self.lines[-40:])

    # ---- life ----

    def wait_ready(self):
        self.workers = int(self.wait_log(r"ready: (\d+) workers?, \d+ listeners?")[1])
        for line in list(self.lines):
            if match := re.search(r"listening on (\S+) \((.+)\)$", line):
                self.addresses.setdefault(match[2], []).append(match[1])
        for line in list(self.lines):
            if match := re.search(r"worker \d+ \(pid (\d+)\) ready", line):
                self.baseline[int(match[1])] = None
        for pid in [self.pid, *self.baseline]:
            self.baseline[pid] = descriptors(pid)

    def signal(self, number, pid=None):
        if number in (signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU):
            self.baseline.clear()  # queues, once bound, stay; tests/chaos sees to it that they do not grow
        os.kill(pid or self.pid, number)

    def wait(self):
        """The master's exit code, which is its guardian's."""
        if self.pid != self.process.pid and not self.stays:
            return exit_code(self.pid)
        try:
            return self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the master still runs:\n{self.tail()}") from None

    def wait_replaced(self, slot, old_pid):
        """The pid that replaced `old_pid`, once ready."""
        gone = self.wait_log(rf"worker {slot} \(pid {old_pid}\) (killed|exited)")
        since = next(i for i, line in enumerate(self.lines) if line == gone.string)
        return int(self.wait_log(rf"worker {slot} \(pid (\d+)\) ready", since=since)[1])

    def reload(self, *sections, **keys):
        """Change the configuration as configure() does; the new generation, which serves on return."""
        if sections or keys:
            self.configure(*sections, **keys)
            self.baseline.pop(self.pid, None)  # as many sockets as before only if nothing changes
        since = self.mark()
        self.touch()
        self.signal(signal.SIGHUP)
        generation = int(self.wait_log(r"reload: generation (\d+) serves", since=since)[1])
        text = "\n".join(self.sections)
        binds = re.findall(r"^\[listen (\S+)\](?:\n(?!\[).*)*?\nbind = (.+)", text, re.M)
        self.addresses.update({name: bind.split(", ") for name, bind in binds if not bind.endswith(":0")})
        return generation

    def upgrade(self):
        """Start the binary anew; on return the new master is in charge, and the old one drains."""
        since = self.mark()
        self.signal(signal.SIGUSR2)
        pid = int(self.wait_log(r"upgrade: pid (\d+) is in charge", since=since)[1])
        self.replaced.append(self.pid)
        self.pid = pid

    def wait_replaced_masters(self):
        """Await that the masters which an upgrade has put out of charge have drained and ended as they should."""
        while self.replaced:
            pid = self.replaced.pop(0)
            if not self.stays:
                code = self.process.wait(DEADLINE) if pid == self.process.pid else exit_code(pid)
            elif pid == self.process.pid:
                code = 0 if self.wait_log(rf"master\[{pid}\]: (guardian: pid|stopped$)") else 1
            else:
                end = self.wait_log(rf"guardian: the master that was replaced \(pid {pid}\) .*?(code (\d+)|SIG\w+)")
                code = int(end[2] or -1)
            assert code == 0, self.tail()

    def kill_group(self):
        """Whatever happened, nothing stays behind."""
        if group_members(self.group):
            os.killpg(self.group, signal.SIGKILL)
        self.process.wait()
        self.reap()

    def reap(self):
        """Collect the workers that became our children when the master died."""
        try:
            while os.waitpid(-self.group, 0)[0]:
                pass
        except ChildProcessError:
            pass

    # ---- clients ----

    def connect(self, name, index=0, **options):
        client = connect_to(self.addresses[name][index], **options)
        self.clients.append(client)
        return client

    def port(self, name):
        return int(self.addresses[name][0].rsplit(":", 1)[1])

    # ---- statistics ----

    def stats(self):
        with self._usr1:
            since = self.mark()
            self.signal(signal.SIGUSR1)
            self.wait_log(rf"master\[{self.pid}\]: statistics written to", since=since)
            stats = json.loads(self.stats_file.read_text())
        for each in stats["listeners"]:
            ended = sum(each["closed"].values()) + each["lost"]
            assert each["accepted"] == each["sessions_open"] + ended, each
        return stats

    @staticmethod
    def pick(stats, name):
        return next(each for each in stats["listeners"] if each["name"] == name)

    def listener(self, name):
        return self.pick(self.stats(), name)

    def await_stats(self, good, seconds=None):
        """Ask for the statistics until good(stats); counters have no event to wait for."""
        end = time.monotonic() + (seconds or DEADLINE)
        while not good(stats := self.stats()):
            assert time.monotonic() < end, json.dumps(stats["listeners"], indent=1)
            with self._log_changed:
                self._log_changed.wait(0.02)
        return stats

    def await_closed(self, name, reason, count=1):
        """Await that `count` sessions of a listener have ended for this reason."""
        self.await_stats(lambda stats: self.pick(stats, name)["closed"][reason] == count)

    def await_open(self, name, count):
        self.await_stats(lambda stats: self.pick(stats, name)["sessions_open"] == count)

    def worker_pids(self, pool="main"):
        return {each["slot"]: each["pid"] for each in self.stats()["workers"] if each["pool"] == pool}

    def turns(self):
        return sum(each["turns"] for each in self.stats()["workers"])

    # ---- the footer ----

    def finish(self):
        """
        What must hold at the end of every test. With all clients gone: no session left, descriptors as at
        the start. Then: a graceful stop exits 0, no process is left, nobody complained.
        """
        try:
            for client in self.clients:
                client.close()
            self.wait_replaced_masters()
            if self.process.poll() is None or self.pid != self.process.pid and process_stat(self.pid):
                if not any(f"[{self.pid}]: stopping" in line for line in self.lines):
                    self.check_idle()
                    self.signal(signal.SIGTERM)
                assert self.wait() == 0, self.tail()
            assert not self.members(), f"processes left: {group_members(self.group)}"
            self.wait_log_end()
            self.check_reports()
        finally:
            self.kill_group()
            self.process.stderr.close()
            shutil.rmtree(self.dir, ignore_errors=True)

    def check_idle(self):
        stats = self.await_stats(lambda s: all(each["sessions_open"] == 0 for each in s["listeners"]) and
                                 not s.get("leaving"))
        alive = [self.pid] + [each["pid"] for each in stats["workers"]]
        end = time.monotonic() + DEADLINE
        for pid in [pid for pid in alive if pid in self.baseline]:
            while (now := descriptors(pid)) and len(now) > len(self.baseline[pid]):
                assert time.monotonic() < end, (f"{title(pid)}: {now}, at first {self.baseline[pid]}; workers: "
                                                f"{[(each['pid'], each['state']) for each in stats['workers']]}\n{self.tail()}")
                stats = self.stats()
        while zombies := [pid for pid, state in self.members().items() if state == "Z"]:  # reaped in a moment, or never
            assert time.monotonic() < end, f"zombies: {zombies}"
            self.stats()

    def members(self):
        """{pid: state} of all that belong to the server; a guardian that has drained serves nobody."""
        return {pid: state for pid, state in group_members(self.group).items()
                if not self.is_leak_checker(pid) and not self.is_guardian(pid)}

    def is_guardian(self, pid):
        return pid == self.process.pid and self.process.poll() is None and "guardian" in title(pid)

    def await_members(self, number, also_unknown=False):
        """
        Await that there are so many; for want of an event they are counted again and again. `also_unknown`: those, too,
        that the log has not named.
        """
        end = time.monotonic() + DEADLINE
        while len(found := group_members(self.group) if also_unknown else self.members()) != number:
            assert time.monotonic() < end, found
            time.sleep(0.01)

    def is_leak_checker(self, pid):
        """LeakSanitizer looks with a process of its own, an orphan if its worker is killed at that moment."""
        return (SANITIZED and pid not in (self.pid, self.process.pid) and
                not any(f"(pid {pid})" in line for line in self.lines))

    def check_reports(self):
        for report in self.dir.glob("sanitizer*"):
            # A worker was killed while LeakSanitizer looked at it: it says no more than that it could not.
            text = re.sub(r"^==\d+==Unable to get registers from thread \d+\.$", "", report.read_text(), flags=re.M)
            assert not text.strip(), text
        for line in self.lines:
            assert not re.search(r"^\S+ \S+ fatal |Sanitizer|runtime error:", line), self.tail()
