"""tests/services/chat.c: everybody hears what one says."""
import signal
import time

import pytest
from harness import listen

MIB = 1 << 20


@pytest.fixture
def server(example):
    return example(listen("chat"), workers=1)


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
