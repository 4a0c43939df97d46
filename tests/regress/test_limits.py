"""Out of descriptors, out of sessions, and clients that hang up in the middle of everything."""
import random
import resource
import select
import signal
import threading

import pytest
from bank import VECTORS, WITHDRAW
from harness import connect_to, cpu_seconds, listen


def descriptors_at_most(number):
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (min(32, number), number))


def answered(clients, seconds):
    """Those of the clients that are answered; awaits silence of this length."""
    found, waiting = [], {client.socket: client for client in clients}
    while waiting and (ready := select.select(list(waiting), [], [], seconds)[0]):
        found += [waiting.pop(sock) for sock in ready]
    return found


def crowd_against_a_limit(server, number, expected=None):
    """`number` clients come, some are served; the others wait at no cost; each that leaves lets one in."""
    clients = [server.connect("pingpong") for _ in range(number)]
    for client in clients:
        client.send(b"hello")
    served = answered(clients, 0.5)
    assert 0 < len(served) < number if expected is None else len(served) == expected
    waiting = [client for client in clients if client not in served]
    (worker,) = server.worker_pids().values()
    turns, cpu = server.turns(), cpu_seconds(worker)
    assert not answered(waiting, 1)
    assert server.turns() - turns < 60 and cpu_seconds(worker) - cpu < 0.3, "it spins"
    assert sum(each["accept_pauses"] for each in server.stats()["workers"]) > 0
    for client in served:
        client.expect(b"hello")
        client.ask(b"again", b"again")
    for client in served[:3]:
        client.close()
    let_in = answered(waiting, 0.5)
    assert len(let_in) == 3
    for client in served + let_in:
        client.close()
    waiting = [client for client in waiting if client not in let_in]
    for client in waiting[:len(served)]:
        client.expect(b"hello")
    return waiting


def test_out_of_descriptors(serve):
    server = serve(listen("pingpong", backlog=200), workers=1, preexec=descriptors_at_most(48))
    crowd_against_a_limit(server, 80)
    assert server.listener("pingpong")["refused"] == 0


def test_the_soft_limit_is_raised(serve):
    """32 is what it is started with, and would not do."""
    server = serve(listen("pingpong", backlog=200), workers=1, preexec=descriptors_at_most(256))
    clients = [server.connect("pingpong") for _ in range(100)]
    for client in clients:
        client.ask(b"x", b"x")


LIMIT_WARNING = r" warn master\[\d+\]: the descriptor limit, (\d+), is too low for max_sessions = (\d+) \((\d) descriptors? each\)"


def test_a_limit_below_max_sessions_is_warned_of(serve):
    """At the start, and at a reload that wants more; not at one that does not."""
    server = serve(listen("pingpong"), max_sessions=1000, preexec=descriptors_at_most(256))
    assert server.wait_log(LIMIT_WARNING).groups() == ("256", "1000", "1")
    since = server.mark()
    server.reload()
    server.reload(max_sessions=900)
    server.reload(max_sessions=200)
    assert not any("descriptor limit" in line for line in server.lines[since:])
    server.reload(max_sessions=300)
    assert server.wait_log(LIMIT_WARNING, since=since).groups() == ("256", "300", "1")


def test_an_upstream_needs_a_descriptor_more(serve):
    server = serve(listen("proxy", upstream="127.0.0.1:1"), max_sessions=200, preexec=descriptors_at_most(300))
    assert server.wait_log(LIMIT_WARNING).groups() == ("300", "200", "2")
    since = server.mark()
    server.reload(listen("pingpong"))
    server.stats()
    assert not any("descriptor limit" in line for line in server.lines[since:])


def test_a_limit_that_does_is_not_mentioned(serve):
    server = serve(listen("pingpong"), max_sessions=200, preexec=descriptors_at_most(256))
    assert not any("descriptor limit" in line for line in server.lines)


def test_max_sessions(serve):
    server = serve(listen("pingpong", backlog=200), workers=1, max_sessions=10)
    crowd_against_a_limit(server, 30, expected=10)


def greet_everybody(upstream):
    """Until it is closed."""
    upstream.socket.settimeout(None)
    try:
        while True:
            with upstream.accept() as side:
                side.send(b"+hello\r\n")
    except OSError:
        pass


def test_out_of_descriptors_for_the_upstream(serve, upstream):
    """A session without its upstream is told so, none is stuck, and later everything works again."""
    up = upstream(backlog=200)
    server = serve(listen("proxy", backlog=200, upstream=up.address, protocol="redis"), workers=1,
                   preexec=descriptors_at_most(48))
    clients = [server.connect("proxy") for _ in range(60)]
    up.socket.settimeout(0.5)
    reached = []
    try:
        while True:
            reached.append(up.accept())
    except TimeoutError:
        pass
    assert reached
    for each in reached:
        each.send(b"+hello\r\n")
    served = answered(clients, 0.5)
    assert [client.recv_exactly(1) for client in served].count(b"+") == len(reached)
    for each in reached + clients:
        each.close()
    threading.Thread(target=greet_everybody, args=[up], daemon=True).start()
    server.await_stats(lambda s: server.pick(s, "proxy")["accepted"] == 60)
    server.await_open("proxy", 0)
    server.connect("proxy").expect_end(b"+hello\r\n")


# ---- hanging up ----

REQUESTS = {
    "pingpong": b"x" * 5000,
    "echo": b"some line\r\n" * 400,
    "bank": WITHDRAW * 40 + VECTORS["unknown-type"],
    "proxy": b"x" * 5000,
}


def hang_up(client, request, dice):
    """Do something, then reset the connection: perhaps at once, perhaps in the middle of a reply."""
    if dice.random() < 0.9:
        for _ in range(dice.randrange(4)):
            client.send(request[:dice.randrange(1, len(request))])
    if dice.random() < 0.3:
        client.send(request)
        client.socket.recv(dice.randrange(1, 2000))
    if dice.random() < 0.2:
        client.half_close()
    client.abort() if dice.random() < 0.8 else client.close()


@pytest.mark.parametrize("name", REQUESTS)
def test_200_random_aborts(serve, name):
    dice, keys = random.Random(4711), {}
    if name == "proxy":
        keys["upstream"] = serve(listen("pingpong"), workers=1).addresses["pingpong"][0]
    server = serve(listen(name, **keys), workers=1)
    pids, bystander = server.worker_pids(), server.connect(name)
    kept = []
    for _ in range(200):
        client = connect_to(server.addresses[name][0])
        kept.append(client)
        if len(kept) > 5:  # a few at the same time
            try:
                hang_up(kept.pop(dice.randrange(len(kept))), REQUESTS[name], dice)
            except ConnectionError:  # an unfinished frame followed by another one is an error
                assert name == "bank"
    for client in kept:
        client.abort()
    bystander.ask(REQUESTS["echo"][:11] if name == "echo" else WITHDRAW,
                  b"ccserver echo:some line\r\n" if name == "echo" else WITHDRAW)
    assert server.worker_pids() == pids
    bystander.close()
    server.await_open(name, 0)
    stats = server.listener(name)
    assert stats["accepted"] >= 195 and stats["lost"] == 0  # a reset before accept() never was


def test_an_adoption_without_descriptors_is_said_again(serve):
    """The worker that is to adopt has none left; when it has, nobody who waits in the other's queue is forgotten."""
    server = serve(listen("pingpong", backlog=200), workers=2, preexec=descriptors_at_most(40))
    crowd = [server.connect("pingpong") for _ in range(100)]
    server.await_stats(lambda s: all(worker["accept_pauses"] for worker in s["workers"]))
    server.signal(signal.SIGTTOU)
    server.wait_log("cannot adopt the queues of slot 1: no descriptors")
    turns = server.turns()
    server.wait_log("cannot adopt the queues of slot 1: no descriptors", since=server.mark())  # once a second
    assert server.turns() - turns < 200, "it is said again and again without a pause"
    for client in crowd:
        client.close()
    clients = [server.connect("pingpong") for _ in range(20)]
    for client in clients:
        client.ask(b"ping", b"ping")
