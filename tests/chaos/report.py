"""
What the person at the terminal sees: progress while it runs, a table at the end, a complaint when it went wrong.
"""
import os
import sys
import threading
import time

from clients import BUCKETS_MS

EVERY_S = 10


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def spread(seconds):
    """p50, p99 and the maximum, in milliseconds."""
    ms = [1000 * each for each in seconds]
    return (f"p50 {percentile(ms, 0.5):.1f} ms, p99 {percentile(ms, 0.99):.1f} ms, max {max(ms):.1f} ms "
            f"({len(ms)} times)")


def bucket_spread(counts, longest):
    number, parts = sum(counts), []
    for share in 0.5, 0.99, 0.999:
        seen, at = 0, 0
        while seen + counts[at] < share * number:
            seen, at = seen + counts[at], at + 1
        parts.append(f"p{share * 100:g} <= {min(BUCKETS_MS[at], longest):.0f} ms")
    return ", ".join(parts) + f", max {longest:.0f} ms"


class Progress:
    """In place on a terminal, a line every ten seconds elsewhere."""

    def __init__(self, arena, options):
        self.arena, self.options, self.start = arena, options, time.monotonic()
        self.tty, self.stopped = sys.stdout.isatty(), threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.thread.join()
        if self.tty:
            print("\r\033[K", end="", flush=True)

    def _run(self):
        while not self.stopped.wait(0.3 if self.tty else EVERY_S):
            line = self.line()
            print(f"\r\033[K{line[:os.get_terminal_size().columns - 1]}" if self.tty else line,
                  end="" if self.tty else "\n", flush=True)

    def line(self):
        arena, clients = self.arena, self.arena.clients
        passed = time.monotonic() - self.start
        left = max(0, self.options.seconds - passed)
        opened = clients.total("connected")
        acts = " ".join(f"{name} {number}" for name, number in sorted(arena.counts.items()) if ":" not in name)
        return (f"{passed:5.0f} s, {left:.0f} s left: {arena.doing:8} {opened:,} connections "
                f"({opened / max(0.1, time.time() - clients.started):,.0f}/s, {clients.last['open']} open), "
                f"{clients.total('ended_early')} ended early; {acts}")


def command_of(options):
    return " ".join(["python3 tests/chaos/chaos.py", f"--seconds {options.seconds:g} --seed {options.seed}",
                     f"--workers {options.workers} --rate {options.rate:g} --nemesis {options.nemesis}",
                     f"--adopt-after {options.adopt_after:g} --watchdog-timeout {options.watchdog_timeout:g}", *["--mixed"] * options.mixed])


def summary(arena, verdicts, options):
    clients = arena.clients
    print(f"\n{options.seconds:g} s with seed {options.seed}, {options.workers} workers\n")
    print(f"  {'nemesis':24} times")
    for name, number in sorted(arena.counts.items()):
        print(f"  {name:24} {number:5}")
    print(f"\n  {'clients':24} {clients.total('connected'):,} connections, {clients.total('connected') / clients.seconds:,.0f}"
          f" a second; {clients.total('asked'):,} requests, {clients.total('sent') / 1e6:,.1f} MB;"
          f" longest turn of the client itself {clients.last['longest']['turn']:.0f} ms")
    for kind, counts in clients.last["waits"].items():
        if sum(counts):
            print(f"  {kind + ' after':24} {bucket_spread(counts, clients.last['longest'][kind])}")
    if times := arena.replacement_times():
        print(f"  {'kill -> replaced, ready':24} {spread(times)}")
    for name, values in arena.notes.items():
        print(f"  {name:24} {spread(values)}")
    print_closes(arena)
    print_verdicts(verdicts)


def print_closes(arena):
    """What graceful operations cost: nothing is lost, but a request may cross the close of its idle session."""
    ends = [event for phase in arena.phases if phase["kind"] == "graceful" for event in phase["events"]]
    crossed = [event for event in ends if event["unanswered"]]
    print(f"  {'graceful operations':24} closed {len(ends) - len(crossed)} idle sessions; the requests of {len(crossed)} "
          f"more crossed the close\n  {'':24} on their way, {sum(event['first'] for event in crossed)} of these were the "
          "first of a new connection\n")


def print_verdicts(verdicts):
    for name, (found, holds) in verdicts.items():
        print(f"  {'ok  ' if holds else 'FAIL'} {name:52} {found}")


def complain(error, arena, daemon, verdicts, options):
    print(f"\nFAILED at {time.strftime('%H:%M:%S')}, {arena.doing if arena else 'starting'}: {str(error).splitlines()[0]}\n")
    if daemon:
        print("the last lines of the log:\n" + daemon.tail() + "\n")
    if arena:
        for title, events in ("the sessions in question", arena.suspects), ("the last that ended early", arena.clients.events):
            print(f"{title}:\n" + "\n".join(f"  {event}" for event in events[-10:]) + "\n")
        print("the last deaths:\n" + "\n".join(f"  {death}" for death in arena.daemon.deaths[-40:]) + "\n")
        print("  " + ", ".join(f"{name} {number}" for name, number in sorted(arena.counts.items())) + "\n")
    print_verdicts(verdicts)
    print(f"\nseed {options.seed}; once more: {command_of(options)}", flush=True)
