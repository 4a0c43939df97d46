"""
The table: what is measured, against whom, and what it must be. Rows 1 to 13 are the project's promises; A is the
machine's noise, L the latency under a fixed rate, which have no target.
"""
from dataclasses import dataclass

import machine
import memory
import stall
import syscalls
from client import Load, RedisLoad
from measure import Cell, Contestant, Goal, cell_seconds

SESSIONS = (10, 100, 1000, 10000)
FRAME = 109
LINE = 107        # without its CRLF: as long as a frame
ECHO_PREFIX = 14  # "ccserver echo:"
LATENCY_RATE = 20000

FLOOR = Contestant("floor", "floor")
LIBEVENT = Contestant("libevent", "libevent")
LIBUV = Contestant("libuv", "libuv")
IO_URING = Contestant("io_uring", "io_uring")
IO_URING_SMALL = Contestant("io_uring", "io_uring small")
PINGPONG = Contestant("ccserver", "ccserver", "pingpong")
BANK = Contestant("bank", "ccserver", "bank")
ECHO = Contestant("ccserver", "ccserver", "echo")
PROXY = Contestant("ccserver", "ccserver redis", "proxy")
SHARED = Contestant("ccserver", "shared")
POLLING = Contestant("busy_poll", "ccserver busy_poll", "pingpong")
POLLING_FLOOR = Contestant("polling floor", "floor spin", alone=True)


def nothing(_mode):
    """A row without a function of its own takes no time for it."""
    return 0.0


@dataclass(frozen=True)
class Row:
    """One row: cells that compare, a function that does something else, or both."""
    number: str
    title: str
    cells: tuple = ()
    special: object = None
    special_seconds: object = nothing
    notes: tuple = ()
    client: int = 1  # which of the machine's CPUs the client gets

    def seconds(self, mode):
        """Planned duration."""
        return sum(cell_seconds(cell, mode) for cell in self.cells) + self.special_seconds(mode)


def count(number):
    """"1,000 sessions"."""
    return f"{number:,} session{'s' if number != 1 else ''}"


def noise_row():
    """The same program twice: what differs here is the machine."""
    twin = Contestant("floor again", "floor twin")
    goals = (Goal("floor", "floor again"), Goal("floor", "floor again", metric="msg_per_s"))
    cells = [Cell(f"floor against itself, {count(n)}", Load(n), (FLOOR, twin), goals) for n in (1, 100)]
    return Row("A", "A/A: the noise of this machine", tuple(cells))


def small_messages():
    """Row 1."""
    goals = (Goal("ccserver", "floor", "<=", 1.05), Goal("ccserver", "libevent", "<=", 0.70),
             Goal("ccserver", "libuv", "<=", 0.80), Goal("io_uring", "floor"))
    who = (PINGPONG, FLOOR, LIBEVENT, LIBUV, IO_URING_SMALL)
    return Row("1", "ping-pong, 109 B: CPU per message", tuple(
        Cell(count(n), Load(n), who, goals, slow=n > 1000) for n in SESSIONS))


def large_messages(mode):
    """Row 2. libevent is only run in full: it is not in the target, and slow."""
    goals = [Goal("ccserver", "floor", "<=", 1.10), Goal("io_uring", "floor")]
    who = [PINGPONG, FLOOR, IO_URING]
    if not mode.quick:
        who, goals = who + [LIBEVENT], goals + [Goal("ccserver", "libevent")]
    return Row("2", "ping-pong, 100 sessions, large messages: CPU per 109 B", tuple(
        Cell(f"{frames * FRAME:,} B", Load(100, frames), tuple(who), tuple(goals)) for frames in (100, 500)))


def one_session():
    """Row 3: throughput is the reciprocal of the round trip here."""
    sleeping = (Goal("ccserver", "floor", ">=", 0.97, "msg_per_s"),
                Goal("busy_poll", "floor", ">=", 2.2, "msg_per_s"),
                Goal("busy_poll", "polling floor", ">=", 0.9, "msg_per_s"),
                Goal("polling floor", "floor", metric="msg_per_s"),
                Goal("busy_poll", "floor", note="what polling costs in CPU per message"),
                Goal("io_uring", "floor", metric="msg_per_s"))
    polling = (Goal("busy_poll", "polling floor", ">=", 0.9, "msg_per_s"),
               Goal("busy_poll", "floor", metric="msg_per_s"), Goal("polling floor", "floor", metric="msg_per_s"))
    return Row("3", "ping-pong, one session: messages/s", (
        Cell("client sleeps", Load(1), (PINGPONG, FLOOR, POLLING, POLLING_FLOOR, IO_URING_SMALL), sleeping),
        Cell("client polls", Load(1, spin=True), (POLLING, FLOOR, POLLING_FLOOR), polling)))


def bank_single():
    """Row 4."""
    return Row("4", "bank, 1 frame per send, 100 sessions: CPU per frame", (
        Cell("against own ping-pong", Load(100), (BANK, PINGPONG), (Goal("bank", "ccserver", "<=", 1.12),)),))


def bank_batch():
    """Row 5."""
    note = "target in words: 0.22 µs a frame where the floor needs 9.6 µs for the 54,500 B of 500 frames"
    return Row("5", "bank, 500 frames per send, 100 sessions: CPU per frame", (
        Cell("decode, dispatch, encode, checksums", Load(100, 500), (BANK, FLOOR),
             (Goal("bank", "floor", "<=", 11.5, note=note),)),))


def echo_lines():
    """Row 6: the floor answers with as many bytes as the echo does."""
    cells = []
    for lines, target in ((1, 1.10), (100, 1.5)):
        floor = Contestant("floor", f"floor {LINE + 2}:{LINE + 2 + ECHO_PREFIX}")
        load = Load(100, lines=lines, line_length=LINE)
        title = f"{lines} line{'s' if lines > 1 else ''} per send"
        cells.append(Cell(title, load, (ECHO, floor), (Goal("ccserver", "floor", "<=", target),)))
    return Row("6", "echo, 100 sessions: CPU per line", tuple(cells))


def proxy_before_redis():
    """Row 7. nutcracker parses and multiplexes; at a pipeline of 1 it has no target."""
    cells = []
    for clients in (50, 500):
        for pipeline in (1, 16):
            goals = (Goal("ccserver", "relay", "<=", 1.06), Goal("ccserver", "nginx", "<", 1.0),
                     Goal("ccserver", "haproxy", "<", 1.0),
                     Goal("ccserver", "nutcracker", "<", 0.5) if pipeline == 16 else Goal("ccserver", "nutcracker"))
            who = (PROXY, *(Contestant(name, name) for name in ("relay", "nginx", "haproxy", "nutcracker")))
            cells.append(Cell(f"-c {clients} -P {pipeline}", RedisLoad(clients, pipeline), who, goals, slow=True))
    return Row("7", "proxy before Redis, GET: CPU per request", tuple(cells))


def shared_redis():
    """Row 13: the proxy and Redis together against our own relay, Redis alone against itself, the proxy against nutcracker."""
    own, direct, nutcracker = Contestant("1:1", "ccserver redis", "proxy"), Contestant("direct", "redis"), Contestant(
        "nutcracker", "nutcracker")
    cells = []
    for title, load, targets in (("-c 50", RedisLoad(50, 1), (0.48, 0.25, 0.70)),
                                 ("-c 500", RedisLoad(500, 1), (0.45, 0.27, 0.70)),
                                 ("-c 50 -P 16", RedisLoad(50, 16), (0.65, 0.70, 0.20)),
                                 ("-c 50, a connection for each request", RedisLoad(50, 1, connect=True), (0.36, 0.15, 1.0)),
                                 ("-c 1", RedisLoad(1, 1), (1.0, 1.05, 0.75))):
        goals = (Goal("ccserver", "1:1", "<=", targets[0], "sum_us", note="proxy and Redis"),
                 Goal("ccserver", "direct", "<=", targets[1], "redis_us", note="Redis alone"),
                 Goal("ccserver", "nutcracker", "<=", targets[2], note="the proxy alone"))
        cells.append(Cell(title, load, (SHARED, own, direct, nutcracker), goals, slow=True))
    return Row("13", "Redis over shared connections, GET: CPU per request", tuple(cells))


def short_connections():
    """Row 8."""
    return Row("8", "short connections: CPU per connection", (
        Cell("connect, 109 B both ways, close; 50 at a time", Load(50, connect=True), (PINGPONG, FLOOR),
             (Goal("ccserver", "floor", "<=", 1.10),)),))


def two_workers():
    """Row 11."""
    one = Contestant("1 worker", "ccserver 1 workers", "pingpong")
    two = Contestant("2 workers", "ccserver 2 workers", "pingpong")
    goals = (Goal("2 workers", "1 worker", "<=", 1.05), Goal("2 workers", "1 worker", metric="msg_per_s"))
    shared = len(machine.cpus()) < 3
    notes = ("Two CPUs: the second worker shares its CPU with the load client. This shows what a second worker costs "
             "when it must be scheduled in turns with something else, not how two workers scale; for that, run it on "
             "a machine with more CPUs.",) if shared else ()
    return Row("11", "CPU per message, 2 workers against 1", (
        Cell("ping-pong, 100 sessions", Load(100), (one, two), goals),), notes=notes, client=1 if shared else 2)


def latency():
    """Everybody at the same rate, below what the slowest can do: the only fair moment to compare latency."""
    goals = tuple(Goal("ccserver", name, metric="p99") for name in ("floor", "libevent", "libuv", "io_uring"))
    return Row("L", f"latency at a fixed rate of {LATENCY_RATE:,} messages/s, 100 sessions (open loop)", (
        Cell("from the intended send time: p99", Load(100, rate=LATENCY_RATE),
             (PINGPONG, FLOOR, LIBEVENT, LIBUV, IO_URING_SMALL), goals, seconds_factor=1.5),))


def all_rows(mode):
    """The whole table, in the order in which it is measured."""
    return [
        noise_row(), small_messages(), large_messages(mode), one_session(), bank_single(), bank_batch(), echo_lines(),
        proxy_before_redis(), short_connections(),
        Row("9", "private memory per idle session", special=memory.row, special_seconds=memory.seconds),
        Row("10", "system calls per message", special=syscalls.row, special_seconds=syscalls.seconds),
        two_workers(),
        Row("12", "a client that stops reading 100 MB", special=stall.row, special_seconds=stall.seconds),
        shared_redis(),
        latency(),
    ]
