#!/usr/bin/python3
"""
The benchmarks: run them all, unattended, and say what was found.

    bench/run.py [--quick] [--rows 1,4,A] [--rounds N] [--out build/bench]

Exit code 0: measured, whatever the verdicts; 1: nothing of a row could be measured; 130: interrupted, with a report of
what there was until then.
"""
import argparse
import os
import pathlib
import shutil
import signal
import sys
import time
from dataclasses import asdict, dataclass, replace

sys.dont_write_bytecode = True

import machine  # noqa: E402
import measure  # noqa: E402
import report  # noqa: E402
import rows  # noqa: E402
import scaling  # noqa: E402
from client import Window  # noqa: E402
from contest import Contest, sweep  # noqa: E402
from progress import Progress, duration  # noqa: E402


FIRST_TURN_S = 20e-6
QUICK_SLOW_ROUNDS = 2


@dataclass
class Mode:
    """How long and how often."""
    quick: bool
    rounds: int
    window: Window
    extra_s: float = 0.0  # may be spent on lines that are undecided

    def may_repeat(self, seconds):
        """Take so much of the time for undecided lines, if there is that much."""
        if seconds > self.extra_s:
            return False
        self.extra_s -= seconds
        return True

    def window_for(self, load, factor=1.0):
        """The window of a load: some need longer runs, many sessions need longer until each has had its first turn."""
        warmup = max(self.window.warmup, getattr(load, "sessions", 0) * FIRST_TURN_S)
        return Window(self.window.seconds * factor, warmup)

    def rounds_of(self, cell):
        """How many rounds a cell gets: a quick run cannot afford all of the slow ones."""
        return min(self.rounds, QUICK_SLOW_ROUNDS) if self.quick and cell.slow else self.rounds


QUICK = Mode(True, 3, Window(0.20, 0.10))
FULL = Mode(False, 8, Window(1.0, 0.2), 300.0)


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="under 5 minutes, wider intervals")
    parser.add_argument("--rows", default="", help="only these, e.g. 1,4,A; S: scaling")
    parser.add_argument("--rounds", type=int, default=0, help="ABBA rounds for each cell")
    parser.add_argument("--out", type=pathlib.Path, default=machine.ROOT / "build" / "bench")
    return parser.parse_args()


def mode_of(options):
    """Quick or full, with the number of rounds asked for."""
    mode = QUICK if options.quick else FULL
    return replace(mode, rounds=options.rounds) if options.rounds > 0 else mode


def interrupt(_number, _frame):
    """End the run through every clean-up, which a second signal is not to interrupt."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def handle_signals():
    """Ctrl-C and SIGTERM alike; set here because a shell starts what runs in the background with SIGINT ignored."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)


def contest_maker(out):
    """make_contest(client): servers on the first CPU, the client on another one, by its place in the list of CPUs."""
    cpus = machine.cpus()

    def make(client=1):
        return Contest(out, {cpus[0]}, {cpus[min(client, len(cpus) - 1)]})
    return make


def run_rows(chosen, with_scaling, out, mode, progress):
    """Yields outcomes as they come: what was measured before an interrupt is not lost."""
    make_contest = contest_maker(out)
    for row in chosen:
        yield measure.run_row(row, make_contest, mode, progress), None
    if with_scaling:
        try:
            yield None, scaling.measure_all(out, mode, progress)
        except Exception as error:  # pylint: disable=broad-except; the rows are not to be lost for it
            print(f"run.py: scaling: {type(error).__name__}: {error}", file=sys.stderr)


def draw(out, outcomes, scaled):
    """The plots; without matplotlib there are none, and that is said."""
    try:
        import plots  # only here: matplotlib is slow to load, and may be missing
    except ImportError as error:
        print(f"no plots: {error} (python3-matplotlib)", file=sys.stderr)
        return []
    try:
        return plots.draw_all(out, outcomes, scaled)
    except Exception as error:  # pylint: disable=broad-except; nor for a plot
        print(f"no plots: {type(error).__name__}: {error}", file=sys.stderr)
        return []


def finish(out, run, outcomes, scaled):
    """Everything that is written after the measurements."""
    report.write_json(out / "results.json", run, outcomes, scaled)
    drawn = draw(out, outcomes, scaled)
    text = report.markdown(run, outcomes, scaling.text_of(scaled), drawn)
    (out / "report.md").write_text(text)
    print(report.terminal_table(outcomes, sys.stdout.isatty()))
    if scaled:
        print("\n" + scaling.text_of(scaled))
    print("\n" + report.noise_text(outcomes) + "\n" + report.bystanders_text(run))
    for win in report.uring_findings(outcomes)[0]:
        print(f"io_uring beats the epoll floor by 10 % or more: {win}")
    print(f"\n{report.summary(outcomes)}\n{duration(run['seconds'])} minutes; {out / 'report.md'}, results.json, "
          f"{len(drawn)} plots")


def main():
    """Measure, then tell."""
    options = arguments()
    mode, out = mode_of(options), options.out.resolve()
    wanted = {word.strip().upper() for word in options.rows.split(",") if word.strip()}
    table = rows.all_rows(mode)
    unknown = wanted - {row.number for row in table} - {"S"}
    if unknown:
        sys.exit(f"run.py: no such row: {', '.join(sorted(unknown))}")
    if len(machine.cpus()) < 2:
        sys.exit("run.py: two CPUs are needed: one for the server, one for the client")
    chosen, with_scaling = [row for row in table if not wanted or row.number in wanted], not wanted or "S" in wanted
    out.mkdir(parents=True, exist_ok=True)
    handle_signals()
    sweep(out)
    machine.raise_nofile()
    cpus, start = machine.cpus(), time.monotonic()
    os.sched_setaffinity(0, {cpus[1]})  # the runner is on the client's side, too
    run = {"started": time.strftime("%Y-%m-%d %H:%M"), "machine": machine.facts(), "mode": asdict(mode),
           "cpus": {"server": cpus[0], "client": cpus[1]}, "complete": False}
    planned = sum(row.seconds(mode) for row in chosen) + (scaling.seconds(mode) if with_scaling else 0)
    progress, outcomes, scaled, bystanders = Progress(planned), [], None, machine.Bystanders()
    progress.say(f"{len(chosen)} rows, about {duration(planned)} minutes, server on CPU {cpus[0]}")
    try:
        for outcome, found in run_rows(chosen, with_scaling, out, mode, progress):
            outcomes, scaled = outcomes + ([outcome] if outcome else []), found or scaled
            report.write_json(out / "results.json", run, outcomes, scaled)  # in case it does not come to its end
        run["complete"] = True
    except KeyboardInterrupt:
        progress.say("interrupted: the report has what was measured so far")
    progress.close()
    run["seconds"], run["bystanders"] = time.monotonic() - start, bystanders.shares()
    os.sched_setaffinity(0, cpus)
    if outcomes or scaled:
        finish(out, run, outcomes, scaled)
    shutil.rmtree(out / f"scratch-{os.getpid()}", ignore_errors=True)
    if not run["complete"]:
        return 130
    return 1 if any(measure.is_empty(outcome) for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
