"""tests/services/memcached.c: the text protocol with pymemcache and raw bytes."""
import time

import pytest
from harness import listen, random_bytes
from pymemcache.client.base import Client as MemcacheClient
from pymemcache.exceptions import MemcacheClientError, MemcacheServerError

MIB = 1 << 20


@pytest.fixture
def cache(example):
    return example(listen("memcached"), workers=1)


@pytest.fixture
def memcache(cache):
    client = MemcacheClient(("127.0.0.1", cache.port("memcached")), timeout=10)
    yield client
    client.close()


def test_pymemcache(memcache):
    assert memcache.set("k", b"value", noreply=False)
    assert memcache.get("k") == b"value"
    assert memcache.get("none") is None
    assert not memcache.add("k", b"x", noreply=False) and memcache.add("new", b"x", noreply=False)
    assert memcache.replace("k", b"other", noreply=False) and not memcache.replace("none", b"x", noreply=False)
    assert memcache.get_many(["k", "none", "new"]) == {"k": b"other", "new": b"x"}
    version = memcache.gets("k")[1]
    memcache.set("k", b"third", noreply=False)
    assert memcache.gets("k")[0] == b"third" and memcache.gets("k")[1] != version
    assert memcache.delete("k", noreply=False) and not memcache.delete("k", noreply=False)
    assert memcache.version() == b"ccserver"
    assert memcache.flush_all(noreply=False)
    assert memcache.get("new") is None


def test_numbers(memcache):
    memcache.set("n", b"10", noreply=False)
    assert memcache.incr("n", 5) == 15
    assert memcache.decr("n", 6) == 9
    assert memcache.decr("n", 100) == 0
    assert memcache.incr("none", 1) is None
    memcache.set("n", b"18446744073709551615", noreply=False)
    assert memcache.incr("n", 2) == 1
    for text in b"", b"12x", b"-1", b"1" * 21, b"1" * 5000:
        memcache.set("text", text, noreply=False)
        with pytest.raises(MemcacheClientError):
            memcache.incr("text", 1)


def test_values_of_any_bytes_and_sizes(memcache):
    for size in 0, 1, 2, 100, 65535, 65536, MIB:
        value = random_bytes(size) if size > 2 else b"\r\n"[:size]
        assert memcache.set("k", value, noreply=False)
        assert memcache.get("k") == value
    with pytest.raises(MemcacheServerError):
        memcache.set("k", b"x" * (MIB + 1), noreply=False)
    assert memcache.get("k") == random_bytes(MIB)


def test_many_keys(memcache):
    values = {f"key{i}": str(i).encode() for i in range(2000)}
    memcache.set_many(values)
    assert memcache.get_many(list(values)) == values


def test_time_to_live(cache, memcache):
    memcache.set("soon", b"x", expire=1, noreply=False)
    memcache.set("late", b"x", expire=1, noreply=False)
    memcache.set("past", b"x", expire=-1, noreply=False)
    memcache.set("date", b"x", expire=int(time.time()) + 100, noreply=False)
    memcache.set("yesterday", b"x", expire=int(time.time()) - 86400, noreply=False)
    assert memcache.touch("late", 100, noreply=False) and not memcache.touch("none", 1, noreply=False)
    assert memcache.get_many(["soon", "late", "past", "date", "yesterday"]).keys() == {"soon", "late", "date"}
    time.sleep(1.1)
    assert memcache.get_many(["soon", "late", "past", "date", "yesterday"]).keys() == {"late", "date"}
    assert memcache.add("soon", b"again", noreply=False)


def test_a_full_store_begins_anew(cache, memcache):
    value = random_bytes(MIB)
    for i in range(70):
        memcache.set(f"k{i}", value, noreply=False)
    assert memcache.get("k0") is None and memcache.get("k69") == value


def test_raw_bytes(cache):
    client = cache.connect("memcached")
    client.ask(b"set a 7 0 3\r\nabc\r\nget a\r\n", b"STORED\r\nVALUE a 7 3\r\nabc\r\nEND\r\n")
    client.ask(b"set a 0 0 1 noreply\r\nx\r\nincr a 1 noreply\r\ndelete a noreply\r\ndelete a\r\n",
               b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\nNOT_FOUND\r\n")
    client.ask(b"set a 0 0 3\r\nabcd\r\n\r\nversion\r\n",
               b"CLIENT_ERROR bad data chunk\r\nERROR\r\nERROR\r\nVERSION ccserver\r\n")
    for bad in b"set a", b"set a 0 0 x", b"set a -1 0 1", b"touch a", b"incr a", b"delete a b c":
        client.ask(bad + b"\r\n", b"CLIENT_ERROR bad command line format\r\n")
    for bad in b"", b"nonsense", b"get", b"se a 0 0 1", b"delete " + b"k" * 251:
        client.ask(bad + b"\r\n", b"END\r\n" if bad == b"get" else b"ERROR\r\n")
    client.send(b"quit\r\nget a\r\n")
    client.expect_end()


def test_bytes_one_at_a_time(cache):
    client = cache.connect("memcached")
    for byte in b"set a 0 0 4\r\n\r\n\r\n\r\nget a\r\n":
        client.send(bytes([byte]))
    client.expect(b"STORED\r\nVALUE a 0 4\r\n\r\n\r\n\r\nEND\r\n")
