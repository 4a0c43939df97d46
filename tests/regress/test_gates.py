"""
The gates of performance. They count and never time: instructions per message, heap allocations per message, system
calls per message. What they count with is in bench/gates.
"""
import os
import signal
import sys
import time
import warnings

import pytest
from bank import WITHDRAW
from harness import DEADLINE, ROOT, listen, process_stat

sys.path.insert(0, str(ROOT / "bench/gates"))
import gates  # noqa: E402

ATTEMPTS = 5  # a client that was kept waiting lets the server look up in vain, which counts: the least counts


@pytest.fixture(scope="module")
def versions():
    found = gates.versions()
    if gates.instrumented(found["flags"]):
        pytest.skip(f"built with {found['flags']}: neither instructions nor allocations are the server's own")
    return found


# ---- instructions ----

@pytest.mark.parametrize("service", gates.SERVICES)
def test_instructions(service, versions):
    """Not more instructions per message than written down in baseline.tsv, to which `make gates-baseline` writes."""
    known, baseline = gates.read_baseline()
    if versions["machine"] != known["machine"]:
        warnings.warn(why := f"there is no baseline for {versions['machine']}: instructions are not compared")
        pytest.skip(why)
    different, slack = gates.differences(known, versions), gates.SLACK
    if different:
        slack = gates.SLACK_OTHER_VERSIONS
        warnings.warn(f"{slack:.0%} more instructions are allowed, for the baseline is of other versions: "
                      f"{', '.join(different)}")
    counted = gates.instructions(service)
    assert {way for name, way in baseline if name == service} == set(counted)
    ratios = {way: number / baseline[service, way] for way, number in counted.items()}
    worse = {way: f"{counted[way]} instead of {baseline[service, way]}, {ratio - 1:+.1%}"
             for way, ratio in ratios.items() if ratio > 1 + slack}
    assert not worse, f"instructions per message of {service}, {slack:.0%} more are allowed: {worse}"
    if not different and min(ratios.values()) < 1 - slack:
        warnings.warn(f"{service} has become better than its baseline: make gates-baseline")


# ---- allocations ----

@pytest.mark.parametrize("service", gates.SERVICES)
@pytest.mark.usefixtures("versions")
def test_allocations(service):
    """None per message; opening a session takes some, so they are counted."""
    for way, counts in gates.allocations(service).items():
        assert counts["messages"] >= 200, (way, counts)
        assert counts["opening"] >= counts["sessions"], (way, counts)
        assert counts["steady"] == 0, f"{way}: {counts['steady']} allocations for {counts['messages']} messages"


# ---- system calls ----

class Stopped:
    """with Stopped(pid): what is sent meanwhile is there all at once when the process goes on."""

    def __init__(self, pid):
        self.pid = pid

    def __enter__(self):
        os.kill(self.pid, signal.SIGSTOP)
        end = time.monotonic() + DEADLINE
        while process_stat(self.pid)[0] not in "Tt":
            assert time.monotonic() < end, "it does not stop"
            time.sleep(0.0005)

    def __exit__(self, *_):
        os.kill(self.pid, signal.SIGCONT)


def calls_per_message(pid, rounds, messages, exchange, limit):
    """The least of some attempts, in each of which exchange() is called `rounds` times for `messages` each time."""
    least, seen = float("inf"), []
    exchange()
    while least > limit and len(seen) < ATTEMPTS:
        with gates.Strace(pid) as strace:
            for _ in range(rounds):
                exchange()
        assert sum(strace.calls.values()) >= rounds * messages, f"strace has missed some: {strace.calls}"
        least = min(least, sum(strace.calls.values()) / (rounds * messages))
        seen.append(strace.calls)
    assert least <= limit, f"{least:.3f} system calls per message, {limit} are allowed: {seen}"


def connect(server, service, count):
    clients = [server.connect(service) for _ in range(count)]
    server.await_open(service, count)
    (pid,) = server.worker_pids().values()
    return clients, pid


def test_system_calls_of_one_session(serve):
    (client,), pid = connect(serve(listen("pingpong"), workers=1), "pingpong", 1)
    calls_per_message(pid, 1000, 1, lambda: client.ask(WITHDRAW, WITHDRAW), 3.01)


def test_system_calls_of_100_sessions(serve):
    clients, pid = connect(serve(listen("pingpong"), workers=1), "pingpong", 100)

    def exchange():
        with Stopped(pid):
            for client in clients:
                client.send(WITHDRAW)
        for client in clients:
            client.expect(WITHDRAW)

    calls_per_message(pid, 10, 100, exchange, 2.1)


def test_system_calls_of_100_relays(serve, upstream):
    target = upstream(backlog=128)
    server = serve(listen("proxy", upstream=target.address), workers=1)
    clients, pid = connect(server, "proxy", 100)
    answering = [target.accept() for _ in clients]
    server.clients += answering  # to be closed with them

    def pass_all(senders, receivers):
        with Stopped(pid):
            for sender in senders:
                sender.send(WITHDRAW)
        for receiver in receivers:
            receiver.expect(WITHDRAW)

    def exchange():
        pass_all(clients, answering)
        pass_all(answering, clients)

    calls_per_message(pid, 10, 100, exchange, 4.2)
