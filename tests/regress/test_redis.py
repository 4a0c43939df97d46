"""Redis over shared connections: the same bytes as from the server itself, in the order of the questions, and nobody else's."""
import random
import threading

import pytest
from harness import Upstream, connect_to, first_difference, listen
from test_proxy import Redis, resp


@pytest.fixture(scope="module")
def redis():
    server = Redis()
    yield server
    server.stop()


@pytest.fixture
def server(serve, redis):
    with connect_to(f"127.0.0.1:{redis.port}") as client:
        client.ask(resp("FLUSHALL"), b"+OK\r\n")
    server = serve(listen("redis", upstream=f"127.0.0.1:{redis.port}"))
    server.baseline.clear()  # the shared connections stay
    return server


def connections(redis):
    """How many clients Redis has, without the one that asks."""
    with connect_to(f"127.0.0.1:{redis.port}") as client:
        client.send(resp("INFO", "clients"))
        text = b""
        while b"blocked_clients" not in text:
            text += client.socket.recv(4096)
        return int(text.split(b"connected_clients:")[1].split(b"\r")[0]) - 1


def test_clients_share(server, redis):
    before = connections(redis)
    clients = [server.connect("redis") for _ in range(100)]
    for number, client in enumerate(clients):
        client.send(resp("SET", f"key{number}", number))
    for client in clients:
        client.expect(b"+OK\r\n")
    for number, client in enumerate(clients):
        client.ask(resp("GET", f"key{number}"), b"$%d\r\n%d\r\n" % (len(str(number)), number))
    assert connections(redis) - before <= 2 * server.stats()["master"]["workers"]


@pytest.mark.parametrize("service, keys, shares", [
    ("proxy", {"protocol": "redis", "multiplex": "on"}, True), ("proxy", {"protocol": "redis"}, False),
    ("redis", {"multiplex": "off"}, False), ("redis", {"connections": 1}, True)])
def test_spellings(serve, redis, service, keys, shares):
    server = serve(listen(service, "name", upstream=f"127.0.0.1:{redis.port}", **keys), workers=1)
    server.baseline.clear()
    before = connections(redis)
    clients = [server.connect("name") for _ in range(20)]
    for client in clients:
        client.ask(resp("PING"), b"+PONG\r\n")
    assert (connections(redis) - before < 20) == shares


def test_order(server):
    """Requests of a client take effect in their order, whatever they need."""
    client = server.connect("redis")
    client.send(resp("SET", "x", 1) + resp("MULTI") + resp("INCR", "x") + resp("GET", "x") + resp("EXEC") + resp("GET", "x"))
    client.expect(b"+OK\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:2\r\n$1\r\n2\r\n$1\r\n2\r\n")
    client.send(resp("SET", "x", 3) + resp("SELECT", 0) + resp("GET", "x") + b"GET x\r\n")
    client.expect(b"+OK\r\n+OK\r\n$1\r\n3\r\n$1\r\n3\r\n")


def test_a_transaction_step_by_step(server, redis):
    client = server.connect("redis")
    client.ask(resp("MULTI"), b"+OK\r\n")
    client.ask(resp("SET", "x", 1), b"+QUEUED\r\n")
    with connect_to(f"127.0.0.1:{redis.port}") as other:
        other.ask(resp("EXISTS", "x"), b":0\r\n")
    client.ask(resp("EXEC"), b"*1\r\n+OK\r\n")
    client.ask(resp("GET", "x"), b"$1\r\n1\r\n")


def test_a_transaction_with_a_mistake_spoils_no_other_one(server):
    one, two = server.connect("redis"), server.connect("redis")
    one.send(resp("MULTI") + resp("SET", "x") + resp("EXEC"))
    one.expect(b"+OK\r\n-ERR wrong number of arguments for 'set' command\r\n"
               b"-EXECABORT Transaction discarded because of previous errors.\r\n")
    two.ask(resp("SET", "x", 1), b"+OK\r\n")
    one.send(resp("MULTI") + resp("DISCARD") + resp("GET", "x"))
    one.expect(b"+OK\r\n+OK\r\n$1\r\n1\r\n")


def test_blocking(server):
    """It holds up nobody; who leaves takes nothing."""
    one, two = server.connect("redis"), server.connect("redis")
    one.send(resp("SET", "y", 5) + resp("BLPOP", "list", 0) + resp("GET", "y"))
    one.expect(b"+OK\r\n")
    two.ask(resp("RPUSH", "list", "v"), b":1\r\n")
    one.expect(b"*2\r\n$4\r\nlist\r\n$1\r\nv\r\n$1\r\n5\r\n")
    one.send(resp("BLPOP", "list", 0))
    one.expect_silence()
    one.close()
    server.await_open("redis", 1)
    two.ask(resp("RPUSH", "list", "w") + resp("LLEN", "list"), b":1\r\n:1\r\n")


def test_subscribe(server):
    one, two = server.connect("redis"), server.connect("redis")
    one.send(resp("GET", "nothing") + resp("SUBSCRIBE", "ch"))
    one.expect(b"$-1\r\n*3\r\n$9\r\nsubscribe\r\n$2\r\nch\r\n:1\r\n")
    two.ask(resp("PUBLISH", "ch", "hi"), b":1\r\n")
    one.expect(b"*3\r\n$7\r\nmessage\r\n$2\r\nch\r\n$2\r\nhi\r\n")


def test_quit(server):
    client = server.connect("redis")
    client.send(resp("SET", "x", 9) + resp("QUIT") + resp("SET", "x", 10))
    client.expect_end(b"+OK\r\n+OK\r\n")
    server.connect("redis").ask(resp("GET", "x"), b"$1\r\n9\r\n")


def test_what_is_counted(server):
    client, other = server.connect("redis"), server.connect("redis")
    client.ask(resp("SET", "x", 1) + resp("GET") + resp("SELECT", 1), b"+OK\r\n-ERR wrong number of arguments for 'get' command\r\n+OK\r\n")
    client.ask(resp("MULTI"), b"+OK\r\n")
    client.ask(resp("EXEC"), b"*0\r\n")
    other.send(resp("SUBSCRIBE", "c"))
    other.expect(b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n")
    own = server.listener("redis")["own"]
    assert own == {"redis_requests_shared": 2, "redis_requests_own": 2, "redis_errors": 1, "redis_requests_lost": 0,
                   "redis_logins": 1, "redis_pipes": 1}


def test_half_close(server):
    client = server.connect("redis")
    client.ask(resp("SET", "x", 1), b"+OK\r\n")
    client.send(resp("GET", "x") * 1000)
    client.half_close()
    client.expect_end(b"$1\r\n1\r\n" * 1000)


def test_large_values(server):
    client = server.connect("redis")
    value = bytes(range(256)) * 4096
    client.send(resp("GET", "x") + resp("SET", "big", value) + resp("STRLEN", "big") + resp("GET", "big"))
    client.expect(b"$-1\r\n+OK\r\n:%d\r\n$%d\r\n%s\r\n" % (len(value), len(value), value))
    other = server.connect("redis")
    other.ask(resp("GET", "big"), b"$%d\r\n%s\r\n" % (len(value), value))


@pytest.mark.parametrize("request_, answer", [
    (b"*1\r\nfoo\r\n", b"-ERR Protocol error: expected '$', got 'f'\r\n"),
    (b"*2147483648\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
    (b"*1\r\n$999999999\r\n", b"-ERR Protocol error: invalid bulk length\r\n"),
    (b"*x\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
])
def test_nonsense_is_answered_by_redis(server, request_, answer):
    client, other = server.connect("redis"), server.connect("redis")
    other.ask(resp("PING"), b"+PONG\r\n")
    client.send(resp("PING") + request_)
    client.expect_end(b"+PONG\r\n" + answer)
    other.ask(resp("PING"), b"+PONG\r\n")


def test_byte_by_byte(server):
    client = server.connect("redis")
    for byte in resp("SET", "x", "abc") + b"GET x\r\n" + resp("MULTI") + resp("GET", "x") + resp("EXEC"):
        client.send(bytes([byte]))
    client.expect(b"+OK\r\n$3\r\nabc\r\n+OK\r\n+QUEUED\r\n*1\r\n$3\r\nabc\r\n")


# ---- upstreams that fail ----

def test_no_upstream(serve):
    server = serve(listen("redis", upstream="127.0.0.1:1"))
    client = server.connect("redis")
    client.ask(resp("GET", "x"), b"-LOADING ccserver: upstream 127.0.0.1:1: Connection refused\r\n")
    client.ask(resp("SET", "x", 1), b"-LOADING ccserver: upstream 127.0.0.1:1: Connection refused\r\n")
    client.send(resp("SUBSCRIBE", "x"))
    client.expect_end(b"-LOADING ccserver: upstream 127.0.0.1:1: Connection refused\r\n")
    server.wait_log(r"redis: upstream 127\.0\.0\.1:1: Connection refused")


def test_an_upstream_that_dies(serve):
    """Who has asked is told that the command may have been executed, and is served when it is back."""
    upstream = Upstream()
    server = serve(listen("redis", upstream=upstream.address, connections=1), workers=1)
    one, two = server.connect("redis"), server.connect("redis")
    one.send(resp("GET", "x"))
    served = upstream.accept()
    served.expect(resp("GET", "x"))
    served.send(b"$-1\r\n")
    one.expect(b"$-1\r\n")
    one.send(resp("SET", "x", 1))
    served.expect(resp("SET", "x", 1))
    two.send(resp("GET", "y"))
    served.expect(resp("GET", "y"))
    served.close()
    lost = b"-ERR ccserver: upstream lost; the command may have been executed\r\n"
    one.expect(lost)
    two.expect(lost)
    server.wait_log("redis: upstream .*: Connection reset by peer")
    one.send(resp("GET", "x"))
    served = upstream.accept()
    served.expect(resp("GET", "x"))
    served.send(b"$1\r\n1\r\n")
    one.expect(b"$1\r\n1\r\n")
    upstream.close()


def test_an_answer_in_pieces_and_two_at_once(serve):
    upstream = Upstream()
    server = serve(listen("redis", upstream=upstream.address, connections=1), workers=1)
    one, two = server.connect("redis"), server.connect("redis")
    one.send(resp("GET", "a"))
    served = upstream.accept()
    served.expect(resp("GET", "a"))
    two.send(resp("GET", "b"))
    served.expect(resp("GET", "b"))
    for byte in b"*2\r\n$1\r\na\r\n*1\r\n:":
        served.send(bytes([byte]))
    two.expect_silence()
    served.send(b"1\r\n$1\r\nb\r\n")
    one.expect(b"*2\r\n$1\r\na\r\n*1\r\n:1\r\n")
    two.expect(b"$1\r\nb\r\n")
    upstream.close()


# ---- the same as without it ----

WORDS = ["a", "b", "c", "{x}1", "{x}2", "", "\0\r\n", "10", "-5", "3.5", "x" * 3000]


def random_request(rng):
    key, other, value = rng.choice(WORDS), rng.choice(WORDS), rng.choice(WORDS)
    return rng.choice([
        lambda: resp("SET", key, value), lambda: resp("GET", key), lambda: resp("INCR", key), lambda: resp("APPEND", key, value),
        lambda: resp("DEL", key, other), lambda: resp("MGET", key, other, value), lambda: resp("RPUSH", key, value, other),
        lambda: resp("LRANGE", key, 0, -1), lambda: resp("LPOP", key), lambda: resp("HSET", key, other, value),
        lambda: resp("HGET", key, other), lambda: resp("SADD", key, value), lambda: resp("SCARD", key), lambda: resp("TYPE", key),
        lambda: resp("ZADD", key, rng.randrange(9), value), lambda: resp("ZRANGE", key, 0, -1, "WITHSCORES"),
        lambda: resp("EXISTS", key), lambda: resp("nosuch", key), lambda: resp("GET"), lambda: resp("get", key, key),
        lambda: resp("EVAL", "return {1,{2,'x'},redis.error_reply('no')}", 0), lambda: resp("ECHO", value),
        lambda: resp("MULTI") + resp("SET", key, value) + resp("GET", key) + resp("EXEC"), lambda: resp("EXEC"),
        lambda: resp("MULTI") + resp("INCR", key) + resp("DISCARD"), lambda: resp("OBJECT", "ENCODING", key),
        lambda: resp("SETRANGE", key, 70000, value), lambda: resp("STRLEN", key), lambda: b"PING\r\n", lambda: b"\r\n",
        lambda: b"GET  a \r\n", lambda: b"*0\r\n", lambda: b"SET 'q q' \"v\\x00\"\r\n" if rng.random() < 0.1 else b"",
        lambda: resp("SELECT", rng.choice([0, 1, 2, 99])), lambda: resp("WATCH", key), lambda: resp("UNWATCH"),
        lambda: resp("MULTI"), lambda: resp("EXEC"), lambda: resp("DISCARD"), lambda: resp("RESET"), lambda: resp("AUTH", "a", "b"),
        lambda: resp("CLIENT", "GETNAME"), lambda: resp("CLIENT", "SETNAME", rng.choice(["me", "you", "", "a b"])),
        lambda: resp("BLPOP", key, 0.01) if rng.random() < 0.05 else b"", lambda: resp("COPY", key, other, "REPLACE"),
        lambda: resp("SET", key, "y" * 70000) if rng.random() < 0.1 else b"",
    ])()


def run_program(client, rng):
    """Requests in pipelines; everything that is answered, up to the end."""
    got = b""
    for pipeline in range(30):
        client.send(b"".join(random_request(rng) for _ in range(rng.choice([1, 1, 2, 5, 40]))))
        client.send(resp("OBJECT", f"mark-{pipeline}"))  # an error at once, also in a transaction
        wanted = b"-ERR unknown subcommand 'mark-%d'. Try OBJECT HELP.\r\n" % pipeline
        while not got.endswith(wanted):
            data = client.socket.recv(65536)
            assert data, got[-200:]
            got += data
    return got


@pytest.mark.parametrize("seed", range(12))
def test_the_same_answers(serve, seed):
    """A random program of one client, against Redis itself and through it."""
    answers = []
    for through in (False, True):
        redis = Redis()
        try:
            address = f"127.0.0.1:{redis.port}"
            if through:
                server = serve(listen("redis", upstream=address))
                server.baseline.clear()
                address = server.addresses["redis"][0]
            with connect_to(address) as client:
                answers.append(run_program(client, random.Random(seed)))
            if through:
                server.await_open("redis", 0)
        finally:
            redis.stop()
    assert answers[0] == answers[1], first_difference(*answers)


def test_nobody_gets_the_answer_of_somebody_else(server):
    """Each value carries its key and its client."""
    wrong = []

    def talk(number):
        rng = random.Random(number)
        with connect_to(server.addresses["redis"][0]) as client:
            for turn in range(60):
                count = rng.choice([1, 3, 20])
                keys = [f"k{number}-{rng.randrange(5)}" for _ in range(count)]
                values = [f"{key}:{turn}:{index}" for index, key in enumerate(keys)]
                client.send(b"".join(resp("SET", key, value) + resp("GET", key) for key, value in zip(keys, values)))
                wanted = b"".join(b"+OK\r\n$%d\r\n%s\r\n" % (len(value), value.encode()) for value in values)
                got = client.recv_exactly(len(wanted))
                if got != wanted:
                    wrong.append((number, turn, got, wanted))
                    return

    threads = [threading.Thread(target=talk, args=[number]) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[0]
