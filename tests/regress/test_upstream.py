"""Upstreams that are down, or busy: what the proxy's clients are told, and when."""
import ctypes
import fcntl
import os
import pathlib
import socket
import struct
import time

import pytest
from harness import DEADLINE, Client, connect_to, listen

CLONE_NEWNET = 0x40000000
PORT = 40000


def enter_network():
    """In the child: a network namespace with loopback, in which the kernel has two ports to give away."""
    if ctypes.CDLL(None).unshare(CLONE_NEWNET) != 0:
        raise OSError("unshare")
    with socket.socket() as sock:
        fcntl.ioctl(sock, 0x8914, struct.pack("16sh14x", b"lo", 0x1 | 0x40))  # SIOCSIFFLAGS: up, running
    pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").write_text(f"{PORT} {PORT + 1}\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace needs root")
@pytest.mark.parametrize("target", [f"127.0.0.1:{PORT}", f"0.0.0.0:{PORT}", f"[::1]:{PORT}"])
def test_a_port_that_connects_to_itself_is_refused(serve, tmp_path, target):
    """Nobody listens on a port of the range from which the kernel takes the near side's: half of the time it takes that
    one, and the connection stands. The client must not get its own bytes back."""
    address = f"unix:{tmp_path}/proxy"
    server = serve(listen("proxy", bind=address, upstream=target, protocol="redis"), preexec=enter_network)
    for _ in range(40):
        with connect_to(address) as client:
            client.send(b"PING\r\n")
            client.expect_end(f"-LOADING ccserver: upstream {target}: Connection refused\r\n".encode())
    assert server.listener("proxy")["upstream_failures"] == 40


def test_a_unix_upstream_whose_queue_is_full_is_waited_for(serve, tmp_path):
    path = str(tmp_path / "upstream")
    with socket.socket(socket.AF_UNIX) as target:
        target.bind(path)
        target.listen(0)
        target.settimeout(DEADLINE)
        server = serve(listen("proxy", upstream=f"unix:{path}", protocol="redis", connect_timeout="10s"))
        clients = [server.connect("proxy") for _ in range(8)]
        for client in clients:
            client.send(b"PING\r\n")
        clients[-1].expect_silence(0.3)
        for _ in clients:
            with Client(target.accept()[0]) as far:
                far.expect(b"PING\r\n")
                far.send(b"+PONG\r\n")
        for client in clients:
            client.expect_end(b"+PONG\r\n")
        assert server.listener("proxy")["upstream_failures"] == 0


def test_a_unix_upstream_is_not_waited_for_for_ever(serve, tmp_path):
    path = str(tmp_path / "upstream")
    with socket.socket(socket.AF_UNIX) as target, socket.socket(socket.AF_UNIX) as filler:
        target.bind(path)
        target.listen(0)
        target.settimeout(DEADLINE)
        filler.connect(path)
        server = serve(listen("proxy", upstream=f"unix:{path}", protocol="redis", connect_timeout="300ms"))
        client = server.connect("proxy")
        client.expect_silence(0.2)
        client.expect_end(f"-LOADING ccserver: upstream unix:{path}: Connection timed out\r\n".encode())


def test_a_unix_upstream_that_is_gone_is_not_waited_for(serve, tmp_path):
    server = serve(listen("proxy", upstream=f"unix:{tmp_path}/nobody", protocol="redis", connect_timeout="60s"))
    server.connect("proxy").expect_end(
        f"-LOADING ccserver: upstream unix:{tmp_path}/nobody: No such file or directory\r\n".encode())


# ---- how slow it is ----

SLOW_S = 0.1


def buckets(durations):
    """{bucket: count} without those that are empty."""
    return {bucket: count for bucket, count in enumerate(durations["counts"]) if count}


def expect_durations(server, name, long_s, count=1):
    """So many answers, of which the slowest took at least SLOW_S and at most `long_s`; the last minute says the same."""
    stats = server.await_stats(lambda stats: sum(server.pick(stats, name)["upstream_answered"]["counts"]) == count)
    found = server.pick(stats, name)
    slowest = max(buckets(found["upstream_answered"]))
    assert SLOW_S * 1e9 < 2**slowest <= 2 * long_s * 1e9
    last = found["last_minute"]
    assert last["upstream_answered"]["count"] == count
    for of_last, of_all in ((last[each], found[each]) for each in ("answered", "upstream_connected", "upstream_answered")):
        assert all(of_last[each] == of_all[each] for each in ("p50_us", "p90_us", "p99_us", "max_us"))
    assert 0 < stats["last_minute"]["seconds"] < 65
    return found


def answer_slowly(far, question, answer):
    far.expect(question)
    time.sleep(SLOW_S)  # this is how slow it is
    far.send(answer)


def test_a_slow_upstream_of_the_proxy(serve, upstream):
    target = upstream()
    server = serve(listen("proxy", upstream=target.address), workers=1)
    client, begun = server.connect("proxy"), time.monotonic()
    client.send(b"question")
    with target.accept() as far:
        answer_slowly(far, b"question", b"answer")
        client.expect(b"answer")
        took = time.monotonic() - begun
        found = expect_durations(server, "proxy", took)
        assert sum(buckets(found["upstream_connected"]).values()) == 1
        assert sum(buckets(found["answered"]).values()) == 0
        far.send(b" and the rest")
        client.expect(b" and the rest")
        for _ in range(3):
            client.send(b"again")
            far.expect(b"again")
            far.send(b"fast")
            client.expect(b"fast")
        found = expect_durations(server, "proxy", took, 4)
        assert max(buckets(found["upstream_answered"])) > min(buckets(found["upstream_answered"]))
    since = server.mark()
    server.stats()
    server.wait_log(r"  proxy +upstream connected +\S+ ", since=since)
    server.wait_log(r" {16}upstream answered +(\S+ +\S+ +\S+ +\S+) +\1$", since=since)


def test_a_slow_upstream_that_is_spoken_to_in_messages(example, upstream):
    sides = [upstream() for _ in range(2)]
    server = example(listen("fanout", first=sides[0].address, second=sides[1].address, timeout="10s"), workers=1)
    client, begun = server.connect("fanout"), time.monotonic()
    client.send(b"question\n")
    with sides[0].accept() as far, sides[1].accept() as silent:
        silent.expect(b"question\n")
        answer_slowly(far, b"question\n", b"answer\n")
        client.expect(b"answer\n")
        found = expect_durations(server, "fanout", time.monotonic() - begun)
        assert sum(buckets(found["upstream_connected"]).values()) == 2
