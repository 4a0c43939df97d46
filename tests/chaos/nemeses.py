"""
Who attacks, and how. An act is one attack, seen through to its end; it raises AssertionError when the server does not
answer it as it should. GRACEFUL acts, alone, may cost nobody anything.
"""
import signal
import socket
import time

from harness import SANITIZED, process_stat

FORCED, GRACEFUL = "forced", "graceful"
ALL = {}


def nemesis(kind, gap, weight=1.0):
    """`gap`: seconds from the begin of an act to the next; `weight`: its share of the time."""
    def register(act):
        act.kind, act.gap, act.weight = kind, gap, weight
        ALL[act.__name__] = act
        return act
    return register


# ---- talking to the service `nemesis` ----

def command(arena, text):
    """
    Say it to whatever worker takes the connection; returns its pid, or None when that one died or drained first. The
    connection is held for a while: what was asked for is done a moment after the answer.
    """
    for old in arena.held[:-2]:
        old.close()
    arena.held[:-2] = []
    sock = socket.create_connection(("127.0.0.1", arena.daemon.ports["nemesis"]), timeout=5)
    arena.held.append(sock)
    try:
        sock.sendall(text.encode() + b"\n")
        return int(sock.makefile("rb").readline() or 0) or None
    except (ConnectionResetError, BrokenPipeError):
        return None


def worst_probe(arena, count=24):
    """Seconds that the slowest of `count` new connections waited; their hashes reach every slot."""
    worst = 0
    for _ in range(count):
        start = time.monotonic()
        command(arena, "pid")
        worst = max(worst, time.monotonic() - start)
    return worst


# ---- death ----

def strike(arena, number, causes):
    """Signal a worker that serves; its pid, or None when there is none just now."""
    serving = list(arena.daemon.newest().items())
    arena.random.shuffle(serving)
    for slot, pid in serving:
        arena.expect(pid, causes)
        if arena.daemon.kill(pid, number):
            if number == signal.SIGKILL:
                arena.blow()
            return slot, pid
    return None


@nemesis(FORCED, 0.1, weight=2)
def kill(arena):
    """SIGKILL, ten times a second."""
    now = time.time()
    victim = strike(arena, signal.SIGKILL, ["SIGKILL"])
    if victim and not arena.mixed:
        arena.kills.append((now, *victim))


@nemesis(FORCED, 0.4)
def crash(arena):
    """Bugs: a signal or an exit code. The slot's backoff grows while they go on."""
    what = arena.random.choice(["exit 0", "exit 1", "exit 3"] + ["segv", "abort"] * (not SANITIZED))
    pid = command(arena, what)
    if pid:
        arena.blow()
        arena.expect(pid, ["SIGSEGV", "SIGABRT", 0, 1, 3])


@nemesis(GRACEFUL, 0.5)
def term(arena):
    """SIGTERM to a worker: it drains and is replaced."""
    if victim := strike(arena, signal.SIGTERM, [0]):
        arena.wait_death(victim[1], 5)


# ---- silence ----

def hang(arena, slot, pid, seconds, wake):
    """A worker is silent from now on: it wakes after `seconds`, or is to be replaced."""
    since, start, adopted = arena.daemon.mark(), time.monotonic(), False
    adopt = arena.adopt_after
    if seconds is None:
        arena.expect(pid, ["SIGABRT", "SIGKILL"])
    if seconds is None or seconds > 1.5 * adopt:
        text = rf"{slot} \(pid {pid}\) (is silent for \d+ ms: (?:its siblings adopt|no sibling)|killed|exited)"
        found = arena.daemon.wait_log(text, since, adopt + 2)
        adopted = "siblings adopt" in found[1]
        arena.note("silence -> adoption", time.monotonic() - start)
        if adopted and not arena.mixed:
            worst = worst_probe(arena)
            arena.note("new connection during a hang", worst)
            assert worst < 1, f"a new connection waited {worst:.3f} s while {slot} was silent and adopted"
    if seconds is None:
        arena.wait_death(pid, arena.watchdog_timeout + 3)
        arena.note("silence -> death", time.monotonic() - start)
        return
    time.sleep(max(0, seconds - (time.monotonic() - start)))
    wake()
    awake = time.monotonic() - start
    if awake > arena.watchdog_timeout * 0.8:  # we were late ourselves
        arena.expect(pid, ["SIGABRT", "SIGKILL"])
    if adopted:
        arena.daemon.wait_log(rf"{slot} \(pid {pid}\) (beats again|killed|exited)", since, 2)


def how_long(arena):
    """A moment, long enough to be adopted, or for ever."""
    choice = arena.random.random()
    if choice < 0.4:
        return arena.random.uniform(0.02, 0.6 * arena.adopt_after)
    if choice < 0.7:
        return arena.random.uniform(1.6 * arena.adopt_after, 0.65 * arena.watchdog_timeout)
    return None


@nemesis(FORCED, 0.2, weight=1.6)
def stop(arena):
    """SIGSTOP, for a moment or until the watchdog acts."""
    serving = list(arena.daemon.newest().items())
    if not serving:
        return
    slot, pid = arena.random.choice(serving)
    if arena.daemon.kill(pid, signal.SIGSTOP):
        try:
            hang(arena, slot, pid, how_long(arena), lambda: arena.daemon.kill(pid, signal.SIGCONT))
        finally:
            arena.daemon.kill(pid, signal.SIGCONT)


def busy(arena, what):
    seconds = how_long(arena)
    pid = command(arena, what if seconds is None else f"{what} {int(seconds * 1000)}")
    if seconds is None and pid:
        arena.expect(pid, ["SIGABRT", "SIGKILL"])  # also when it drains already
    slot = arena.daemon.follow().get(pid)
    if slot is not None:
        hang(arena, slot, pid, seconds, lambda: None)


@nemesis(FORCED, 0.2, weight=1.4)
def loop(arena):
    """An endless loop in a service."""
    busy(arena, "loop")


@nemesis(FORCED, 0.2, weight=1.2)
def block(arena):
    """A blocking call in a service."""
    busy(arena, "block")


@nemesis(GRACEFUL, 0.5)
def freeze(arena):
    """The master is stopped for longer than the watchdog's patience, as on a suspended machine. Nobody may die."""
    master = arena.daemon.pid
    if arena.daemon.kill(master, signal.SIGSTOP):
        try:
            time.sleep(arena.watchdog_timeout * arena.random.uniform(0.3, 1.6))
        finally:
            arena.daemon.kill(master, signal.SIGCONT)


@nemesis(FORCED, 1.0)
def down(arena):
    """Exit code 2: the slot stays down, its siblings serve; a reload brings it back."""
    since = arena.daemon.mark()
    pid = command(arena, "exit 2")
    if pid is None:
        return
    arena.expect(pid, [2])
    slot = arena.daemon.wait_log(rf"(worker \d+) \(pid {pid}\) exited with code 2", since, 5)[1]
    try:
        arena.daemon.wait_log(rf"{slot} stays down", since, 1)
    except AssertionError:
        return  # it was draining anyway: nobody misses it
    worst = worst_probe(arena)
    assert worst < 1, f"a new connection waited {worst:.3f} s while {slot} was down"
    ALL["reload"](arena, "same")


def running(pid):
    return (stat := process_stat(pid)) is not None and stat[0] != "Z"
