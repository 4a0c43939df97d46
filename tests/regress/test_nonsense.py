"""A worker that says or writes what no sound one does is killed and replaced. Nobody else notices, least of all the master."""
import os
import pty
import re
import select
import signal
import time

import pytest
from harness import DEADLINE, await_file, listen

READY, MISSED, LEAVING, SHUTDOWN, REQUEST, ADOPT, SIBLING, REOPEN_LOG, INSPECT = 0, 1, 2, 3, 4, 5, 6, 11, 16

LIES = {
    "size 1": "has sent what is no message",
    "size 143": "has sent what is no message",
    "size 1000": "has sent what is no message",
    f"say {INSPECT + 1} 0": "has sent what is no message",
    "say 4294967295 0": "has sent what is no message",
    "descriptor": "has sent what is no message",
    "descriptor unsaid": "has sent what is no message",
    "descriptor missing": "has sent what is no message",
    f"say {READY} 0": "has said READY twice",
    f"say {MISSED} 77": "has missed queues that it was never sent",
    f"say {MISSED} 4294967295": "has missed queues that it was never sent",
    f"say {ADOPT} 0": "has said what only a master says",
    f"say {SIBLING} 0": "has said what only a master says",
    f"say {REOPEN_LOG} 0": "has said what only a master says",
    f"say {INSPECT} 0": "has said what only a master says",
    f"say {REQUEST} 0": "asks for what only a control service may ask for",
    f"flood {READY}": "has said READY twice",
    f"flood {MISSED}": "has missed queues that it was never sent",
    "hang up": "has closed its control pipe",
    "taken": "has written over the head of its counters",
    "free": "has written over the head of its counters",
    "head": "has written over the head of its counters",
    "closed": "has counted what cannot be",
    "everything": "has counted what cannot be",
}


def worker_of(server, client):
    """The one that has this session, the only one on the listener."""
    (found,) = [each for each in server.stats()["workers"] if each["sessions_open"] > 0]
    return found["slot"], found["pid"]


@pytest.fixture
def crowd(trapped):
    """A server whose two workers have a session each: (server, {slot: client})."""
    server = trapped(listen("pingpong"), workers=2)
    clients = {}
    while len(clients) < 2:
        before = {each["slot"]: each["accepted"] for each in server.stats()["workers"]}
        client = server.connect("trap")
        client.ask(b"hi\n", b"hi\n")
        (slot,) = [each["slot"] for each in server.stats()["workers"] if each["accepted"] > before[each["slot"]]]
        clients.setdefault(slot, client)
    return server, clients


@pytest.mark.parametrize("words", LIES)
def test_a_liar_is_replaced(crowd, words):
    server, clients = crowd
    pids, since = server.worker_pids(), server.mark()
    clients[1].send(words.encode() + b"\n")
    line = server.wait_log(rf"worker 1 \(pid {pids[1]}\) (.*): it is killed", since=since)
    assert line[1] == LIES[words] and " error master[" in line.string
    new = server.wait_replaced(1, pids[1])
    assert server.worker_pids() == {0: pids[0], 1: new}
    clients[0].ask(b"still\n", b"still\n")
    for _ in range(8):
        server.connect("trap").ask(b"hi\n", b"hi\n")
    assert len([line for line in server.lines if "it is killed" in line]) == 1
    assert not any("silent" in line for line in server.lines[since:])


@pytest.mark.parametrize("words, error", [("die taken", "has written over the head of its counters"),
                                          ("die closed", "has counted what cannot be")])
def test_what_the_dead_have_written(crowd, words, error):
    """It counts for nothing: not for the slot it says it was, nor in any sum."""
    server, clients = crowd
    pids, before, since = server.worker_pids(), server.stats(), server.mark()
    clients[1].send(words.encode() + b"\n")
    server.wait_log(rf"error master\[\d+\]: worker 1 \(pid {pids[1]}\) {error}", since=since)
    server.wait_replaced(1, pids[1])
    after = server.stats()
    assert len(after["workers"]) == 2
    assert server.pick(after, "trap")["accepted"] <= server.pick(before, "trap")["accepted"]
    clients[0].ask(b"still\n", b"still\n")


def test_leaving_is_said_once(crowd):
    server, clients = crowd
    pid, since = server.worker_pids()[1], server.mark()
    clients[1].send(f"say {LEAVING} 0\nsay {LEAVING} 0\n".encode())
    server.wait_log(rf"worker 1 \(pid {pid}\) drains at a signal, or by itself", since=since)
    server.wait_log(rf"worker 1 \(pid {pid}\) has said LEAVING twice: it is killed", since=since)
    server.wait_log(r"worker 1 \(pid \d+\) ready", since=since)
    clients[0].ask(b"still\n", b"still\n")


def test_who_lies_again_and_again_is_kept_waiting(trapped):
    server = trapped(workers=1)
    for delay in (None, 10, 20, 40):
        pid, since = server.worker_pids()[0], server.mark()
        server.connect("trap").send(b"size 1\n")
        server.wait_log(rf"worker 0 \(pid {pid}\) killed by SIGKILL", since=since)
        if delay:
            server.wait_log(rf"worker 0 will be started again in {delay} ms", since=since)
        server.wait_log(r"worker 0 \(pid \d+\) ready", since=since)


def test_a_flood_of_requests_to_stop_is_a_stop(trapped):
    server = trapped(workers=2, drain_timeout="1s")
    server.connect("trap").send(f"flood {SHUTDOWN}\n".encode())
    server.wait_log("stopping: a client asked for it")
    assert server.wait() == 0


def test_a_beat_by_proxy_is_none(crowd):
    """A process of its own cannot keep a worker alive that hangs: its queues are adopted, and it is replaced."""
    server, clients = crowd
    pid, since = server.worker_pids()[1], server.mark()
    clients[1].send(b"beat\n")
    server.wait_log(rf"worker 1 \(pid {pid}\) is silent for \d+ ms: its siblings adopt", since=since)
    server.wait_replaced(1, pid)


def test_a_worker_reaches_its_own_counters_only(crowd):
    """One mapping, which cannot be cut short, and no descriptor of a memory file."""
    server, clients = crowd
    for client in clients.values():
        client.ask(b"reach\n", b"1\n")
    since = server.mark()
    server.upgrade()
    server.wait_replaced_masters()
    server.connect("trap").ask(b"reach\n", b"1\n")
    assert not any(re.search("error|fatal", line) for line in server.lines[since:])


def read_until(terminal, pattern):
    text, end = "", time.monotonic() + DEADLINE
    while not re.search(pattern, text):
        assert select.select([terminal], [], [], max(0, end - time.monotonic()))[0], text
        text += os.read(terminal, 65536).decode()
    return text


def test_a_worker_has_no_memory_in_common_with_others(trapped, tmp_path):
    """But its counters. Wherever half a line cannot stay behind: in a pipe, a file, the journal."""
    server = trapped(workers=2)
    server.connect("trap").ask(b"overwrite 0\n", b"0\n")
    server.configure(log=tmp_path / "log")
    server.signal(signal.SIGHUP)
    await_file(tmp_path / "log", "generation 2 serves")
    server.connect("trap").ask(b"overwrite 0\n", b"0\n")
    server.reload(log="stderr")


@pytest.mark.parametrize("first", range(3))
def test_a_rest_of_a_line_that_is_none(trapped, first):
    """What processes keep for a terminal that has taken half a line is written over: it is not believed."""
    reader, terminal = pty.openpty()
    server = trapped(workers=2)
    server.configure(log=os.ttyname(terminal))
    server.signal(signal.SIGHUP)
    read_until(reader, "reload: generation 2 serves")
    for _ in range(8):
        with server.connect("trap") as client:
            client.ask(b"overwrite %d\n" % first, b"1\n")
    for _ in range(3):
        server.signal(signal.SIGUSR1)
        read_until(reader, "statistics written")
    since = server.mark()
    server.configure(log="stderr")
    server.signal(signal.SIGHUP)
    server.wait_log("reload: generation 3 serves", since=since)
    os.close(reader)
    os.close(terminal)
