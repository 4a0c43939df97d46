"""
What must hold. Every rule yields (name, what was found, whether it holds).

Clients and server count independently of each other. Where no session ended early the figures are equal. Otherwise:
a client cannot know whether what it sent after the last reply was read, nor what was written and thrown away by the
kernel, and a worker that is killed may have accepted or written something that it had no time to count. So a figure
must lie in a range, and the range is printed.
"""
from daemon import SERVICES
from nemeses import GRACEFUL

REPLY_MAX = {"pingpong": 60_000, "proxy": 60_000, "echo": 10_000, "bank": 10_000}  # bytes, about, see talk.py
OVERDUE_S = 0.1  # a request that old was in the worker's hands well before the worker closed
SERVER_CLOSES = ("done", "idle", "oversize", "protocol", "overflow", "upstream", "leaving", "drain", "memory")


def pick(stats, name):
    return next(each for each in stats["listeners"] if each["name"] == name)


def total(stats, *keys):
    found = 0
    for name in SERVICES:
        each = pick(stats, name)
        found += sum(each["closed"][key] if key in SERVER_CLOSES else each[key] for key in keys)
    return found


def uncounted(deaths):
    """
    Connections that a killed worker had accepted but not counted yet: at most one each. The gap is some 10
    microseconds long, so that few of many deaths hit it; one in ten is generous.
    """
    return 2 + deaths // 10


def deaths_of(arena, phase=None):
    return [death for death in arena.daemon.deaths if death[3] != 0
            and (phase is None or phase["start"] <= death[0] <= phase["end"])]


# ---- after every phase ----

def judge_phase(arena, phase):
    deaths, events = len(deaths_of(arena, phase)), phase["events"]
    lost = total(phase["after"], "lost") - total(phase["before"], "lost")
    drained = total(phase["after"], "drain") - total(phase["before"], "drain")
    resets = [event for event in events if event["how"] != "EOF"]
    overdue = [event for event in events if event["overdue"] > OVERDUE_S]
    when = [death[0] for death in deaths_of(arena)] + arena.blows  # a frozen master is late to log a death
    stray = [event for event in overdue + resets if not any(-0.5 < event["time"] - at < 1.5 for at in when)]
    arena.suspects = stray or resets or overdue or events
    if phase["kind"] in (GRACEFUL, "calm"):
        yield "graceful operations: resets", len(resets), not resets
        yield "graceful operations: requests left unanswered", len(overdue), not overdue
        yield "graceful operations: sessions lost", lost, lost == 0
    if phase["kind"] == "calm":
        yield "calm: sessions ended by the server", len(events), not events
    beyond = max(0, len(resets) - lost - drained - uncounted(deaths))
    yield "forced deaths: resets beyond what was lost", beyond, beyond == 0
    yield "resets and missing replies that no death explains", len(stray), not stray


def unordered_deaths(arena):
    """Exit code 0 is ordered by an act; or by a reload, which may have been deferred beyond its act."""
    ordered_at = max(arena.graceful_at, arena.daemon.reloads.answered_at)
    for _, slot, pid, cause, ready_at in arena.daemon.deaths:
        if cause in arena.expected.get(pid, ()):
            continue
        if cause == 0 and ordered_at >= ready_at:
            continue
        yield f"{slot} (pid {pid}): {cause}"


# ---- at the end ----

def within(low, value, high):
    return (f"{value:,} of the clients' {low:,}" if low == high else f"{value:,} in the clients' {low:,} .. {high:,}",
            low <= value <= high)


def judge_totals(arena):
    clients, stats, deaths = arena.clients, arena.last_stats, len(deaths_of(arena))
    connected, accepted = clients.total("connected"), total(stats, "accepted")
    gap = connected - accepted
    yield "connections refused", clients.total("refused"), clients.total("refused") == 0
    yield "connections that failed otherwise", clients.total("failed"), clients.total("failed") == 0
    yield ("connections reset before they were accepted",
           f"{connected:,} connected - {accepted:,} counted = {gap}; not counted by {deaths} killed: <= {uncounted(deaths)}",
           0 <= gap <= uncounted(deaths))
    refused = total(stats, "refused")
    yield "connections closed for want of memory", refused, refused == 0
    early, lost = clients.total("ended_early"), total(stats, "lost")
    closed = total(stats, "done", "leaving", "drain", "idle", "upstream")
    yield ("sessions ended early",
           f"{early:,} <= {lost:,} lost with their worker + {closed:,} closed by the server + {uncounted(deaths)}",
           early <= lost + closed + uncounted(deaths))
    for name in SERVICES:
        each, seen = pick(stats, name), clients.last["counters"][name]
        text, good = within(seen["sent"] - seen["unread"], each["bytes_in"], seen["sent"])
        yield f"{name}: bytes in", text, good
        forgotten = uncounted(deaths) * REPLY_MAX[name] if deaths else 0
        text, good = within(seen["received"] - forgotten, each["bytes_out"], seen["received"] + seen["unheard"])
        yield f"{name}: bytes out", text, good
        if name in ("echo", "bank"):
            text, good = within(seen["messages"], each["messages_in"], seen["messages"] + seen["unanswered"])
            yield f"{name}: messages", text, good


def judge_resources(arena, now):
    base = arena.base
    for key in "master descriptors", "worker descriptors":
        yield key, f"{now[key]}, at first {base[key]}", now[key] == base[key]
    grown = now["master KiB"] - base["master KiB"]
    yield "master's memory", f"{now['master KiB']} KiB, at first {base['master KiB']}", grown < 4096
