"""The forwarding proxy: all of Redis works through it; what an upstream rarely does is played by the test."""
import signal
import subprocess
import threading
import time

import pytest
from harness import (DEADLINE, MIB, SANITIZED, TICK, Upstream, connect_to, first_difference, listen,
                     random_bytes, resident_peak)
from redis_server import Redis


@pytest.fixture(scope="module")
def redis():
    server = Redis()
    yield server
    server.stop()


@pytest.fixture(params=["raw", "redis"])
def server(request, serve, redis):
    return serve(listen("proxy", upstream=f"127.0.0.1:{redis.port}", protocol=request.param))


def resp(*words):
    """A command as Redis wants it."""
    words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def redis_cli(server, *words, data=None):
    command = ["redis-cli", "-p", str(server.port("proxy")), *words]
    return subprocess.run(command, input=data, capture_output=True, timeout=DEADLINE, check=True).stdout


# ---- a real Redis ----

def test_redis_cli(server):
    assert redis_cli(server, "SET", "key", "value") == b"OK\n"
    assert redis_cli(server, "GET", "key") == b"value\n"


def test_ten_megabytes_there_and_back(server):
    client, value = server.connect("proxy"), random_bytes(10_000_000)
    client.ask(resp("SET", "big", value), b"+OK\r\n")
    wanted = b"$%d\r\n%s\r\n" % (len(value), value)
    got = client.exchange(resp("GET", "big"), len(wanted))
    assert got == wanted, first_difference(got, wanted)
    assert redis_cli(server, "-x", "SET", "big", data=value[:1000]) == b"OK\n"


def test_multi(server):
    client = server.connect("proxy")
    client.ask(resp("MULTI"), b"+OK\r\n")
    client.ask(resp("SET", "m", 1) + resp("INCR", "m"), b"+QUEUED\r\n+QUEUED\r\n")
    client.ask(resp("EXEC"), b"*2\r\n+OK\r\n:2\r\n")


def test_subscribe_and_publish(server):
    subscriber, publisher = server.connect("proxy"), server.connect("proxy")
    subscriber.ask(resp("SUBSCRIBE", "news"), b"*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n")
    for number in range(20):
        publisher.ask(resp("PUBLISH", "news", "n%02d" % number), b":1\r\n")
        subscriber.expect(b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$3\r\nn%02d\r\n" % number)


def test_a_blocking_command(server):
    waiting, other = server.connect("proxy"), server.connect("proxy")
    waiting.send(resp("BLPOP", "queue", 0))
    waiting.expect_silence()
    other.ask(resp("LPUSH", "queue", "job"), b":1\r\n")
    waiting.expect(b"*2\r\n$5\r\nqueue\r\n$3\r\njob\r\n")


def test_a_pipeline(server):
    client = server.connect("proxy")
    client.ask(resp("SET", "n", 0), b"+OK\r\n")
    replies = b"".join(b":%d\r\n" % number for number in range(1, 10_001))
    assert client.exchange(resp("INCR", "n") * 10_000, len(replies)) == replies


def test_quit_closes(server):
    client = server.connect("proxy")
    client.send(resp("QUIT"))
    client.expect_end(b"+OK\r\n")


def test_redis_benchmark(server):
    command = ["redis-benchmark", "-p", str(server.port("proxy")), "-n", "2000", "-c", "20", "-P", "8", "-q",
               "-t", "set,get,lpush,lrange_100"]
    done = subprocess.run(command, capture_output=True, timeout=60, text=True)
    assert done.returncode == 0 and done.stdout.count("requests per second") >= 4, done.stdout + done.stderr
    assert "rror" not in done.stdout + done.stderr


def test_redis_on_a_unix_socket(serve, redis):
    server = serve(listen("proxy", upstream=redis.unix))
    assert redis_cli(server, "PING") == b"PONG\n"


# ---- an upstream that cannot be reached ----

@pytest.mark.parametrize("early", [b"", resp("PING")])
def test_upstream_refuses(serve, upstream, early):
    nobody = upstream(backlog=None)
    server = serve(listen("proxy", "raw", upstream=nobody.address), listen(
        "proxy", "redis", upstream=nobody.address, protocol="redis"))
    error = f"-LOADING ccserver: upstream {nobody.address}: Connection refused\r\n"
    for name, text in ("raw", ""), ("redis", error):
        client = server.connect(name)
        client.send(early)
        client.expect_end(text.encode())
        client.close()
        server.await_closed(name, "upstream")
        assert server.listener(name)["upstream_failures"] == 1


def test_upstream_is_no_file(serve, tmp_path):
    server = serve(listen("proxy", upstream=f"unix:{tmp_path}/none", protocol="redis"))
    client = server.connect("proxy")
    client.expect_end(f"-LOADING ccserver: upstream unix:{tmp_path}/none: No such file or directory\r\n".encode())


@pytest.fixture
def full(upstream):
    """An upstream whose accept queue is full: it answers no SYN."""
    full = upstream(backlog=0)
    full.filler = connect_to(full.address)
    yield full
    full.filler.close()


@pytest.mark.parametrize("protocol", ["raw", "redis"])
def test_connect_timeout(serve, full, protocol):
    server = serve(listen("proxy", upstream=full.address, protocol=protocol, connect_timeout="300ms"))
    start = time.monotonic()
    client = server.connect("proxy")
    client.send(b"early")
    error = f"-LOADING ccserver: upstream {full.address}: Connection timed out\r\n"
    client.expect_end(error.encode() if protocol == "redis" else b"")
    assert 0.3 - TICK <= time.monotonic() - start < 3
    client.close()
    server.await_closed("proxy", "upstream")


def test_client_leaves_while_the_upstream_is_being_connected(serve, full):
    server = serve(listen("proxy", upstream=full.address))
    server.connect("proxy").abort()
    client = server.connect("proxy")
    client.send(b"early")
    server.await_open("proxy", 1)
    client.abort()
    server.await_open("proxy", 0)


def test_early_bytes_wait_for_the_upstream(serve, full):
    server = serve(listen("proxy", upstream=full.address))
    client, early = server.connect("proxy"), random_bytes(20_000)
    for at in range(0, len(early), 5000):
        client.send(early[at:at + 5000])
    server.await_stats(lambda s: s["listeners"][0]["bytes_in"] > 0)
    full.accept().close()  # the filler: now there is room for the next SYN
    with full.accept() as server_side:
        server_side.expect(early)
        server_side.send(b"late")
        client.expect(b"late")


# ---- an upstream with its own mind ----

@pytest.fixture
def pair(serve, upstream):
    """(server, client, the upstream's end of its connection)."""
    up = upstream()
    server = serve(listen("proxy", upstream=up.address), workers=1)
    client = server.connect("proxy")
    with up.accept() as server_side:
        yield server, client, server_side


def test_bytes_are_untouched(pair):
    _, client, server_side = pair
    for source, sink in (client, server_side), (server_side, client):
        for size in (1, 70_000):
            source.ask(random_bytes(size), b"") or sink.expect(random_bytes(size))


def test_half_close_by_the_client(pair):
    server, client, server_side = pair
    client.send(b"request")
    client.half_close()
    server_side.expect_end(b"request")
    server_side.send(b"reply")
    client.expect(b"reply")
    server_side.close()
    client.expect_end()
    server.await_open("proxy", 0)


def test_half_close_by_the_upstream(pair):
    server, client, server_side = pair
    server_side.send(b"greeting")
    server_side.half_close()
    client.expect_end(b"greeting")
    client.send(b"thanks")
    server_side.expect(b"thanks")
    client.close()
    server_side.expect_end()
    server.await_open("proxy", 0)


@pytest.mark.parametrize("more", [b"", b"more"])
def test_a_stop_awaits_no_answer_of_an_upstream_that_has_ended(serve, upstream, more):
    """It cannot come any more, whatever the client still says: as any quiet session this one is closed at once."""
    target = upstream()
    server = serve(listen("proxy", upstream=target.address), drain_timeout="20s")
    client = server.connect("proxy")
    client.send(b"question")
    with target.accept() as far:
        far.expect(b"question")
        far.half_close()
        client.expect_end()
        if more:
            client.send(more)
            far.expect(more)
        begun = time.monotonic()
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        assert time.monotonic() - begun < 5


@pytest.mark.parametrize("direction", ["to the upstream", "to the client"])
def test_half_close_comes_after_what_is_in_flight(pair, direction):
    _, client, server_side = pair
    source, sink = (client, server_side) if direction == "to the upstream" else (server_side, client)
    data = random_bytes(3 * MIB)
    sender = threading.Thread(target=lambda: (source.send(data), source.half_close()))
    sender.start()
    sink.expect_end(data)
    sender.join()
    sink.send(b"the other way still works")
    source.expect(b"the other way still works")


def test_early_half_close(serve, upstream):
    up = upstream()
    client = serve(listen("proxy", upstream=up.address)).connect("proxy")
    client.send(b"request")
    client.half_close()
    with up.accept() as server_side:
        server_side.expect_end(b"request")
        server_side.send(b"reply")
    client.expect_end(b"reply")


@pytest.mark.parametrize("protocol", ["raw", "redis"])
@pytest.mark.parametrize("how", ["close", "abort"])
def test_upstream_dies_in_mid_stream(serve, upstream, protocol, how):
    up = upstream()
    server = serve(listen("proxy", upstream=up.address, protocol=protocol))
    client = server.connect("proxy")
    client.send(b"request")
    server_side = up.accept()
    server_side.expect(b"request")
    server_side.send(b"$100\r\nhalf a rep")
    client.expect(b"$100\r\nhalf a rep")
    getattr(server_side, how)()
    client.expect_end()  # and nothing that could be taken for the rest of the reply
    client.close()
    server.await_open("proxy", 0)


@pytest.mark.parametrize("how", ["close", "abort"])
def test_client_dies_in_mid_stream(pair, how):
    server, client, server_side = pair
    client.ask(b"reque", b"")
    server_side.expect(b"reque")
    server_side.send(b"x" * 100_000)
    getattr(client, how)()
    server_side.expect_gone()
    server_side.close()
    server.await_open("proxy", 0)


def test_idle_timeout_closes_both(serve, upstream):
    up = upstream()
    server = serve(listen("proxy", upstream=up.address, idle_timeout="300ms"))
    client = server.connect("proxy")
    with up.accept() as server_side:
        for _ in range(5):  # activity on either side counts
            server_side.ask(b"x", b"") or client.expect(b"x")
            client.expect_silence(0.12)
        client.ask(b"x", b"") or server_side.expect(b"x")
        client.expect_silence(0.6)  # an answer is due
        start = time.monotonic()
        server_side.ask(b"x", b"") or client.expect(b"x")
        client.expect_end()
        assert 0.3 - TICK <= time.monotonic() - start < 3
        server_side.expect_gone()
    server.await_closed("proxy", "idle")


def test_answer_timeout_closes_both(serve, upstream):
    up = upstream()
    server = serve(listen("proxy", upstream=up.address, idle_timeout="off", answer_timeout="300ms"))
    client = server.connect("proxy")
    with up.accept() as server_side:
        client.expect_silence(0.6)  # nothing has been asked
        start = time.monotonic()
        client.ask(b"x", b"") or server_side.expect(b"x")
        client.expect_end()
        assert 0.3 - TICK <= time.monotonic() - start < 3
        server_side.expect_gone()
    server.await_closed("proxy", "idle")


# ---- a slow side slows the other one down ----

@pytest.mark.parametrize("direction", ["to the upstream", "to the client"])
def test_a_slow_reader(serve, upstream, direction):
    up = upstream(small_buffers=True)
    server = serve(listen("proxy", upstream=up.address, high_water="64k", low_water="16k"), workers=1)
    client, data = server.connect("proxy", small_buffers=True), random_bytes(48 * MIB)
    with up.accept() as server_side:
        source, sink = (client, server_side) if direction == "to the upstream" else (server_side, client)
        (worker,) = server.worker_pids().values()
        memory = resident_peak(worker)
        sent = source.send_until_stuck(data)
        assert sent < len(data), "it takes whatever is sent"
        assert resident_peak(worker) - memory < (16 if SANITIZED else 3) * MIB
        turns = server.turns()
        source.expect_silence(0.3)
        assert server.turns() - turns < 30, "it spins"
        with server.connect("proxy") as other, up.accept() as other_side:
            other.ask(b"ping", b"") or other_side.expect(b"ping")
        sink.ask(b"meanwhile", b"") or source.expect(b"meanwhile")  # the other direction is free
        sender = threading.Thread(target=lambda: (source.send(data[sent:]), source.half_close()))
        sender.start()
        sink.expect_end(data)
        sender.join()
