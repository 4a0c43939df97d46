#!/usr/bin/env python3
"""
Run random programs of several clients twice, directly against a redis-server and through ccserver before another one, and compare
the answers of each client byte for byte. Exits 1 with the smallest program found at the first difference.

    programs.py's scenes of random commands (commands.py) -> steps -> player.py, which moves the bytes of its clients (talker.py)
    answers.py: what of an answer is compared        shrink.py: a smaller program that still differs
"""
import argparse
import contextlib
import itertools
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/regress"), str(pathlib.Path(__file__).parent)]

from harness import Server, first_difference, listen  # noqa: E402
from player import Block, Control, Player, Send  # noqa: E402
from programs import USERS, program  # noqa: E402
from redis_server import Redis  # noqa: E402
from shrink import shrink  # noqa: E402

MODES = {"redis, 1 worker": ("redis", {}, 1), "redis, 2 workers": ("redis", {}, 2),
         "proxy, protocol = redis": ("proxy", {"protocol": "redis"}, 2)}
PATIENCE = 15       # seconds for any step
SHRINK_PATIENCE = 2
SHRINK_SECONDS = 60
AGAIN = 4           # runs of a program that has differed, before it is shrunk
SHOWN = 200         # bytes of an answer, or of a command


class Ending:
    """Signals that end a run. One that comes while processes are started takes effect when they can be ended, too."""

    def __init__(self):
        self.deferred = self.pending = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.handle)

    def handle(self, *_):
        self.pending = True
        if not self.deferred:
            self.end()

    @staticmethod
    def end():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)  # another one does not disturb the end
        sys.exit("ended by a signal")

    def __enter__(self):
        self.deferred = True

    def __exit__(self, *_):
        self.deferred = False
        if self.pending:
            self.end()


class Target:
    """A redis-server, and what clients connect to: itself, or a ccserver before it. Both start when they are needed."""

    ending = contextlib.nullcontext()

    def __init__(self, mode=None):
        self.mode = mode
        self.redis = self.server = self.control = None

    def start(self):
        self.redis = Redis("--enable-debug-command", "local")
        self.address = f"127.0.0.1:{self.redis.port}"
        if self.mode:
            service, keys, workers = MODES[self.mode]
            self.server = Server(listen(service, "redis", upstream=self.address, **keys), workers=workers)
            self.server.baseline.clear()  # shared connections stay
            self.address = self.server.addresses["redis"][0]
        self.control = Control(self.redis.port)
        for user, rules in USERS.items():
            self.control.ask("ACL", "SETUSER", user, "on", *rules)

    def play(self, steps, patience, like=None):
        if not self.redis:
            with self.ending:
                self.start()
        played = Player(self.address, self.control, patience, like).play(steps)
        if played.stuck:  # whatever is left of it
            self.stop()
        return played

    def stop(self):
        """End all processes, whatever they are doing."""
        if self.control:
            self.control.close()
        if self.server:
            self.server.kill_group()
        if self.redis:
            self.redis.stop()
        self.control = self.server = self.redis = None

    def finish(self):
        """An orderly end: no session is left, ccserver exits 0, nobody has complained."""
        if self.server:
            self.server.finish()


def difference(direct, through):
    """What differs, as a text; None: nothing."""
    for client in sorted(direct.answers):
        one, two = direct.answers[client], through.answers.get(client, [])
        for number, (a, b) in enumerate(itertools.zip_longest(one, two)):
            if a != b:
                return f"client {client}, answer {number}:\n  directly {shown(a)}\n  through  {shown(b)}" + (
                    f"\n  {first_difference(b, a)}" if a and b else "") + (f"\n  {through.stuck}" if through.stuck else "")
    if through.stuck:
        return f"this has not come: {through.stuck}"
    if direct.digest != through.digest:
        return f"the data: DEBUG DIGEST {direct.digest.strip()} directly, {through.digest.strip()} through"
    return None


def shown(bytes_):
    if bytes_ is None:
        return "nothing"
    return f"{bytes_[:SHOWN]!r}" + (f"... ({len(bytes_)} bytes)" if len(bytes_) > SHOWN else "")


def show(step):
    fields = step._asdict()
    cuts = fields.pop("cuts", ())
    for key in ("commands", "words"):
        fields.pop(key, None)
    texts = [f"{key}={shown(value) if isinstance(value, bytes) else repr(value)}" for key, value in fields.items()]
    return f"{type(step).__name__}({', '.join(texts)})" + (f" cut at {', '.join(map(str, cuts[:6]))}" if cuts else "") + (
        " ..." if len(cuts) > 6 else "")


class Tester:
    """Two targets by mode, made when they are needed."""

    def __init__(self, targets=Target):
        self.make, self.targets = targets, {}
        self.programs = self.commands = 0

    def target(self, mode=None):
        if mode not in self.targets:
            self.targets[mode] = self.make(mode)
        return self.targets[mode]

    def compare(self, steps, mode, patience):
        """What differs. A program that does not come to its end directly is a mistake of its own: then an exception."""
        direct = self.target().play(steps, patience)
        if direct.stuck:
            raise ValueError(f"directly, this has not come: {direct.stuck}")
        return difference(direct, self.target(mode).play(steps, patience, direct))

    def differs(self, steps, mode, tries):
        """What differs in one of some runs."""
        for _ in range(tries):
            try:
                if found := self.compare(steps, mode, SHRINK_PATIENCE):
                    return found
            except ValueError:  # it has lost what it needs
                return None
        return None

    def run_one(self, seed, number, mode):
        """Play a program; None, or a report of what differs."""
        steps = program(random.Random(f"{seed}-{number}"))
        self.programs += 1
        self.commands += sum(isinstance(step, (Send, Block)) for step in steps)
        try:
            found = self.compare(steps, mode, PATIENCE)
        except ValueError as error:
            return f"--seed {seed} --program {number}: {error}"
        if not found:
            return None
        times = sum(bool(self.differs(steps, mode, 1)) for _ in range(AGAIN))
        lines = [f"--seed {seed} --program {number}, {mode}: a difference, in {times} of {AGAIN} more runs",
                 f"at first: {found}"]
        if times:
            tries = -(-AGAIN // times)
            small = shrink(steps, lambda fewer: self.differs(fewer, mode, tries), SHRINK_SECONDS)
            lines += [f"shrunk from {len(steps)} to {len(small)} steps:", *(f"  {show(step)}" for step in small),
                      self.differs(small, mode, 3 * tries) or "which did not differ again"]
        return "\n".join(lines)

    def finish(self):
        for target in self.targets.values():
            target.finish()

    def stop(self):
        with contextlib.ExitStack() as stack:  # all of them, even if one fails
            for target in self.targets.values():
                stack.callback(target.stop)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 1_000_000)
    parser.add_argument("--program", type=int, help="only this one")
    parser.add_argument("--keep-going", action="store_true", help="report every difference, not the first one only")
    options = parser.parse_args()
    version = subprocess.run(["redis-server", "--version"], capture_output=True, text=True, check=True).stdout.split()[2]
    print(f"seed {options.seed}, {version}, {os.environ.get('CCSERVER', 'build/ccserver')}", flush=True)
    Target.ending = Ending()
    tester, began, found = Tester(), time.monotonic(), 0
    try:
        numbers = itertools.count() if options.program is None else [options.program]
        for number in numbers:
            if time.monotonic() - began >= options.seconds and options.program is None:
                break
            if report := tester.run_one(options.seed, number, list(MODES)[number % len(MODES)]):
                print(report, flush=True)
                found += 1
                if not options.keep_going:
                    break
        if not found:
            tester.finish()
    finally:
        tester.stop()
    print(f"{tester.programs} programs, {tester.commands} commands, {time.monotonic() - began:.0f} s, {found or 'no'} "
          f"difference{'s' if found != 1 else ''}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
