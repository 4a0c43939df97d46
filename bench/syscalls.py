"""
Row 10: system calls per message, counted by strace. It is attached when the connections stand, and a known number of
messages is exchanged before it is detached: nothing is subtracted, nothing is estimated.
"""
import signal
import subprocess
import time

import servers
import stats
from client import RunError
from contest import NotAvailable
from lockstep import Sessions, wait_idle
from measure import FAILURES, Result

FRAME = b"x" * 109
REPEATS = 3
ATTACH_WITHIN = 10.0
# what, kind of server, service, sessions, rounds, target
PLAN = (
    ("ping-pong, one session", "ccserver", "pingpong", 1, 1000, 3.01),
    ("ping-pong, 100 ready at once", "ccserver", "pingpong", 100, 40, 2.1),
    ("relay, 100 at once, per round trip", "ccserver upstream", "proxy", 100, 30, 4.2),
    ("ping-pong, one session", "floor", "any", 1, 1000, None),
    ("ping-pong, 100 ready at once", "floor", "any", 100, 40, None),
    ("relay, 100 at once, per round trip", "relay upstream", "any", 100, 30, None),
)
SECONDS_EACH = 0.9


def seconds(_mode):
    """Planned duration."""
    return len(PLAN) * REPEATS * SECONDS_EACH


def attach(contest, pids, folder):
    """strace, counting, attached to these processes; returns it and the file its table goes to."""
    table, log = folder / "strace.table", folder / "strace.log"
    table.unlink(missing_ok=True)
    words = [word for pid in pids for word in ("-p", pid)]
    with open(log, "wb") as stderr:
        process = servers.start_process([contest.program("strace"), "-c", "-f", "-o", table, *words], contest.client_cpus,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr)
    end = time.monotonic() + ATTACH_WITHIN
    while log.read_text(errors="replace").count("attached") < len(pids):
        if process.poll() is not None or time.monotonic() > end:
            servers.end_process(process)
            raise NotAvailable(f"strace: {log.read_text(errors='replace').strip()[-120:]}")
        time.sleep(0.01)
    return process, table


def parse(text):
    """strace's table: calls by name."""
    calls = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 5 and words[0].replace(".", "", 1).isdigit() and words[3].isdigit():
            calls[words[-1]] = int(words[3])
    calls.pop("total", None)
    return calls


def count(contest, server, service, session_count, rounds):
    """Calls by name per message, over `rounds` messages on each session."""
    server.refresh()
    workers = server.pids[1:] or server.pids  # the master takes no part
    with Sessions(server.ports.get(service, server.port), session_count) as sessions:
        sessions.exchange(FRAME)
        wait_idle(server, 0.05)
        process, table = attach(contest, workers, server.folder)
        try:
            for _ in range(rounds):
                sessions.exchange(FRAME)
        finally:
            servers.end_process(process, signal.SIGINT)
    calls = parse(table.read_text())
    for verb in ("recv", "send"):
        if sum(number for name, number in calls.items() if verb in name) < rounds * session_count:
            raise RunError(f"strace saw fewer {verb}s than there were messages: {calls}")
    return {name: number / (rounds * session_count) for name, number in calls.items()}


def describe(calls):
    """"recvfrom 1.00, sendto 1.00, epoll_wait 0.03"."""
    return ", ".join(f"{name} {number:.2f}" for name, number in sorted(calls.items(), key=lambda item: -item[1]))


def row(outcome, make_contest, _mode, progress):
    """The row: ours with targets, the floor beside it."""
    for what, kind, service, sessions, rounds, target in PLAN:
        name = kind.partition(" ")[0]
        progress.step(f"row 10: {what}, {name}")
        result = Result(what, name, "<=" if target else None, target, unit=" calls")
        outcome.results.append(result)
        try:
            counted = []
            with make_contest() as contest:
                if "upstream" in kind:
                    contest.server("upstream")
                for _ in range(REPEATS):
                    counted.append(count(contest, contest.server(kind), service, sessions, rounds))
                    progress.advance(SECONDS_EACH)
        except FAILURES as error:
            result.verdict, result.note = stats.NOT_AVAILABLE, str(error)
            continue
        result.samples = [sum(calls.values()) for calls in counted]
        result.estimate = stats.estimate(result.samples)
        result.verdict = stats.verdict(result.estimate, result.op, target)
        result.note = describe(counted[0])
        outcome.cells[f"{what}, {name}"] = {name: counted}
