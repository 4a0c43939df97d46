"""tests/services/chat.c: everybody hears what one says, to whichever worker they are connected."""
import os
import re
import signal
import time

import pytest
from harness import descriptors, listen, pool

MIB = 1 << 20
WORKERS = 3


@pytest.fixture
def server(example):
    return example(listen("chat"), workers=1)


def start(example, *sections, **keys):
    """Its workers hear of each other after they are ready: that is when they have all their descriptors."""
    server = example(*sections, **keys)
    server.baseline.clear()
    return server


def join(server, *members):
    """A new member; the others hear of it."""
    client = server.connect("chat")
    number = len([each for each in server.clients])
    line = b"* guest%d has come\n" % number
    for each in [client, *members]:
        each.expect(line)
    return client


def test_everybody_hears(server):
    a = join(server)
    b = join(server, a)
    c = join(server, a, b)
    b.send(b"hello\r\n\0any\n")
    for each in a, b, c:
        each.expect(b"guest2: hello\nguest2: \0any\n")
    c.ask(b"/who\n", b"> guest1\n> guest2\n> guest3\n>\n")
    b.send(b"/quit\n")
    b.expect_end()
    for each in a, c:
        each.expect(b"* guest2 has gone\n")
    a.ask(b"/who\n", b"> guest1\n> guest3\n>\n")
    c.abort()
    a.expect(b"* guest3 has gone\n")


def test_the_farewell_comes_at_once(server):
    """Nothing else happens in the worker that would send it."""
    a = join(server)
    b = join(server, a)
    time.sleep(0.3)
    b.close()
    begun = time.monotonic()
    a.expect(b"* guest2 has gone\n")
    assert time.monotonic() - begun < 0.09


def test_names(server):
    a = join(server)
    b = join(server, a)
    a.send(b"/nick Ada\n")
    for each in a, b:
        each.expect(b"* guest1 is now Ada\n")
    b.ask(b"/nick Ada\n", b"* that name is taken\n")
    for bad in b"/nick ", b"/nick a b", b"/nick " + b"x" * 31:
        b.ask(bad + b"\n", b"* a name is one word of up to 30 bytes\n")
    b.ask(b"/nonsense\n", b"* /nick NAME, /who or /quit\n")
    a.send(b"x\n")
    b.expect(b"Ada: x\n")


def test_too_long(server):
    a = join(server)
    a.send(b"x" * 501 + b"\n")
    a.expect_end(b"* that was too long\n")


def test_who_does_not_read_is_shown_out(example):
    """With a farewell, which is sent while the worker buries him."""
    server = example(listen("chat", high_water="64k", low_water="16k", max_output="128k"), workers=1)
    a = join(server)
    server.connect("chat", small_buffers=True)
    a.expect(b"* guest2 has come\n")
    line, heard, rounds = b"x" * 490 + b"\n", b"", 0
    while b"* guest2 has gone\n" not in heard:
        rounds += 1
        assert rounds < 1000
        a.send(line * 100)
        heard = b""
        while heard.count(b"\n") < 100:
            heard += a.socket.recv(MIB)
    server.await_closed("chat", "overflow")


def test_many_come_and_go(server):
    """All of them at once: every farewell is for those who are left."""
    watcher = join(server)
    others = [server.connect("chat") for _ in range(100)]
    watcher.expect(b"".join(b"* guest%d has come\n" % i for i in range(2, 102)))
    for each in others:
        each.abort()
    gone = watcher.recv_exactly(sum(len(b"* guest%d has gone\n" % i) for i in range(2, 102)))
    assert sorted(gone.splitlines()) == sorted(b"* guest%d has gone" % i for i in range(2, 102))
    watcher.ask(b"/who\n", b"> guest1\n>\n")


def test_a_drain_says_goodbye(server):
    members = [join(server)]
    members.append(join(server, *members))
    members[0].send(b"x\n")
    for each in members:
        each.expect(b"guest1: x\n")
    members[1].ask(b"/who\n", b"> guest1\n> guest2\n>\n")
    server.signal(signal.SIGTERM)
    for each in members:
        assert each.recv_to_end().startswith(b"* the server leaves")
        each.close()
    assert server.wait() == 0


# ---- several workers ----

class Member:
    """A client, its name, and whose it is."""

    def __init__(self, server, name="chat"):
        before = {each["pid"]: each["sessions_open"] for each in of_chat(server)}
        self.client = server.connect(name)
        self.name = re.search(rb"\* (guest\d+) has come\n$", self.lines_until(rb"has come")[-1])[1]
        after = {each["pid"]: each["sessions_open"] for each in of_chat(server)}
        self.worker = next(pid for pid in after if after[pid] > before.get(pid, 0))

    def lines_until(self, pattern):
        """What it has heard, up to and with a line like this."""
        lines = []
        while not lines or not re.search(pattern, lines[-1]):
            line = b""
            while not line.endswith(b"\n"):
                line += self.client.recv_exactly(1)
            lines.append(line)
        return lines

    def who(self):
        """All names, in alphabetical order; and what has been said in between is dropped."""
        self.client.send(b"/who\n")
        return sorted(line[2:-1] for line in self.lines_until(rb"^>\n") if line.startswith(b"> "))


def of_chat(server):
    stats = server.stats()
    return stats["workers"] + stats["leaving"]


@pytest.fixture
def room(example):
    """room(): members at each of three workers, at least two at the first one's."""
    def enter(**keys):
        server = start(example, listen("chat"), workers=WORKERS, **keys)
        members = [Member(server)]
        while len({each.worker for each in members}) < WORKERS or not twins(members):
            assert len(members) < 100
            members.append(Member(server))
        for each in members:
            hush(members, each)
        return server, members

    return enter


def twins(members):
    """Two who are at the same worker."""
    return [each for each in members[1:] if each.worker == members[0].worker]


def hush(members, speaker):
    """All have heard whatever was said so far."""
    speaker.client.send(b"hush %s\n" % speaker.name)
    for each in members:
        each.lines_until(rb": hush %s\n" % speaker.name)


def test_everybody_hears_at_all_workers(room):
    """In the order in which each of them has said it; and once."""
    server, members = room()
    assert members[0].who() == sorted(each.name for each in members)
    for number in range(100):
        for each in members:
            each.client.send(b"%d\n" % number)
    for each in members:
        heard = [line for _ in range(len(members)) for line in each.lines_until(rb": 99\n")]
        assert len(heard) == 100 * len(members)
        for other in members:
            said = [line for line in heard if line.startswith(other.name + b": ")]
            assert said == [b"%s: %d\n" % (other.name, number) for number in range(100)]
    counted = server.listener("chat")
    assert counted["own"] == {"lines": 101 * len(members)}
    assert counted["published"] == 102 * len(members) and counted["publications_lost"] == 0
    since = server.mark()
    server.signal(signal.SIGUSR1)
    server.wait_log(rf"^.*    lines {101 * len(members)}$", since=since)


def test_a_name_is_taken_at_all_workers(room):
    _, members = room()
    stranger = next(each for each in members if each.worker != members[0].worker)
    members[0].client.send(b"/nick Ada\n")
    for each in members:
        each.lines_until(rb"^\* %s is now Ada\n" % members[0].name)
    stranger.client.ask(b"/nick Ada\n", b"* that name is taken\n")
    members[0].client.send(b"/nick Eve\n")
    for each in members:
        each.lines_until(b"^\\* Ada is now Eve\n")
    stranger.client.ask(b"/nick Ada\n", b"* %s is now Ada\n" % stranger.name)


def test_a_worker_is_killed(room):
    """Who was there has gone, exactly; the one that replaces it hears all."""
    server, members = room()
    victim = members[0].worker
    gone = [each for each in members if each.worker == victim]
    left = [each for each in members if each.worker != victim]
    os.kill(victim, signal.SIGKILL)
    for each in gone:
        each.client.expect_gone()
        server.clients.remove(each.client)
    farewells = left[1].lines_until(rb"has gone")
    while len(farewells) < len(gone):
        farewells += left[1].lines_until(rb"has gone")
    assert sorted(farewells) == sorted(b"* %s has gone\n" % each.name for each in gone)
    assert left[0].who() == sorted(each.name for each in left)
    server.await_stats(lambda stats: all(each["state"] == "ready" for each in stats["workers"]))
    newcomers = []
    while not any(each.worker not in [other.worker for other in left] for each in newcomers):
        assert len(newcomers) < 100
        newcomers.append(Member(server))
    left[0].client.send(b"welcome\n")
    newcomers[-1].lines_until(rb"^%s: welcome\n" % left[0].name)
    newcomers[-1].client.send(b"thanks\n")
    left[0].lines_until(rb"^%s: thanks\n" % newcomers[-1].name)
    assert left[0].who() == sorted(each.name for each in left + newcomers)


def test_two_generations_hear_each_other(room):
    """And know of each other."""
    server, members = room(drain_spread="1h", drain_timeout="1h")
    server.reload()
    newcomer = Member(server)
    assert newcomer.worker not in [each.worker for each in members]
    newcomer.client.send(b"hello\n")
    for each in members:
        each.lines_until(rb"^%s: hello\n" % newcomer.name)
    members[0].client.send(b"welcome\n")
    newcomer.lines_until(rb"^%s: welcome\n" % members[0].name)
    assert newcomer.who() == sorted(each.name for each in [*members, newcomer])


def test_one_worker_more(room):
    server, members = room()
    server.signal(signal.SIGTTIN)
    server.wait_log(r"resize: 4 workers")
    server.await_stats(lambda stats: [each["state"] for each in stats["workers"]] == ["ready"] * 4)
    newcomers = [Member(server)]
    while newcomers[-1].worker in [each.worker for each in members]:
        assert len(newcomers) < 100
        newcomers.append(Member(server))
    for one, other in (newcomers[-1], members[0]), (members[0], newcomers[-1]):
        one.client.send(b"here\n")
        other.lines_until(rb"^%s: here\n" % one.name)


def test_a_worker_that_stands_still_blocks_nobody(room):
    """What its inbox takes it hears later, in order; the rest is counted."""
    server, members = room(adopt_after="60s", watchdog_timeout="120s")
    still = members[0]
    speaker = next(each for each in members if each.worker != still.worker)
    other = next(each for each in members if each.worker not in (still.worker, speaker.worker))
    hush(members, speaker)
    os.kill(still.worker, signal.SIGSTOP)
    text, number = b"x" * 480, 0
    try:
        while server.listener("chat")["publications_lost"] == 0:
            assert number < 20000
            for _ in range(50):
                speaker.client.send(b"%d %s\n" % (number, text))
                speaker.lines_until(rb": %d " % number)
                number += 1
            other.lines_until(rb": %d " % (number - 1))
        kept = number - server.listener("chat")["publications_lost"]
    finally:
        os.kill(still.worker, signal.SIGCONT)
    heard = [still.lines_until(rb" x+\n")[-1] for _ in range(kept)]
    assert heard == [b"%s: %d %s\n" % (speaker.name, number, text) for number in range(kept)]
    speaker.client.send(b"end\n")
    assert still.lines_until(rb": end\n") == [b"%s: end\n" % speaker.name]


def test_siblings_that_are_gone_leave_nothing(room):
    """Also in a worker that never publishes anything."""
    server, members = room()
    pid = server.worker_pids()[0]
    before = len(descriptors(pid))
    for _ in range(15):
        for number, count in (signal.SIGTTIN, WORKERS + 1), (signal.SIGTTOU, WORKERS):
            since = server.mark()
            server.signal(number)
            server.wait_log(rf"resize: {count} workers", since=since)
            server.await_stats(lambda stats: not stats["leaving"] and
                               all(each["state"] == "ready" for each in stats["workers"]))
    assert len(descriptors(pid)) <= before + 3


def test_pools_do_not_hear_each_other(example):
    server = start(example, listen("chat"), listen("chat", "quiet", pool="quiet"), pool("quiet", workers=2), workers=2)
    loud, quiet = Member(server), Member(server, "quiet")
    loud.client.send(b"hello\n")
    loud.lines_until(rb"hello")
    quiet.client.ask(b"/who\n", b"> %s\n>\n" % quiet.name)
    assert quiet.name == b"guest1"
