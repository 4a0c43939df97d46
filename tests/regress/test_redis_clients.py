"""A client library of Redis does through it what it does without it: pools of connections, transactions, scripts, queues."""
import threading

import pytest
from harness import DEADLINE, listen
from test_proxy import Redis
from test_redis import connections

redis = pytest.importorskip("redis")


@pytest.fixture(params=["direct", "shared", "relay"])
def endpoint(request, serve):
    """(port, the server behind it, whether its clients share connections)"""
    server = Redis()
    port = server.port
    if request.param != "direct":
        front = serve(listen("redis", upstream=f"127.0.0.1:{port}", multiplex="on" if request.param == "shared" else "off"))
        front.baseline.clear()
        port = int(front.addresses["redis"][0].rsplit(":", 1)[1])
    yield port, server, request.param == "shared"
    while clients:
        clients.pop().connection_pool.disconnect()
    server.stop()


clients = []  # of the present test


def connect(endpoint, **options):
    clients.append(redis.Redis(port=endpoint[0], socket_timeout=DEADLINE, **options))
    return clients[-1]


def in_threads(count, work):
    errors = []

    def run(number):
        try:
            work(number)
        except Exception as error:  # shown by the test, not by the thread
            errors.append(error)

    threads = [threading.Thread(target=run, args=[number]) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_types(endpoint):
    client = connect(endpoint, decode_responses=True, client_name="a-client", db=3)
    assert client.set("x", "1", ex=100) and client.incr("x") == 2 and 0 < client.ttl("x") <= 100
    assert client.rpush("list", *"abc") == 3 and client.lrange("list", 0, -1) == ["a", "b", "c"]
    assert client.hset("hash", mapping={"a": 1, "b": 2}) == 2 and client.hgetall("hash") == {"a": "1", "b": "2"}
    assert client.zadd("scores", {"one": 1, "two": 2}) == 2
    assert client.zrange("scores", 0, -1, withscores=True) == [("one", 1.0), ("two", 2.0)]
    assert client.xadd("stream", {"a": 1}, id="1-1") == "1-1" and client.xlen("stream") == 1
    assert client.xread({"stream": "0"}) == [["stream", [("1-1", {"a": "1"})]]]
    assert sorted(client.scan_iter()) == ["hash", "list", "scores", "stream", "x"]
    assert client.client_getname() == "a-client" and client.dbsize() == 5
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        client.lpush("x", 1)
    assert connect(endpoint).dbsize() == 0
    script = client.register_script("return redis.call('incrby', KEYS[1], ARGV[1])")
    assert script(keys=["x"], args=[40]) == 42
    assert client.get("x") == "42"


def test_pipelines(endpoint):
    client = connect(endpoint)
    with client.pipeline(transaction=False) as pipeline:
        for number in range(5000):
            pipeline.set(f"k{number}", number).get(f"k{number}")
        assert pipeline.execute() == [each for number in range(5000) for each in (True, str(number).encode())]
    with client.pipeline() as pipeline:
        assert pipeline.set("x", 1).incr("x").lpush("x", 1).execute(raise_on_error=False)[:2] == [True, 2]
        assert client.get("x") == b"2"


def test_optimistic_locking(endpoint):
    """Whoever watches and is overtaken tries again: no step is lost."""
    client = connect(endpoint)

    def count(_):
        for _ in range(20):
            client.transaction(lambda pipeline: (pipeline.get("n"), pipeline.multi(), pipeline.incr("n")), "n")

    in_threads(8, count)
    assert client.get("n") == b"160"
    if endpoint[2]:
        assert connections(endpoint[1]) <= 2 * (8 + 2)  # of two workers: eight at a time in a transaction, and the shared ones


def test_users(endpoint):
    admin = connect(endpoint)
    for name in ("ann", "bob"):
        admin.acl_setuser(name, enabled=True, passwords=[f"+{name}"], keys=[f"{name}:*"], categories=["+@all"], channels=["*"])

    def work(number):
        me, other = ("ann", "bob")[::1 if number % 2 else -1]
        client = connect(endpoint, username=me, password=me)
        for _ in range(20):
            client.set(f"{me}:x", number)
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.get(f"{other}:x")
            assert client.acl_whoami() == me

    in_threads(8, work)
    with pytest.raises(redis.RedisError, match="invalid username-password pair"):
        connect(endpoint, username="ann", password="bob").ping()


def test_queues_and_channels(endpoint):
    client = connect(endpoint)
    taken = []
    consumer = threading.Thread(target=lambda: [taken.append(client.blpop("queue", DEADLINE)[1]) for _ in range(50)])
    consumer.start()
    for number in range(50):
        client.rpush("queue", number)
    consumer.join()
    assert taken == [str(number).encode() for number in range(50)]
    with client.pubsub() as channel:
        channel.subscribe("news")
        assert channel.get_message(timeout=DEADLINE)["type"] == "subscribe"
        assert client.publish("news", "hello") == 1
        assert channel.get_message(timeout=DEADLINE)["data"] == b"hello"
