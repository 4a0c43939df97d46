"""
What an operator does: reload, resize, upgrade; well and badly. None of it may cost a client anything.
"""
import os
import re
import signal
import socket
import time

from harness import listen
from nemeses import GRACEFUL, nemesis, running, worst_probe

ANSWER_S = 12  # an old generation that still drains is awaited first


# ---- HUP ----

def typo(text):
    return text.replace("drain_timeout", "drain_timeuot", 1)


BAD = {
    "typo": typo,
    "bad value": lambda text: re.sub(r"max_output = \w+", "max_output = many", text, count=1),
    "bad service": lambda text: text.replace("service = bank", "service = bonk", 1),
    "no value": lambda text: text.replace("[listen bank]", "[listen bank]\nbacklog", 1),
    "no section": lambda text: "workers = 3\n" + text,
}


def reload_badly(arena, what):
    daemon = arena.daemon
    with socket.socket() as taken:
        text = daemon.write_config()
        if what == "address in use":
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            bad = text + f"\n[listen taken]\nservice = echo\nbind = 127.0.0.1:{taken.getsockname()[1]}\n"
        else:
            bad = BAD[what](text)
        since = daemon.mark()
        daemon.write_config(bad)
        daemon.signal(signal.SIGHUP)
        daemon.wait_log(r"reload refused: ", since, ANSWER_S)
    daemon.write_config()


def reload_well(arena, what):
    daemon = arena.daemon
    if what == "value":
        daemon.max_output = arena.random.choice(["8m", "16m", "12m"])
    elif what == "listener":
        daemon.extra = not daemon.extra
    elif what == "workers":
        daemon.settings["workers"] = arena.random.choice([max(1, arena.workers // 2), arena.workers])
    daemon.write_config()
    for attempt in range(10):
        since = daemon.mark()
        for _ in range(5 if what == "storm" else 1):
            daemon.signal(signal.SIGHUP)
        found = daemon.wait_log(r"reload: generation \d+ serves|reload refused: .*", since, ANSWER_S)[0]
        if "serves" in found:
            break
        # Somebody else kills meanwhile, perhaps one that has just got ready: then once more.
        assert arena.mixed and "a worker of it died" in found and attempt < 9, found
    if what == "listener" and not arena.mixed:
        with socket.socket() as sock:
            sock.settimeout(5)
            code = sock.connect_ex(("127.0.0.1", daemon.ports["extra"]))
            if daemon.extra:
                assert code == 0, f"the new listener: {os.strerror(code)}"
                sock.sendall(b"x")
                assert sock.recv(1) == b"x"


def reload_unchanged(arena):
    """The log is reopened, and that is all: not even a worker is replaced."""
    daemon = arena.daemon
    for _ in range(2):  # where the file has not been loaded yet, as it stands, the second is the one
        since = daemon.mark()
        daemon.signal(signal.SIGHUP)
        found = daemon.wait_log(r"reload: (generation \d+ serves|nothing has changed)|reload refused: .*", since,
                                ANSWER_S)[0]
        if "nothing" in found:
            return
    assert arena.mixed, found


@nemesis(GRACEFUL, 0.3, weight=1.4)
def reload(arena, what=None):
    """
    HUP: values, a listener more or fewer, another number of workers, the same in other words, five at once, no change at
    all; and errors.
    """
    good = ["value", "listener", "workers", "same", "storm", "unchanged"]
    what = what or arena.random.choice(good + good + [*BAD, "address in use"])
    arena.graceful()
    if what == "unchanged":
        reload_unchanged(arena)
    elif what in good:
        reload_well(arena, what)
    else:
        reload_badly(arena, what)
    arena.count(f"reload: {'good' if what in good else 'bad'}")
    arena.graceful()


@nemesis(GRACEFUL, 0.5, weight=0.8)
def silence(arena):
    """HUP with a name that the name server says nothing about: all goes on, until the reload is refused."""
    daemon, names = arena.daemon, arena.daemon.names
    if names is None:
        return  # it takes a mount namespace, and so root
    arena.graceful()
    names.dns["silent.example.test"] = None
    names.asked.clear()
    text, since = daemon.write_config(), daemon.mark()
    daemon.write_config(text + "\n" + listen("proxy", name="silent", upstream="silent.example.test:6379"))
    daemon.signal(signal.SIGHUP)
    assert names.asked.wait(ANSWER_S), "nobody asks for the name"
    worst = worst_probe(arena)
    arena.note("new connection while a name is resolved", worst)
    assert arena.mixed or worst < 1, f"a new connection waited {worst:.3f} s while a name was resolved"
    patient = arena.patient and arena.random.random() < 0.3  # until the deadline
    if not patient:
        names.answer_late()
    why = "no answer within 10 s" if patient else "Name or service not known"
    daemon.wait_log(rf"reload refused: .*: cannot resolve 'silent.example.test': {why}", since, ANSWER_S + 5)
    names.waiting.clear()
    daemon.write_config()
    arena.count("reload: with a silent name server")
    arena.graceful()


# ---- the log ----

def lines_lost(daemon, since):
    """What the master says of them; asked again, since the pipe may not have been emptied yet when it was first asked."""
    end = time.monotonic() + ANSWER_S
    while True:
        daemon.signal(signal.SIGUSR1)
        try:
            return int(daemon.wait_log(r"master\[\d+\]: (\d+) lines? could not be written", since, 1)[1])
        except AssertionError:
            assert time.monotonic() < end, "the master does not say how much of the log is missing"


@nemesis(GRACEFUL, 0.5, weight=0.6)
def stuck_log(arena):
    """Nobody reads the log, and its pipe is full: all goes on, and later it says how much is missing."""
    daemon = arena.daemon
    if arena.mixed:
        return  # the deaths of workers would be missing, and others wait for them
    arena.graceful()
    daemon.log_goes_on.clear()
    try:
        daemon.fill_log()
        worst = worst_probe(arena)
    finally:
        since = daemon.mark()
        daemon.log_goes_on.set()
    arena.note("new connection while the log is stuck", worst)
    assert worst < 1, f"a new connection waited {worst:.3f} s while nobody read the log"
    arena.counts["log: lines lost while nobody read"] += lines_lost(daemon, since)
    arena.graceful()


# ---- TTIN, TTOU ----

def resize_to(arena, wanted):
    """One step at a time, each awaited in the log (not its drain)."""
    arena.graceful()
    now = len(arena.daemon.worker_pids())
    while now != wanted:
        since = arena.daemon.mark()
        arena.daemon.signal(signal.SIGTTIN if now < wanted else signal.SIGTTOU)
        now = int(arena.daemon.wait_log(r"resize: (\d+) workers?", since, ANSWER_S)[1])
    arena.graceful()


@nemesis(GRACEFUL, 0.05, weight=1.2)
def resize(arena):
    """4 -> 2 -> 4 workers."""
    resize_to(arena, max(1, arena.workers // 2))
    time.sleep(arena.random.uniform(0, 0.1))
    resize_to(arena, arena.workers)


# ---- USR2 ----

BROKEN = {
    "exits": b"#!/bin/sh\nexit 1\n",
    "exits well": b"#!/bin/sh\nexit 0\n",
    "crashes": b"#!/bin/sh\nkill -SEGV $$\n",
    "no program": b"\x7fELF but no more than that",
    "empty": b"",
    "silent": b"#!/bin/sh\nexec sleep 60\n",
}


def upgrade_badly(arena, what):
    daemon = arena.daemon
    daemon.install(BROKEN[what], mode=0o644 if what == "empty" else 0o755)
    since = daemon.mark()
    try:
        daemon.signal(signal.SIGUSR2)
        daemon.wait_log(r"upgrade failed: ", since, 15)
        assert running(daemon.pid), "the old master is gone after a failed upgrade"
    finally:
        daemon.install()


def upgrade_well(arena):
    daemon, old = arena.daemon, arena.daemon.pid
    daemon.install()
    since = daemon.mark()
    daemon.signal(signal.SIGUSR2)
    found = daemon.wait_log(r"upgrade: pid (\d+) is in charge|(upgrade failed: .*)", since, ANSWER_S)
    assert not found[2], f"a good binary: {found[2]}"
    daemon.pid = int(found[1])
    daemon.masters.append(daemon.pid)
    arena.wait(lambda: not running(old) or daemon.is_guardian(old), 5, f"the old master, pid {old}, still runs")


@nemesis(GRACEFUL, 0.3, weight=1.4)
def upgrade(arena):
    """USR2: the same binary again, and ones that cannot work."""
    broken = [name for name in BROKEN if name != "silent" or arena.patient]
    what = arena.random.choice(["good"] * len(broken) + broken)
    arena.graceful()
    if what == "good":
        upgrade_well(arena)
    else:
        upgrade_badly(arena, what)
    arena.count(f"upgrade: {'good' if what == 'good' else 'bad'}")
    arena.graceful()
