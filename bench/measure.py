"""
A cell: some contestants under one load, run in turns, and compared pair by pair.

Within a round everybody runs once in some order and then once in the reverse order (ABBA for two), so that a machine
that becomes slower or faster hits everybody alike. The i-th runs of two contestants are a pair.
"""
import functools
import time
from dataclasses import dataclass, field

import stats
from client import RunError, Unanswered
from contest import NotAvailable
from servers import StartError

# Of one measurement: the others go on.
FAILURES = (NotAvailable, StartError, RunError, OSError, ValueError, KeyError, ArithmeticError)
RETRIES = 2
RUN_OVERHEAD_S = 0.12         # starting the client and ending it
CELL_OVERHEAD_S = 0.4
# For the estimate of the time left only.
CONNECT_S_PER_SESSION = 65e-6
VERIFY_S = 0.25
VALUE_UNITS = {"cpu_us": "µs", "redis_us": "µs", "sum_us": "µs", "msg_per_s": "/s", "p99": "µs"}


@dataclass(frozen=True)
class Contestant:
    """Who runs: a name for the table, a kind of server, one of its services, and perhaps a load of its own."""
    name: str
    kind: str
    service: str = "any"
    load: object = None
    alone: bool = False  # ended after each run: it would burn the CPU while others run


@dataclass(frozen=True)
class Goal:
    """A comparison: the metric of `ours` over that of `theirs`, and what it must be. Without `op` it only informs."""
    ours: str
    theirs: str
    op: str = None
    target: float = None
    metric: str = "cpu_us"
    note: str = ""
    unit: str = ""  # of the values; empty: the metric's own


@dataclass(frozen=True)
class Cell:
    """One load and all who are put under it."""
    title: str
    load: object
    contestants: tuple
    goals: tuple
    seconds_factor: float = 1.0
    slow: bool = False  # a quick run does fewer rounds of it


@dataclass
class Result:
    """One line of the table."""
    title: str
    versus: str
    op: str = None
    target: float = None
    estimate: stats.Estimate = None
    verdict: str = stats.INFORM
    unit: str = "×"
    values: dict = field(default_factory=dict)  # absolute medians: name -> number
    value_unit: str = ""
    note: str = ""
    samples: list = field(default_factory=list)


@dataclass
class Outcome:
    """What a row brought: results for the table, and raw samples by cell and contestant."""
    number: str
    title: str
    results: list = field(default_factory=list)
    cells: dict = field(default_factory=dict)
    repeated: list = field(default_factory=list)  # runs that failed and were made again, and why
    notes: list = field(default_factory=list)
    seconds: float = 0.0

    def verdict(self):
        """One word for the row."""
        return stats.worst(result.verdict for result in self.results)


def run_seconds(cell, mode):
    """Planned duration of one run."""
    window = mode.window_for(cell.load, cell.seconds_factor)
    return window.seconds + window.warmup + RUN_OVERHEAD_S + \
        getattr(cell.load, "sessions", 0) * CONNECT_S_PER_SESSION


def cell_seconds(cell, mode):
    """Planned duration of a cell, for the progress bar."""
    return CELL_OVERHEAD_S + VERIFY_S * len(cell.contestants) + 2 * mode.rounds_of(cell) * len(cell.contestants) * run_seconds(cell, mode)


def one_run(contest, cell, contestant, mode):
    """A sample; a run that fails is repeated, because a shared machine may starve it, and that is told."""
    for attempt in range(RETRIES + 1):
        try:
            load = contestant.load or cell.load
            window = mode.window_for(load, cell.seconds_factor)
            return load.run(contest, contest.server(contestant.kind), contestant.service, window)
        except (RunError, OSError) as error:
            contest.stop(contestant.kind)
            if attempt == RETRIES or isinstance(error, Unanswered):
                raise
            contest.repeated.append(f"{cell.title}: {error}")
        finally:
            if contestant.alone:
                contest.stop(contestant.kind)
    return None


def turns(contestants, round_number):
    """The order of a round: a palindrome, begun by another one each time."""
    shift = round_number % len(contestants)
    order = list(contestants[shift:]) + list(contestants[:shift])
    return order + order[::-1]


def verify(contest, cell, contestant):
    """See that a server answers right: a figure of one that does not would mean nothing."""
    load = contestant.load or cell.load
    server = contest.server(contestant.kind)
    if ":" not in contestant.kind:  # a floor that answers with other bytes than it was sent, only as many
        load.verify(contest, server, contestant.service)


def prepare(contest, cell, contestant):
    """Start a server and verify it, as often as a run is tried."""
    for attempt in range(RETRIES + 1):
        try:
            verify(contest, cell, contestant)
            break
        except (RunError, OSError) as error:
            contest.stop(contestant.kind)
            if attempt == RETRIES:
                raise
            contest.repeated.append(f"{cell.title}: {error}")
        finally:
            if contestant.alone:
                contest.stop(contestant.kind)


def run_rounds(cell, contest, mode, progress, samples, missing, rounds):
    """Run everybody, and add what is found to `samples` by name, and to `missing` the reasons of those who failed."""
    for number in rounds:
        for contestant in turns(cell.contestants, number):
            if contestant.name not in missing:
                try:
                    samples[contestant.name].append(one_run(contest, cell, contestant, mode))
                except FAILURES as error:
                    missing[contestant.name] = str(error)
            progress.advance(run_seconds(cell, mode))


def run_cell(cell, contest, mode, progress):
    """
    Run everybody. Returns samples by name, and reasons by name for those who could not run. Where a full run leaves a
    line undecided, there are as many rounds again, once.
    """
    samples, missing = {each.name: [] for each in cell.contestants}, {}
    for contestant in cell.contestants:
        try:
            prepare(contest, cell, contestant)
        except FAILURES as error:
            missing[contestant.name] = str(error)
        progress.advance(VERIFY_S)
    rounds = mode.rounds_of(cell)
    run_rounds(cell, contest, mode, progress, samples, missing, range(rounds))
    lines = [result_of(cell, goal, samples, missing) for goal in cell.goals]
    again = 2 * rounds * len(cell.contestants) * run_seconds(cell, mode)
    if any(line.verdict in stats.UNSURE for line in lines) and mode.may_repeat(again):
        progress.extend(again)
        failed = dict(missing)
        run_rounds(cell, contest, mode, progress, samples, failed, range(rounds, 2 * rounds))
        if failed != missing:  # what there is of the first rounds stays
            samples = {name: found[:2 * rounds] for name, found in samples.items()}
            contest.repeated += [f"{cell.title}, {name}, more rounds: {why}" for name, why in failed.items()]
    return samples, missing


def median_of(samples, metric):
    """The median of one figure over runs."""
    return stats.percentile(sorted(sample[metric] for sample in samples), 0.5)


def result_of(cell, goal, samples, missing):
    """A line of the table from the samples of a cell."""
    result = Result(cell.title, f"{goal.ours} / {goal.theirs}", goal.op, goal.target, note=goal.note)
    absent = {missing[name] for name in (goal.ours, goal.theirs) if name in missing}
    if absent:
        result.verdict, result.note = stats.NOT_AVAILABLE, "; ".join(sorted(absent))
        return result
    ours, theirs = samples[goal.ours], samples[goal.theirs]
    try:
        result.samples = stats.paired_ratios([s[goal.metric] for s in ours], [s[goal.metric] for s in theirs])
    except ValueError as error:
        result.verdict, result.note = stats.NOT_AVAILABLE, str(error)
        return result
    result.estimate = stats.estimate(result.samples)
    result.verdict = stats.verdict(result.estimate, goal.op, goal.target)
    result.values = {name: median_of(samples[name], goal.metric) for name in (goal.ours, goal.theirs)}
    result.value_unit = goal.unit or VALUE_UNITS[goal.metric]
    return result


def run_cells(outcome, cells, make_contest, mode, progress):
    """All cells of a row, each with servers that were started for it."""
    for cell in cells:
        progress.step(f"row {outcome.number}: {cell.title}")
        with make_contest() as contest:
            samples, missing = run_cell(cell, contest, mode, progress)
            outcome.repeated += contest.repeated
        progress.advance(CELL_OVERHEAD_S)
        outcome.cells[cell.title] = samples
        outcome.results += [result_of(cell, goal, samples, missing) for goal in cell.goals]


def is_empty(outcome):
    """True when nothing of a row could be measured."""
    return all(result.verdict == stats.NOT_AVAILABLE for result in outcome.results)


def run_row(row, make_contest, mode, progress):
    """A row of the table, from its cells or from its own function."""
    outcome, start = Outcome(row.number, row.title, notes=list(row.notes)), time.monotonic()
    make_contest = functools.partial(make_contest, row.client)
    try:
        run_cells(outcome, row.cells, make_contest, mode, progress)
        if row.special:
            row.special(outcome, make_contest, mode, progress)
    except Exception as error:  # pylint: disable=broad-except; whatever it is, the other rows are not to be lost
        outcome.results.append(Result(row.title, "", verdict=stats.NOT_AVAILABLE,
                                      note=f"{type(error).__name__}: {error}"))
    outcome.seconds = time.monotonic() - start
    return outcome
