"""
Where they meet: the daemon, the clients and the nemeses of one run, and the record of all that was done and seen.
"""
import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path

from clients import COUNTERS
from daemon import POOL_WORKERS, SERVICES
from harness import DEADLINE, process_stat
from nemeses import ALL, FORCED, GRACEFUL, kill

HERE = Path(__file__).resolve().parent
PATIENCE_S = 10  # a client that waits longer for anything complains


class Clients:
    """The client process, and all that it has reported."""

    def __init__(self, daemon, seed, rate):
        ports = [f"{name}=127.0.0.1:{daemon.ports[name]}" for name in SERVICES]
        self.process = subprocess.Popen(
            [sys.executable, HERE / "clients.py", str(seed), str(rate), str(PATIENCE_S), *ports],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.last = {"counters": {name: dict.fromkeys(COUNTERS, 0) for name in SERVICES}, "open": 0}
        self.events, self.violations, self.started = [], [], time.time()
        self.changed, self.syncs, self.synced = threading.Condition(), 0, 0
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        for line in self.process.stdout:
            report = json.loads(line)
            with self.changed:
                self.events += report["events"]
                self.violations += report["violations"]
                self.last = report
                self.synced = report.get("sync", self.synced)
                self.changed.notify_all()
        with self.changed:
            self.last = {**self.last, "done": True}
            self.changed.notify_all()

    def _await(self, good, what):
        with self.changed:
            assert self.changed.wait_for(lambda: good(self.last) or "done" in self.last, 2 * PATIENCE_S), what

    def _say(self, text):
        self.process.stdin.write(text.encode() + b"\n")
        self.process.stdin.flush()

    def sync(self):
        """Everything that has reached the clients until now is known afterwards."""
        self.syncs += 1
        self._say(f"sync {self.syncs}")
        self._await(lambda _: self.synced == self.syncs, "the clients do not report")
        assert self.process.poll() is None or "done" in self.last, "the clients have died"

    def stop(self):
        self._say("stop")
        self._await(lambda report: "done" in report, "the clients do not end")
        self.seconds = self.last["time"] - self.started
        assert self.process.wait(DEADLINE) == 0, "the clients have died"

    def kill(self):
        self.process.kill()
        self.process.wait()

    def total(self, key):
        return sum(each[key] for each in self.last["counters"].values())


class Arena:
    def __init__(self, daemon, options):
        self.daemon, self.random = daemon, random.Random(options.seed)
        self.workers, self.patient = options.workers, options.seconds >= 120
        self.adopt_after, self.watchdog_timeout = options.adopt_after, options.watchdog_timeout
        self.clients = Clients(daemon, options.seed, options.rate)
        self.counts, self.expected, self.notes = Counter(), defaultdict(set), defaultdict(list)
        self.kills, self.phases, self.held = [], [], []
        self.blows = []  # when somebody was to die at once
        self.suspects = []  # sessions that ended early, those that broke a rule alone if there are any
        self.graceful_at, self.mixed, self.doing = 0, False, "begin"
        self.base = daemon.resources()

    # ---- what nemeses tell ----

    def expect(self, pid, causes):
        self.expected[pid].update(causes)

    def blow(self):
        self.blows.append(time.time())

    def graceful(self):
        self.graceful_at = time.time()

    def count(self, name):
        self.counts[name] += 1

    def note(self, name, seconds):
        self.notes[name].append(seconds)

    # ---- waiting ----

    def wait(self, good, seconds, complaint):
        end = time.monotonic() + seconds
        while not good():
            assert time.monotonic() < end, complaint() if callable(complaint) else complaint
            time.sleep(0.01)

    def wait_death(self, pid, seconds):
        self.wait(lambda: pid not in self.daemon.follow(), seconds, f"worker pid {pid} lives on")

    def settled(self):
        """As many workers as there should be, all ready, and nobody else, and no reload still to come."""
        while self.held:
            self.held.pop().close()
        self.daemon.reap()
        workers, members = self.daemon.follow(), self.daemon.members()
        return (len(workers) == len(self.daemon.newest()) == self.workers + POOL_WORKERS and "Z" not in members.values()
                and set(members) == {self.daemon.pid, *workers} and not self.daemon.reloads.owed)

    def settle(self):
        """After a phase everything is as before it; what was asked for has been done and is known."""
        self.daemon.reap()
        failed = {pid: code for pid, code in self.daemon.exit_codes.items() if code != 0}
        assert not failed, f"masters that handed over: {{pid: exit code}} {failed}"
        if self.daemon.settings["workers"] != self.workers or self.daemon.extra:
            self.daemon.settings["workers"], self.daemon.extra = self.workers, False
            ALL["reload"](self, "same")

        def complaint():
            found = {pid: (state, stat and stat[1]) for pid, state in self.daemon.members().items()
                     for stat in [process_stat(pid)]}
            return (f"not {self.workers + POOL_WORKERS} workers and one master (pid {self.daemon.pid}) after {PATIENCE_S} s, but "
                    f"{{pid: (state, parent)}} {found}, ready {self.daemon.follow()}"
                    f"{', and a deferred reload has not come' if self.daemon.reloads.owed else ''}")
        self.wait(self.settled, PATIENCE_S, complaint)
        assert not self.daemon.orphans(), f"orphans: {self.daemon.orphans()}"
        named = (self.daemon.settings["pidfile"]).read_text().strip()
        assert named == str(self.daemon.pid), f"the pidfile names {named}, in charge is {self.daemon.pid}"
        self.clients.sync()
        return self.daemon.stats()

    # ---- phases ----

    def phase(self, name, seconds, acts):
        """`acts`: one nemesis; or several, in any order, with kills between all they do; or none."""
        before, kind = self.settle(), "calm"
        first_event, start = len(self.clients.events), time.time()
        end = time.monotonic() + seconds
        self.doing, self.mixed = name, len(acts) > 1
        if acts:
            kind = acts[0].kind if len(acts) == 1 else FORCED
            killer = threading.Thread(target=self._kill_until, args=[end], daemon=True)
            if self.mixed and kill in acts:
                acts = [act for act in acts if act is not kill]
                killer.start()
            while not self.act(self.random.choice(acts), end):
                pass
            if killer.ident:
                killer.join()
        else:
            self.sleep_until(end)
        after = self.settle()
        self.mixed = False
        self.phases.append({"name": name, "kind": kind, "start": start, "end": time.time(), "before": before,
                            "after": after, "events": self.clients.events[first_event:]})
        return self.phases[-1]

    def act(self, act, end):
        """True when the phase is over."""
        next_act = time.monotonic() + act.gap
        if act.kind == GRACEFUL:
            self.graceful()
        act(self)
        self.count(act.__name__)
        return self.sleep_until(min(next_act, end)) and next_act >= end

    def sleep_until(self, end):
        time.sleep(max(0, end - time.monotonic()))
        assert not self.clients.violations, self.clients.violations[0][1]
        assert self.clients.process.poll() is None, "the clients have died"
        return True

    def _kill_until(self, end):
        chance = random.Random(self.random.random())
        while time.monotonic() < end:
            time.sleep(chance.uniform(0.05, 0.8))
            kill(self)
            self.count("kill")

    # ---- what came of it ----

    def replacement_times(self):
        """Kill to the next worker of the slot being ready, in seconds."""
        readies, found = self.daemon.readies, []
        for when, slot, pid in self.kills:
            died = next((at for at, _, dead, *_ in self.daemon.deaths if dead == pid and at >= when - 0.001), None)
            if died is None:
                continue
            ready = next((at for at, number, _ in readies if number == slot and at >= died), None)
            if ready is not None:
                found.append(ready - when)
        return found
