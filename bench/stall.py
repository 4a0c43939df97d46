"""
Row 12: a client that has asked for 100 MB of replies and does not read them. The others must not notice; and when it
reads again, the server must go on at once.

Two settings: the defaults, where back-pressure stops the server from reading more than it may queue, and water marks
so deep that the 100 MB really pile up in the server.
"""
import select
import socket
import time

import stats
from client import Load, RunError, Unanswered
from lockstep import statistics_of
from measure import FAILURES, RETRIES, Result
from servers import cpu_seconds

PILE = 100 << 20
PIECE = b"x" * (1 << 20)
READ_SIZE = 256 << 10
RECEIVE_BUFFER = 128 << 10  # what lies in the client's own buffer is no matter of the server's
REPEATS = 6
OTHERS = Load(50, rate=10000)
OTHERS_FACTOR = 1.5
# kind, title, and after how long without progress the hog takes itself for stuck
VARIANTS = (("ccserver", "default water marks", 0.15), ("ccserver deep", "100 MB queued in the server", 0.6))
UNAFFECTED = 1.10
AWAKE_S = 50e-6  # of CPU: more than a tick of an idle worker, less than it takes to send on
RESUME_S = REPEATS * 0.5


class Hog:
    """Sends until nothing more is taken, and reads nothing."""

    def __init__(self, port, patience):
        self.socket, self.patience = socket.socket(), patience
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(5)
        self.socket.connect(("127.0.0.1", port))
        self.sent = self.read = 0
        self.buffer = bytearray(READ_SIZE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def fill(self):
        """Ask for up to 100 MB more, until it is stuck or all is sent; the bytes whose replies are due then."""
        self.socket.setblocking(False)
        end = self.sent + PILE
        while self.sent < end and select.select([], [self.socket], [], self.patience)[1]:
            try:
                self.sent += self.socket.send(PIECE[:end - self.sent])
            except BlockingIOError:
                continue
        return self.sent - self.read

    def read_some(self):
        """Read once; 0 when nothing is there."""
        try:
            size = self.socket.recv_into(self.buffer)
        except BlockingIOError:
            return 0
        if size == 0:
            raise RunError("the server closed the session of the client that did not read")
        self.read += size
        return size

    def resume(self, server):
        """
        Read again, as fast as possible. Returns the seconds until the worker ran, which is when it goes on sending, and
        the bytes read until then: the kernel hands out what it still has before it wakes the server. The CPU clock of a
        process that sleeps stands still.
        """
        workers = server.pids[1:] or server.pids
        asleep, start, read = cpu_seconds(workers), time.perf_counter(), self.read
        while time.perf_counter() - start < 2:
            self.read_some()
            if cpu_seconds(workers) - asleep > AWAKE_S:
                return time.perf_counter() - start, self.read - read
        raise RunError("the server did not go on within 2 s")

    def drain(self):
        """Read all that is due."""
        while self.read < self.sent:
            if not select.select([self.socket], [], [], 5)[0]:
                raise RunError(f"{self.sent - self.read} bytes never came")
            self.read_some()


def seconds(mode):
    """Planned duration."""
    window = mode.window_for(OTHERS, OTHERS_FACTOR)
    pair = 2 * (window.seconds + window.warmup + 0.12) + 0.6
    return RESUME_S + len(VARIANTS) * (2 * mode.rounds * pair + RESUME_S)


def sample_others(contest, server, patience, mode, with_hog):
    """p99.9 of the others, and how much was due to the hog meanwhile."""
    window = mode.window_for(OTHERS, OTHERS_FACTOR)
    for attempt in range(RETRIES + 1):
        try:
            if not with_hog:
                return OTHERS.run(contest, server, "pingpong", window)
            with Hog(server.ports["pingpong"], patience) as hog:
                due = hog.fill()
                sample = OTHERS.run(contest, server, "pingpong", window)
                sample["due_mib"] = due / (1 << 20)
            return sample
        except RunError as error:
            if attempt == RETRIES or isinstance(error, Unanswered):
                raise
            contest.repeated.append(f"others: {error}")
    return None


def others(outcome, contest, variant, mode, progress, share):
    """The same load with and without the hog, in turns."""
    kind, title, patience = variant
    server, samples = contest.server(kind), {"with": [], "without": []}
    for _ in range(mode.rounds):
        for name in ("with", "without", "without", "with"):
            samples[name].append(sample_others(contest, server, patience, mode, name == "with"))
            progress.advance(share / (4 * mode.rounds))
    outcome.cells[f"others, {title}"] = samples
    with_hog, without = ([s["latency"]["p999"] for s in samples[name]] for name in ("with", "without"))
    result = Result(f"p99.9 of others, {title}", "with / without", "<=", UNAFFECTED, value_unit="µs")
    result.samples = stats.paired_ratios(with_hog, without)
    result.estimate = stats.estimate(result.samples)
    result.verdict = stats.verdict(result.estimate, result.op, result.target)
    result.values = {name: stats.percentile(sorted(values), 0.5)
                     for name, values in (("with", with_hog), ("without", without))}
    due = stats.percentile(sorted(s["due_mib"] for s in samples["with"]), 0.5)
    result.note = f"\"unaffected\" is taken as at most {UNAFFECTED}; replies to {due:.1f} MiB were due and not read; they had " \
                  "piled up before the others came, since piling them up would take CPU time from the client"
    outcome.results.append(result)


def resumption(outcome, server, title, patience, progress):
    """
    How long after the hog's first read the server runs again. The kernel wakes it when a third of its send buffer is
    free; the floor beside it shows how much of the time that is.
    """
    times, due, read = [], [], []
    op, target = ("<", 1.0) if server.name != "floor" else (None, None)
    with Hog(server.ports.get("pingpong", server.port), patience) as hog:
        for _ in range(REPEATS):
            due.append(hog.fill())
            seconds_until, size = hog.resume(server)
            times.append(seconds_until * 1e3)
            read.append(size)
            hog.drain()
            progress.advance(RESUME_S / REPEATS)
    found = stats.estimate(times)
    outcome.results.append(Result(f"sending resumes, {title}", server.name.partition(" ")[0], op, target,
                                  found, stats.verdict(found, op, target), " ms", samples=times,
                                  note=f"{min(due) / (1 << 20):.1f} MiB were due; until then the client had read "
                                       f"{stats.percentile(sorted(read), 0.5) / 1024:,.0f} KiB from the kernel"))


def longest_turn(outcome, server, title):
    """
    For how long the worker saw nobody else while replies piled up, by its own statistics. The clients that measure
    p99.9 come when they have piled up, because the hog would take its CPU time from them; so this is told apart.
    """
    turns = [worker["longest_turn_us"] / 1e3 for worker in statistics_of(server)["workers"]]
    outcome.results.append(Result(f"longest turn meanwhile, {title}", "ccserver", unit=" ms", samples=turns,
                                  estimate=stats.Estimate(max(turns), max(turns), max(turns), len(turns)),
                                  note="no target; the maximum of the whole cell"))


def row(outcome, make_contest, mode, progress):
    """The row, once for each variant."""
    share = (seconds(mode) - RESUME_S) / len(VARIANTS) - RESUME_S  # of the others, for each variant
    for variant in VARIANTS:
        kind, title, patience = variant
        progress.step(f"row 12: {title}")
        try:
            with make_contest() as contest:
                others(outcome, contest, variant, mode, progress, share)
                resumption(outcome, contest.server(kind), title, patience, progress)
                longest_turn(outcome, contest.server(kind), title)
                outcome.repeated += contest.repeated
        except FAILURES as error:
            outcome.results.append(Result(title, "ccserver", verdict=stats.NOT_AVAILABLE, note=str(error)))
    progress.step("row 12: bare epoll loop")
    with make_contest() as contest:
        resumption(outcome, contest.server("floor"), "bare epoll loop", VARIANTS[0][2], progress)
