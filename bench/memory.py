"""
Row 9: what an idle session costs in memory that belongs to the server alone. What the kernel needs for a socket is not
the server's doing; it is told beside it.
"""
import machine
import stats
from client import RunError
from lockstep import Sessions, open_sessions, wait_idle
from measure import FAILURES, Result

FRAME = b"x" * 109
BATCH = b"x" * 54500
REPEATS = 3
HALVES = 5000  # at the least: of less, the allocator keeps all for itself
TARGETS = {"session": 192, "proxied pair": 384}
# For comparison, in full mode: what a user could have instead. No target.
OTHERS = (("session", "libevent"), ("session", "libuv"), ("proxied pair", "relay upstream"),
          ("proxied pair", "nginx upstream"), ("proxied pair", "haproxy upstream"))


def session_count(mode):
    """10,000 sessions, or what the limit on descriptors allows: a proxied pair takes two in one process."""
    wanted = 3000 if mode.quick else 10000
    return min(wanted, (machine.raise_nofile() - 500) // 2)


def halves_seconds(mode):
    """Planned duration of the last line."""
    return REPEATS * (0.7 + max(session_count(mode), HALVES) * 160e-6)


def seconds(mode):
    """Planned duration."""
    others = 0 if mode.quick else len(OTHERS)
    return (2 + others) * REPEATS * (0.6 + session_count(mode) * 600e-6) + halves_seconds(mode)


def kernel_bytes():
    """Memory of kernel objects in the whole machine: sockets, but also everything else."""
    for line in machine.text_of("/proc/meminfo").splitlines():
        if line.startswith("Slab:"):
            return int(line.split()[1]) * 1024
    return 0


def use(port, count):
    """Sessions that have each carried a frame and a batch of 500 frames, all open at once."""
    sessions = Sessions(port, count)
    try:
        sessions.exchange_one_by_one(FRAME)
        sessions.exchange_one_by_one(BATCH)
    except BaseException:
        sessions.close()
        raise
    return sessions


def measure(server, service, count):
    """
    Private bytes per session: never used, and after traffic. The baseline is a server that has served one session, so
    that what is needed once (a read buffer, the loader's work) is not divided among the sessions.
    """
    port = server.ports.get(service, server.port)
    server.refresh()
    use(port, 1).close()
    if server.name.startswith("ccserver"):
        open_sessions(server, service)  # writing statistics needs memory once, too
    wait_idle(server)
    base, kernel_base = server.memory(), kernel_bytes()
    with Sessions(port, count) as sessions:
        if server.name.startswith("ccserver") and open_sessions(server, service) > count:
            raise RunError("more sessions than were opened")
        wait_idle(server)
        if server.name.startswith("ccserver") and open_sessions(server, service) != count:
            raise RunError("not all sessions were accepted")
        unused, kernel = server.memory() - base, kernel_bytes() - kernel_base
        sessions.exchange_one_by_one(FRAME)
        sessions.exchange_one_by_one(BATCH)
        wait_idle(server)
        used = server.memory() - base
    return {"unused": unused / count, "used": used / count, "kernel": kernel / count}


def measure_halves(server, count):
    """
    The hardest case: every session holds half a line at the same time, then gets the rest. What is left per session is
    what the allocator did not give back.
    """
    port = server.ports["echo"]
    with Sessions(port, 1) as one:
        one.complete(b"half a line", b" and the rest\r\n", b"ccserver echo:")
    wait_idle(server)
    base = server.memory()
    with Sessions(port, count) as sessions:
        sessions.send(b"half a line")
        wait_idle(server)
        held = server.memory() - base
        sessions.complete(b"half a line", b" and the rest\r\n", b"ccserver echo:", begun=True)
        wait_idle(server)
        return {"held": held / count, "left": (server.memory() - base) / count}


def halves(outcome, make_contest, count):
    """A line without target for the hardest case."""
    samples = []
    for _ in range(REPEATS):
        with make_contest() as contest:
            samples.append(measure_halves(contest.server("ccserver"), max(count, HALVES)))
    values = [sample["left"] for sample in samples]
    outcome.cells["halves of lines, ccserver"] = {"ccserver": samples}
    outcome.results.append(Result(
        "echo, after half a line on all at once", "ccserver", estimate=stats.estimate(values), unit=" B",
        samples=values, note=f"no target: it is the allocator's peak; {samples[0]['held']:,.0f} B per session while "
                             "the halves are held"))


def lines_of(outcome, what, name, samples, count, target):
    """Two lines of the table for one server."""
    for key, when in (("unused", "never used"), ("used", "after traffic")):
        values = [sample[key] for sample in samples]
        found = stats.estimate(values)
        op = "<=" if target else None
        outcome.results.append(Result(
            f"{what}, {when}", name, op, target, found, stats.verdict(found, op, target), unit=" B", samples=values,
            note=f"{count:,} sessions; beside it the kernel's slabs grew by "
                 f"{samples[0]['kernel'] / 1024:.1f} KiB per session, both ends of each connection included"
            if key == "unused" and target else ""))


def one_server(outcome, make_contest, what, kind, count, target):
    """A fresh server for each repeat."""
    service = "proxy" if what == "proxied pair" else "pingpong"
    samples = []
    for _ in range(REPEATS):
        with make_contest() as contest:
            if what == "proxied pair":
                contest.server("upstream")
            samples.append(measure(contest.server(kind), service, count))
    outcome.cells[f"{what}, {kind}"] = {kind: samples}
    lines_of(outcome, what, kind.partition(" ")[0], samples, count, target)


def row(outcome, make_contest, mode, progress):
    """The row: ours with targets, and in full mode others beside it."""
    count = session_count(mode)
    plan = [("session", "ccserver", TARGETS["session"]),
            ("proxied pair", "ccserver upstream", TARGETS["proxied pair"])]
    plan += [] if mode.quick else [(what, kind, None) for what, kind in OTHERS]
    for what, kind, target in plan:
        progress.step(f"row 9: {what}, {kind.partition(' ')[0]}")
        try:
            one_server(outcome, make_contest, what, kind, count, target)
        except FAILURES as error:
            outcome.results.append(Result(what, kind.partition(" ")[0], "<=" if target else None, target, unit=" B",
                                          verdict=stats.NOT_AVAILABLE, note=str(error)))
        progress.advance((seconds(mode) - halves_seconds(mode)) / len(plan))
    try:
        progress.step("row 9: echo, halves of lines")
        halves(outcome, make_contest, count)
    except FAILURES as error:
        outcome.results.append(Result("echo, halves of lines", "ccserver", verdict=stats.NOT_AVAILABLE,
                                      note=str(error)))
    progress.advance(halves_seconds(mode))
