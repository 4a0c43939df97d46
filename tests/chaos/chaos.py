#!/usr/bin/python3
"""
The chaos test: clients on all four ports, everything bad that can happen to a server at the same time, and the books
balanced at the end.

    chaos.py --seconds 30 --seed 7              repeats a run, as far as time and kernel allow
    chaos.py --nemesis kill,stop --workers 4    only these; `--list` names all
"""
import argparse
import os
import random
import resource
import signal
import sys
import threading
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1] / "regress")]

import harness  # noqa: E402
import operations  # noqa: E402, F401
from arena import Arena  # noqa: E402
from daemon import Daemon, build, settings_of  # noqa: E402
from judge import judge_phase, judge_resources, judge_totals, unordered_deaths  # noqa: E402
from nemeses import ALL  # noqa: E402
from report import Progress, complain, summary  # noqa: E402

CALM_WEIGHT, MIXED_WEIGHT, ROUND_S = 0.5, 2.0, 60


def options_of(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--rate", type=float, default=1200, help="connections opened per second")
    parser.add_argument("--nemesis", default="all", help="comma-separated; calm: none")
    parser.add_argument("--adopt-after", type=float, default=0.25, help="seconds")
    parser.add_argument("--watchdog-timeout", type=float, default=1.0, help="seconds")
    parser.add_argument("--mixed", action="store_true", help="no phases: all of them at any time, with kills between")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args(arguments)
    if options.seed is None:
        options.seed = int(time.time()) % 1_000_000
    names = list(ALL) if options.nemesis == "all" else [name for name in options.nemesis.split(",") if name != "calm"]
    if unknown := [name for name in names if name not in ALL]:
        parser.error(f"no such nemesis: {', '.join(unknown)}; there are {', '.join(ALL)}")
    options.acts = [ALL[name] for name in names]
    return options


def plan(options):
    """
    [(name, seconds, acts)]: rounds of one phase per nemesis, in any order, a calm one first and a mixed one last. Acts
    are seen through to their end, so rounds take longer than planned: of those that would begin too late there is none.
    """
    chance, rounds = random.Random(options.seed), max(1, round(options.seconds / ROUND_S))
    mixed = options.acts if len(options.acts) > 1 else None
    if options.mixed:
        yield "mixed", options.seconds, options.acts
        return
    weights = CALM_WEIGHT + sum(act.weight for act in options.acts) + (MIXED_WEIGHT if mixed else 0)
    unit = options.seconds / rounds / weights
    end = time.monotonic() + options.seconds
    for done in range(rounds):
        if done > 0 and time.monotonic() > end:
            return
        yield "calm", CALM_WEIGHT * unit, []
        for act in chance.sample(options.acts, len(options.acts)):
            yield act.__name__, act.weight * unit, [act]
        if mixed:
            yield "mixed", MIXED_WEIGHT * unit, mixed


def check(rules, verdicts):
    """Remember what each rule found, numbers added up; the first that does not hold ends the run."""
    for name, found, holds in rules:
        known = verdicts.get(name, (0, True))[0]
        verdicts[name] = (known + found if isinstance(found, int) else found, holds)
        assert holds, f"{name}: {found}"


def fight(arena, options, verdicts):
    for name, seconds, acts in plan(options):
        phase = arena.phase(name, seconds, acts)
        check(judge_phase(arena, phase), verdicts)
        deaths = list(unordered_deaths(arena))
        beyond = max(0, arena.daemon.reloads.answers - arena.daemon.hups)
        check([("deaths that nobody ordered", len(deaths) and deaths, not deaths),
               ("reloads that nobody ordered", beyond, beyond == 0)], verdicts)


def count_up(arena, verdicts):
    """The clients are gone: nothing may be left of them, and the books must balance."""
    daemon = arena.daemon
    arena.clients.stop()
    wrong = arena.clients.violations
    check([("wrong or missing replies", len(wrong) and wrong[0][1], not wrong)], verdicts)
    arena.last_stats = daemon.await_stats(lambda stats: all(each["sessions_open"] == 0 for each in stats["listeners"]))
    check(judge_totals(arena), verdicts)
    check(judge_resources(arena, daemon.resources()), verdicts)
    code = daemon.terminate()
    check([("the master's exit code", code, code == 0)], verdicts)
    left = daemon.wait_group_gone()
    check([("zombies and orphans", len(left), not left)], verdicts)
    daemon.wait_log_end()
    daemon.check_reports()


def run(options):
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    # Leaks are looked for by the other tests: at each end it takes longer than the watchdog waits here.
    # What is freed is kept for a while, to see who still uses it: less of it, since the master's memory must not grow.
    sanitizer = [os.environ.get("ASAN_OPTIONS"), "detect_leaks=0", "quarantine_size_mb=2"]
    os.environ["ASAN_OPTIONS"] = ":".join(filter(None, sanitizer))
    print(f"seed {options.seed}", flush=True)
    binary, verdicts, upstream, daemon, arena = build(), {}, None, None, None
    try:
        harness.BINARY = str(binary)
        upstream = harness.Server(harness.listen("pingpong", backlog=4096), workers=1)
        daemon = Daemon(binary, upstream.addresses["pingpong"][0], **settings_of(binary, options))
        arena = Arena(daemon, options)
        with Progress(arena, options):
            fight(arena, options, verdicts)
            count_up(arena, verdicts)
        summary(arena, verdicts, options)
        return 0
    except (AssertionError, OSError) as error:
        complain(error, arena, daemon, verdicts, options)
        return 1
    finally:
        if arena:
            arena.clients.kill()
        for server in filter(None, [daemon, upstream]):
            server.kill_group()


def main():
    for number in signal.SIGTERM, signal.SIGHUP:
        signal.signal(number, lambda *_: sys.exit(1))
    options = options_of(sys.argv[1:])
    if options.list:
        for name, act in ALL.items():
            print(f"{name:8} {act.kind:9} {' '.join(act.__doc__.split())}")
        return 0
    return run(options)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.exit(code)
