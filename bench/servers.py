"""
Starting, accounting and ending the servers that are measured.

Every process started here is told by the kernel to end when the runner dies, and is ended by its own pid: first
politely, then not.
"""
import contextlib
import os
import pathlib
import random
import select
import signal
import socket
import subprocess
import time

READY_WITHIN = 15.0
STOP_WITHIN = 5.0
CLOCK_TICK = os.sysconf("SC_CLK_TCK")

PORTS = 21000, 32000
_next_port = [random.randrange(*PORTS)]


class StartError(Exception):
    """A server that did not come up, with what it said."""


def free_port():
    """A port nothing listens on, below the range from which the kernel picks clients' ports."""
    for _ in range(*PORTS):
        port = _next_port[0]
        _next_port[0] = port + 1 if port + 1 < PORTS[1] else PORTS[0]
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise StartError("no port is free")


def start_process(command, cpus, last_word="TERM", **options):
    """
    A child that stays on its CPUs and is sent `last_word` when the runner dies, however it dies. Its process group is
    its own: Ctrl-C reaches only the runner, which then ends it. The two small programs in front replace themselves
    by the command; a preexec_fn would do the same by a fork of all of Python, ten times slower.
    """
    words = ["setpriv", "--pdeathsig", last_word, "taskset", "-c", ",".join(map(str, sorted(cpus))), *command]
    return subprocess.Popen([str(word) for word in words], start_new_session=True, **options)


def end_process(process, first=signal.SIGTERM):
    """End one child: ask, wait, insist."""
    try:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.send_signal(first)
            process.wait(STOP_WITHIN)
    except (ProcessLookupError, subprocess.TimeoutExpired):
        pass
    with contextlib.suppress(ProcessLookupError):  # it, if it is still there, and children that it has left behind
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_WITHIN)
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            stream.close()


def stat_fields(pid):
    """The fields of /proc/PID/stat after the name, which may hold blanks itself."""
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def process_tree(root):
    """`root` and all its descendants."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                parents[int(entry)] = int(stat_fields(entry)[1])
            except (OSError, IndexError):
                continue
    tree = [root]
    for pid in tree:
        tree += [child for child, parent in parents.items() if parent == pid]
    return tree


def cpu_seconds(pids):
    """
    User plus system time of whole processes, in nanosecond steps, from the kernel's CPU clock of each process. It
    counts all threads, also ended ones and io_uring's workers, and what the kernel does for a `send` on loopback: the
    receiving half of TCP runs in the sender's context. A process that is gone is an error: its time would be missing.
    """
    return sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)  # as clock_getcpuclockid(3) makes it


def cpu_split(pids):
    """User and system seconds, in steps of a clock tick: for the proportion only."""
    user = system = 0
    for pid in pids:
        try:
            fields = stat_fields(pid)
        except OSError:
            continue
        user, system = user + int(fields[11]), system + int(fields[12])
    return user / CLOCK_TICK, system / CLOCK_TICK


def private_bytes(pids):
    """Memory that only these processes use; what they share with each other or with libraries is not counted."""
    total = 0
    for pid in pids:
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith(("Private_Clean:", "Private_Dirty:")):
                total += int(line.split()[1]) * 1024
    return total


class Server:
    """One running server: its processes, its ports by service name, and its log."""

    def __init__(self, name, command, ports, cpus, folder, ready=None, cwd=None):
        self.name, self.ports, self.folder = name, ports, pathlib.Path(folder)
        self.log_path = self.folder / f"{name.replace(' ', '_')}.log"
        self.log = open(self.log_path, "wb")
        self.process = start_process(command, cpus, stdin=subprocess.DEVNULL, cwd=cwd, stderr=self.log,
                                     stdout=subprocess.PIPE if ready == "ready" else self.log)
        try:
            self._wait_ready(ready)
            self.refresh()
        except BaseException:
            self.stop()
            raise

    @property
    def port(self):
        """The first port: peers have only one."""
        return next(iter(self.ports.values()))

    def _said(self):
        return self.log_path.read_text(errors="replace").strip()[-400:]

    def _wait_ready(self, ready):
        """`ready`: "ready" on stdout, a piece of text in the log, or None: until the port answers."""
        end = time.monotonic() + READY_WITHIN
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise StartError(f"{self.name}: exit code {self.process.returncode}: {self._said()}")
            if ready == "ready":
                if select.select([self.process.stdout], [], [], 0.2)[0]:
                    if self.process.stdout.readline().strip() == b"ready":
                        return
            elif ready and ready in self.log_path.read_text(errors="replace"):
                return
            elif not ready and answers(self.port):
                return
            else:
                time.sleep(0.01)
        raise StartError(f"{self.name}: not ready after {READY_WITHIN:.0f} s: {self._said()}")

    def refresh(self):
        """Look again which processes it has: some fork after they have begun to listen."""
        self.pids = process_tree(self.process.pid)

    def is_unchanged(self):
        """Whether it still has the same processes: nobody has died, and nobody's time is missing from cpu()."""
        return self.process.poll() is None and process_tree(self.process.pid) == self.pids

    def cpu(self):
        """CPU seconds used so far by all its processes."""
        return cpu_seconds(self.pids)

    def memory(self):
        """Private bytes of all its processes."""
        return private_bytes(self.pids)

    def stop(self):
        """End it and close its log; harmless when it has ended already."""
        end_process(self.process)
        self.log.close()


def answers(port):
    """True when something accepts connections there."""
    try:
        socket.create_connection(("127.0.0.1", port), 0.5).close()
        return True
    except OSError:
        return False
