"""The vectors of tests/vectors/resp_*.tsv, which the unit tests take for Redis' own, asked of a live Redis."""
import socket

import pytest
from harness import ROOT, connect_to
from redis_server import Redis

LAST = b"*2\r\n$4\r\nECHO\r\n$12\r\nthe last one\r\n"
LAST_REPLY = b"$12\r\nthe last one\r\n"


def unescape(text):
    return text.encode().decode("unicode_escape").encode("latin-1")


def vectors(name):
    """The lines of a file, as columns of bytes."""
    lines = (ROOT / "tests/vectors" / name).read_text().splitlines()
    return [[unescape(column) for column in line.split("\t")] for line in lines if not line.startswith("#")]


@pytest.fixture(scope="module")
def redis():
    server = Redis(cluster=True)
    yield server
    server.stop()


@pytest.mark.parametrize("what, request_, reply", [
    pytest.param(what.decode(), request, b"".join(reply), id=f"{what.decode()}-{request!r}")
    for what, request, *reply in vectors("resp_requests.tsv")])
def test_request(redis, what, request_, reply):
    with connect_to(redis.unix) as client:
        client.send(request_)
        if what in ("whole", "silent") or (what == "quoted" and not reply.startswith(b"-ERR Protocol error")):
            client.ask(LAST, reply + LAST_REPLY)  # one request, and it ends where the other begins
            return
        client.socket.shutdown(socket.SHUT_WR)
        client.expect_end(reply)
        assert reply.startswith(b"-ERR Protocol error") == (what in ("refused", "quoted"))


def test_slots(redis):
    keys = vectors("resp_slots.tsv")
    assert len(keys) >= 300
    with connect_to(redis.unix) as client:
        for key, slot in keys:
            command = b"*3\r\n$7\r\nCLUSTER\r\n$7\r\nKEYSLOT\r\n$%d\r\n%s\r\n" % (len(key), key)
            client.ask(command, b":%s\r\n" % slot)
