"""Every byte comes back, in order, unchanged."""
import pytest
from harness import MIB, first_difference, listen, random_bytes


@pytest.fixture
def server(serve):
    return serve(listen("pingpong"))


def test_a_byte_comes_back(server):
    server.connect("pingpong").ask(b"\0", b"\0")


def test_all_byte_values_come_back(server):
    data = bytes(range(256)) * 16
    server.connect("pingpong").ask(data, data)


@pytest.mark.parametrize("size", [1, 4095, 4096, 4097, 65535, 65536, 65537, 300_000])
def test_sizes_around_the_buffers(server, size):
    client, data = server.connect("pingpong"), random_bytes(size)
    for _ in range(3):
        assert client.exchange(data, size) == data


def test_eight_mebibytes_stay_in_order(server):
    data = random_bytes(8 * MIB)
    got = server.connect("pingpong").exchange(data, len(data))
    assert got == data, first_difference(got, data)


def test_half_close_gets_everything_back_then_the_end(server):
    client, data = server.connect("pingpong"), random_bytes(100_000)
    client.send(data)
    client.half_close()
    client.expect_end(data)


def test_connect_and_leave(server):
    for _ in range(20):
        server.connect("pingpong").close()
    server.await_closed("pingpong", "peer", 20)


def test_no_idle_timeout_by_default(server):
    client = server.connect("pingpong")
    client.expect_silence(0.3)
    client.ask(b"x", b"x")


def test_sessions_are_kept_apart(server):
    clients = [server.connect("pingpong") for _ in range(50)]
    for number, client in enumerate(clients):
        client.send(b"%05d" % number)
    for number, client in enumerate(clients):
        client.expect(b"%05d" % number)


def test_every_kind_of_address(serve, tmp_path):
    server = serve(listen("pingpong", bind=f"127.0.0.1:0, [::1]:0, unix:{tmp_path}/s"), workers=3)
    addresses = server.addresses["pingpong"]
    assert [address.split(":")[0] for address in addresses] == ["127.0.0.1", "[", "unix"]
    for index in range(3):
        for _ in range(6):
            server.connect("pingpong", index).ask(b"x", b"x")


def test_the_bytes_are_counted(server):
    client, wanted = server.connect("pingpong"), (1, 1, 1000, 1000)
    client.ask(b"x" * 1000, b"x" * 1000)
    server.await_stats(lambda s: wanted == tuple(
        s["listeners"][0][key] for key in ("accepted", "sessions_open", "bytes_in", "bytes_out")))
