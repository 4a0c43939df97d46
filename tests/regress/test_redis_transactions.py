"""Transactions that come step by step have a link of their own until they are over, and then their clients share again."""
import pytest
from harness import Upstream, connect_to, listen
from test_proxy import resp
from test_redis import connections, redis, server  # noqa: F401

OK, QUEUED = b"+OK\r\n", b"+QUEUED\r\n"


def test_who_is_through_shares_again(server, redis):
    workers = server.stats()["master"]["workers"]
    before = connections(redis)
    clients = [server.connect("redis") for _ in range(40)]
    for turn in range(10):
        for number, client in enumerate(clients):
            client.ask(resp("WATCH", f"k{number}"), OK)
            client.ask(resp("MULTI"), OK)
            client.ask(resp("INCR", f"k{number}"), QUEUED)
            client.ask(resp("EXEC"), b"*1\r\n:%d\r\n" % (turn + 1))
    for client in clients:
        client.ask(resp("PING"), b"+PONG\r\n")
    assert connections(redis) - before <= workers * (2 + 2)  # the shared ones, and those that were given back


def test_a_key_that_has_changed(server):
    one, two = server.connect("redis"), server.connect("redis")
    one.ask(resp("WATCH", "x") + resp("GET", "x"), OK + b"$-1\r\n")
    two.ask(resp("SET", "x", 1), OK)
    one.send(resp("MULTI") + resp("SET", "x", 2) + resp("EXEC") + resp("GET", "x"))
    one.expect(OK + QUEUED + b"*-1\r\n$1\r\n1\r\n")
    one.ask(resp("WATCH", "x"), OK)
    two.ask(resp("SET", "x", 3), OK)
    one.ask(resp("UNWATCH"), OK)
    one.ask(resp("MULTI"), OK)
    one.ask(resp("GET", "x"), QUEUED)
    one.ask(resp("EXEC"), b"*1\r\n$1\r\n3\r\n")


@pytest.mark.parametrize("words, answer", [
    (("SELECT", 0), OK), (("SUBSCRIBE", "c"), b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"), (("CLIENT", "GETNAME"), b"$-1\r\n"),
    (("BLPOP", "x", "list", 0), b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n")])
def test_a_watch_that_goes_along(server, words, answer):
    """What needs a connection of its own has the one on which the key is watched."""
    one, two = server.connect("redis"), server.connect("redis")
    one.ask(resp("WATCH", "x"), OK)
    two.ask(resp("SET", "x", 1), OK)
    one.send(resp(*words))
    one.expect(answer)
    if words[0] == "SUBSCRIBE":
        one.ask(resp("UNSUBSCRIBE"), b"*3\r\n$11\r\nunsubscribe\r\n$1\r\nc\r\n:0\r\n")
    one.send(resp("MULTI") + resp("SET", "x", 2) + resp("EXEC"))
    one.expect(OK + QUEUED + b"*-1\r\n")


@pytest.mark.parametrize("words, answer", [
    (("CLIENT", "GETNAME"), b"$-1\r\n"), (("BLPOP", "list", 0), b"*-1\r\n"), (("SELECT", 1), OK), (("nosuch",), None),
    (("WATCH", "y"), None), (("MULTI",), None), (("PING",), b"+PONG\r\n"), (("EXEC", "x"), None), (("WATCH",), None)])
def test_within_a_transaction(server, words, answer):
    """As Redis has it: most are queued, some are refused, and spoil it or do not."""
    client = server.connect("redis")
    client.ask(resp("MULTI"), OK)
    client.ask(resp("SET", "x", 1), QUEUED)
    client.send(resp(*words) + resp("EXEC"))
    if answer:
        client.expect(QUEUED + b"*2\r\n+OK\r\n" + answer)
    elif words == ("EXEC", "x"):
        client.expect(b"-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command\r\n"
                      b"-ERR EXEC without MULTI\r\n")
    elif words in (("nosuch",), ("WATCH",)):
        why = b"unknown command 'nosuch', with args beginning with: " if words == ("nosuch",) else (
            b"wrong number of arguments for '%s' command" % words[0].lower().encode())
        client.expect(b"-ERR %s\r\n-EXECABORT Transaction discarded because of previous errors.\r\n" % why)
    else:
        client.expect(b"-ERR %s\r\n*1\r\n+OK\r\n" % {
            "WATCH": b"WATCH inside MULTI is not allowed", "MULTI": b"MULTI calls can not be nested"}[words[0]])
    client.ask(resp("PING"), b"+PONG\r\n")


def test_who_leaves_in_the_middle_leaves_nothing(server):
    for end in (b"", resp("QUIT"), resp("RESET")):
        with server.connect("redis") as client:
            client.ask(resp("WATCH", "x"), OK)
            client.ask(resp("MULTI"), OK)
            client.ask(resp("SET", "x", 1), QUEUED)
            client.send(end)
            if end:
                client.expect(b"+RESET\r\n" if b"RESET" in end else OK)
            if b"RESET" in end:
                client.ask(resp("EXEC"), b"-ERR EXEC without MULTI\r\n")
        other = server.connect("redis")
        other.ask(resp("SET", "y", 1), OK)
        other.ask(resp("MULTI"), OK)
        other.ask(resp("GET", "x"), QUEUED)
        other.ask(resp("EXEC"), b"*1\r\n$-1\r\n")
        other.ask(resp("EXEC"), b"-ERR EXEC without MULTI\r\n")
        other.ask(resp("DISCARD"), b"-ERR DISCARD without MULTI\r\n")


def test_a_drain_waits_for_the_end_of_a_transaction(serve, redis):
    server = serve(listen("redis", upstream=f"127.0.0.1:{redis.port}"), workers=1, drain_timeout="30s", drain_spread="0s")
    server.baseline.clear()
    one, two, idle = (server.connect("redis") for _ in range(3))
    one.ask(resp("MULTI") + resp("SET", "x", 1), OK + QUEUED)
    two.ask(resp("WATCH", "x"), OK)
    idle.ask(resp("PING"), b"+PONG\r\n")
    server.reload(linger_timeout="900ms")
    idle.expect_end(b"")
    one.ask(resp("EXEC"), b"*1\r\n+OK\r\n")
    one.expect_end(b"")
    two.ask(resp("MULTI") + resp("EXEC"), OK + b"*-1\r\n")
    two.expect_end(b"")


def test_many_at_once(server):
    """More transactions under way than anybody would keep connections for."""
    clients = [server.connect("redis") for _ in range(100)]
    for number, client in enumerate(clients):
        client.ask(resp("MULTI"), OK)
        client.ask(resp("SET", f"k{number}", number), QUEUED)
    for number, client in enumerate(clients):
        client.ask(resp("EXEC") + resp("GET", f"k{number}"), b"*1\r\n+OK\r\n$%d\r\n%d\r\n" % (len(str(number)), number))


def begin_transaction(client, upstream):
    """The connection that the client has for itself then."""
    client.send(resp("MULTI"))
    own = upstream.accept()
    own.expect(resp("MULTI"))
    own.send(OK)
    client.expect(OK)
    return own


def test_the_upstream_ends_in_a_transaction(serve):
    """The client sees an end, too: no answer would be right."""
    upstream = Upstream()
    server = serve(listen("redis", upstream=upstream.address, connections=1), workers=1)
    client = server.connect("redis")
    own = begin_transaction(client, upstream)
    client.send(resp("SET", "x", 1) + resp("SET", "y", 1))
    own.expect(resp("SET", "x", 1) + resp("SET", "y", 1))
    own.close()
    client.expect_end(b"")
    client = server.connect("redis")
    client.send(resp("WATCH", "x"))
    own = upstream.accept()
    own.expect(resp("WATCH", "x"))
    own.send(OK)
    client.expect(OK)
    own.close()  # it owes nothing: that is seen with the next request
    client.send(resp("MULTI"))
    client.expect_gone()
    upstream.close()


def test_no_upstream(serve):
    server = serve(listen("redis", upstream="127.0.0.1:1"))
    client = server.connect("redis")
    refused = b"-LOADING ccserver: upstream 127.0.0.1:1: Connection refused\r\n"
    client.send(resp("MULTI") + resp("GET", "x"))
    client.expect(refused + refused)
    client.ask(resp("EXEC"), refused)
    client.ask(resp("AUTH", "a", "b"), refused)
    client.ask(resp("CLIENT", "SETNAME", "me"), refused)
    client.send(resp("SUBSCRIBE", "x"))
    client.expect_end(b"-LOADING ccserver: upstream 127.0.0.1:1: Connection refused\r\n")


def test_what_was_done_is_forgotten_before_another_one_has_it(serve):
    """Redis is asked to; and where it cannot, the connection is not used again."""
    upstream = Upstream()
    server = serve(listen("redis", upstream=upstream.address, connections=1), workers=1)
    for answer, again in ((b"+RESET\r\n", True), (b"-ERR unknown command 'RESET'\r\n", False)):
        client = server.connect("redis")
        own = begin_transaction(client, upstream)
        client.send(resp("DISCARD"))
        own.expect(resp("DISCARD"))
        own.send(OK)
        client.expect(OK)
        own.expect(resp("RESET"))
        own.send(answer)
        if not again:
            own.expect_end(b"")
            own = None
        client.send(resp("WATCH", "x"))
        if not own:
            own = upstream.accept()
        own.expect(resp("WATCH", "x"))
        own.close()
        client.expect_gone()
    upstream.close()
