"""The bank: length-prefixed, checksummed protobuf frames. Hostile ones first."""
import random
import re
import resource
import struct
import subprocess

import pytest
from bank import VECTORS, WITHDRAW, expect_error, field, fields, frame, message, padded, recv_frame
from harness import ROOT, SANITIZED, first_difference, listen, random_bytes

TYPES = ["withdraw", "deposit", "withdraw-nul", "withdraw-negative", "withdraw-empty", "time_stamp", "outs_head",
         "app_inter"]
ANSWERED_WITH_ERROR = ["unknown-type", "bad-body"]
HOSTILE = [name for name in VECTORS if name not in TYPES + ANSWERED_WITH_ERROR + ["outsourcing", "withdraw-checksum-big-endian"]]
EVIL = {
    "no-name": struct.pack(">II", 8, 0) + struct.pack("<I", 0x00040001),
    "name-of-one-nul": struct.pack(">II", 10, 2) + b"\0\0" + b"\0\0\0\0",
    "name-length-sign-bit": struct.pack(">II", 100, 0x80000012) + b"x" * 96,
    "name-length-all-ones": struct.pack(">II", 100, 0xFFFFFFFF) + b"x" * 96,
    "name-length-one-past": struct.pack(">II", 20, 13) + b"x" * 16,
    "checksum-half-turned": WITHDRAW[:-4] + WITHDRAW[-2:] + WITHDRAW[-4:-2],
    "checksum-of-everything-flipped": WITHDRAW[:-4] + bytes(byte ^ 0xFF for byte in WITHDRAW[-4:]),
    "length-sign-bit": struct.pack(">I", 0x80000000) + WITHDRAW,
    "length-nine": struct.pack(">I", 9) + b"x" * 9,
    "http": b"GET / HTTP/1.1\r\nHost: bank\r\n\r\n",
    "tls-hello": bytes.fromhex("16030100f8010000f40303") + random_bytes(240),
    "random": b"\xff" + random_bytes(5000),
}


@pytest.fixture
def server(serve):
    """One worker, so that everybody sees what kills it, and a bystander who must not notice anything."""
    server = serve(listen("bank"), workers=1)
    bystander = server.connect("bank")
    bystander.ask(WITHDRAW, WITHDRAW)
    pids = server.worker_pids()
    bystander.send(WITHDRAW[:50])
    yield server
    bystander.ask(WITHDRAW[50:], WITHDRAW)
    assert server.worker_pids() == pids


@pytest.fixture
def client(server):
    return server.connect("bank")


# ---- frames that cannot be trusted: an error, and the end ----

@pytest.mark.parametrize("name", HOSTILE + list(EVIL))
def test_hostile_frame(server, client, name):
    client.send({**VECTORS, **EVIL}[name])
    expect_error(client)
    client.expect_end()
    client.close()
    server.await_stats(lambda s: sum(map(s["listeners"][0]["closed"].get, ("protocol", "oversize"))) == 1)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_frame_after_good_ones(client, name):
    client.send(WITHDRAW * 3 + VECTORS[name] + WITHDRAW)
    client.expect(WITHDRAW * 3)
    expect_error(client)
    client.expect_end()


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_frame_in_single_bytes(client, name):
    for byte in VECTORS[name]:
        try:
            client.send(bytes([byte]))
        except ConnectionError:  # it has seen enough
            break
    client.expect_gone()


def test_who_does_not_leave_after_the_error_is_closed(serve):
    server = serve(listen("bank"), linger_timeout="300ms")
    client = server.connect("bank")
    client.send(VECTORS["length-zero"])
    expect_error(client)
    client.expect_end()
    server.await_closed("bank", "protocol")


def test_who_goes_on_sending_after_the_error_is_not_reset(server, client):
    client.send(VECTORS["length-zero"])
    expect_error(client)
    client.expect_end()
    bystander = server.connect("bank")
    for _ in range(5):
        client.send(WITHDRAW)
        bystander.ask(WITHDRAW, WITHDRAW)


def test_a_flood_after_a_hostile_frame_still_sees_the_error(client):
    client.send(VECTORS["bad-checksum"] + random_bytes(200_000))
    expect_error(client)
    client.expect_end()


def test_a_frame_with_one_flipped_bit(server):
    """Never an echo: an error, or nothing when the length has become that of a frame still to be finished."""
    for bit in range(0, len(WITHDRAW) * 8, 5):
        damaged = bytearray(WITHDRAW)
        damaged[bit // 8] ^= 1 << bit % 8
        with server.connect("bank") as client:
            client.send(damaged)
            client.half_close()
            if bit >= 32 or client.expects_data():
                expect_error(client)
            client.expect_end()


# ---- frames that are only wrong inside: an error, and on it goes ----

@pytest.mark.parametrize("name", ANSWERED_WITH_ERROR)
def test_the_connection_goes_on_after(server, client, name):
    for _ in range(3):
        client.send(VECTORS[name] + WITHDRAW)
        expect_error(client)
        client.expect(WITHDRAW)
    server.await_stats(lambda s: s["listeners"][0]["protocol_errors"] == 3)


@pytest.mark.parametrize("name", ["ccserver.", "ccserver.withdrawx", "ccserver.withdra", "withdraw", ".",
                                  "ccserver.error%s%n", "x" * 60000], ids=lambda name: name[:20])
def test_unknown_type_names(client, name):
    client.send(frame(name) + WITHDRAW)
    expect_error(client)
    client.expect(WITHDRAW)


@pytest.mark.parametrize("body", [b"\x0a", b"\x0a\xff\xff\xff\xff\x0f", b"\xff" * 12, b"\x0a\x05ab", b"\x07",
                                  b"\x20", b"\x20" + b"\xff" * 11, b"\x7a\x02\x12\x05"], ids=bytes.hex)
def test_bodies_that_do_not_parse(client, body):
    client.send(frame("ccserver.withdraw", body) + WITHDRAW)
    expect_error(client)
    client.expect(WITHDRAW)


# ---- good frames ----

@pytest.mark.parametrize("name", TYPES)
def test_the_same_message_comes_back(client, name):
    for _ in range(2):
        client.ask(VECTORS[name], VECTORS[name])


def test_outsourcing_has_no_reply(client):
    client.send(VECTORS["outsourcing"])
    client.expect_silence()
    client.ask(VECTORS["outsourcing"] * 3 + WITHDRAW, WITHDRAW)


def test_replies_come_in_the_order_of_requests(client):
    bodies = [message(bus_msg_id=f"D{number}", amount=number - 50) for number in range(1, 50)]
    batch = b"".join(frame("ccserver.deposit", body) for body in bodies)
    client.ask(batch, batch)


def test_small_and_large_frames_mixed(client):
    sizes = [35, 109, 110, 3000, 4090, 4096, 4097, 5000, 20_000, 65_536]
    batch = b"".join(map(padded, random.Random(5).choices(sizes, k=150)))
    got = client.exchange(batch, len(batch))
    assert got == batch, first_difference(got, batch)


def test_every_field_comes_back(client):
    stamp = field(15, field(1, -(1 << 63)) + field(2, "label") + field(3, "ü"))
    body = message(bus_msg_id="i", serial_no="s", card_no="c", amount=-(1 << 31), customer="m", time="t")
    body += stamp * 3
    client.ask(frame("ccserver.withdraw", body), frame("ccserver.withdraw", body))


def test_a_checksum_in_the_other_byte_order(server, client):
    """Earlier clients send it big-endian. The reply's is little-endian, whatever the request's was."""
    turned = VECTORS["withdraw-checksum-big-endian"]
    client.ask(turned + WITHDRAW + turned * 2, WITHDRAW * 4)
    assert server.listener("bank")["protocol_errors"] == 0


STRINGS = {"time_stamp": [2, 3], "app_inter": [5, 6, 7, 9, 11, 14], "outs_head": [2, 3, 4, 5, 6],
           "withdraw": [1, 2, 3, 5, 6], "deposit": [1, 2, 3, 5, 6], "error": [2, 3]}
STAMPS = {"app_inter": 15, "outs_head": 14, "withdraw": 15, "deposit": 15}


def test_there_is_no_string_that_is_not_tried():
    schema, found = (ROOT / "proto/bank.proto").read_text(), {}
    for name, body in re.findall(r"^message (\w+) \{(.*?)^\}", schema, re.M | re.S):
        found[name] = [int(number) for number in re.findall(r"^ +(?:string|bytes) \w+ = (\d+);", body, re.M)]
    assert found == {**STRINGS, "outsourcing": [15]}
    assert set(re.findall(r"^message (\w+) \{[^}]*repeated time_stamp ", schema, re.M)) == set(STAMPS)


@pytest.mark.parametrize("name", STRINGS)
def test_strings_hold_any_bytes(client, name):
    """A C string would end at the NUL, and the reply would be another transaction."""
    for value in (b"a\0secret", b"\0", b"\0\0\0", b"\xff\xfe\0\x80", b"x\0" * 500):
        body = b"".join(field(number, value) for number in STRINGS[name])
        if name in STAMPS:
            body += field(STAMPS[name], field(2, value) + field(3, value)) * 2
        client.ask(frame(f"ccserver.{name}", body), frame(f"ccserver.{name}", body))


def test_empty_strings_and_zeroes_are_not_encoded(client):
    body = b"\x0a\x00\x12\x01s\x12\x00\x20\x00"
    client.ask(frame("ccserver.withdraw", body), frame("ccserver.withdraw"))


def test_unknown_fields_come_back_last(client):
    unknown = field(100, b"new\0field") + field(7, -3)
    client.ask(frame("ccserver.withdraw", unknown + field(3, "card")),
               frame("ccserver.withdraw", field(3, "card") + unknown))


def test_every_cut_of_two_frames(server, client):
    """The barrier: the one worker answers another session only after it has read what was there before."""
    barrier, batch = server.connect("bank"), WITHDRAW + VECTORS["deposit"]
    for cut in range(1, len(batch)):
        client.send(batch[:cut])
        barrier.ask(VECTORS["withdraw-empty"], VECTORS["withdraw-empty"])
        client.ask(batch[cut:], batch)


def test_one_byte_at_a_time(server, client):
    barrier = server.connect("bank")
    for byte in WITHDRAW + VECTORS["outsourcing"] + VECTORS["deposit"]:
        client.send(bytes([byte]))
        barrier.ask(VECTORS["withdraw-empty"], VECTORS["withdraw-empty"])
    client.expect(WITHDRAW + VECTORS["deposit"])


def test_500_frames_in_one_send(server, client):
    batch = WITHDRAW * 500
    assert len(batch) == 54_500
    for _ in range(10):
        got = client.exchange(batch, len(batch))
        assert got == batch, first_difference(got, batch)
    server.await_stats(lambda s: s["listeners"][0]["messages_in"] == 5001)


def test_half_close_gets_its_replies(client):
    client.send(WITHDRAW * 100 + WITHDRAW[:60])
    client.half_close()
    client.expect_end(WITHDRAW * 100)


# ---- max_frame ----

@pytest.mark.parametrize("largest", [65536, 200, 1 << 20])
def test_the_largest_frame_and_one_byte_more(serve, largest):
    server = serve(listen("bank", **({} if largest == 65536 else {"max_frame": largest})))
    client = server.connect("bank")
    for _ in range(3):
        assert client.exchange(padded(largest), largest) == padded(largest)
    client.send(padded(largest + 1)[:5000])
    expect_error(client)
    client.expect_end()
    client.close()
    server.await_closed("bank", "oversize")


DENSE = {"withdraw": b"\x7a\0", "deposit": b"\x38\0", "app_inter": b"\x7a\0", "outs_head": b"\x72\0",
         "error": b"\x20\0", "time_stamp": b"\x20\0"}


@pytest.mark.parametrize("max_frame", [65536, 1 << 20, 4 << 20])
def test_no_frame_is_too_dense(serve, max_frame):
    """Two bytes of a frame can become over a hundred when it is decoded: whatever fits into max_frame is served."""
    server = serve(listen("bank", max_frame=max_frame), workers=1)
    client = server.connect("bank")
    for name, pair in DENSE.items():
        room = max_frame - len(frame(f"ccserver.{name}"))
        sent = frame(f"ccserver.{name}", pair * (room // 2))
        got = client.exchange(sent, len(sent))
        assert got == sent, first_difference(got, sent)
    room = max_frame - len(frame("ccserver.outsourcing"))
    for head in b"\x0a\0", b"\x0a\x02\x72\0":
        client.ask(frame("ccserver.outsourcing", head * (room // len(head))) + WITHDRAW, WITHDRAW)
    assert server.listener("bank")["protocol_errors"] == 0


@pytest.mark.skipif(SANITIZED, reason="a sanitizer needs more memory")
def test_no_frame_is_too_dense_where_max_frame_is_large(serve):
    """Over a GiB for one frame, and given back. That takes longer than this watchdog waits, but it is no hang."""
    max_frame = 12 << 20
    server = serve(listen("bank", max_frame=max_frame), workers=1, watchdog_timeout="1s", adopt_after="900ms")
    client = server.connect("bank")
    room = max_frame - len(frame("ccserver.outsourcing"))
    client.ask(frame("ccserver.outsourcing", b"\x0a\0" * (room // 2)) + WITHDRAW, WITHDRAW)
    assert server.listener("bank")["protocol_errors"] == 0


@pytest.mark.skipif(SANITIZED, reason="a sanitizer needs more address space")
def test_out_of_memory_is_not_the_client_s_fault(serve):
    """It is told so, it goes on, and the log has a line; a smaller message needs no more than there is."""
    limit = 256 << 20
    server = serve(listen("bank", max_frame="8m"), workers=1)
    resource.prlimit(server.worker_pids()[0], resource.RLIMIT_AS, (limit, limit))
    client = server.connect("bank")
    for _ in range(2):
        client.send(frame("ccserver.withdraw", b"\x7a\0" * 4_000_000))
        assert "out of memory" in expect_error(client)[2].decode()
        client.ask(WITHDRAW, WITHDRAW)
    server.wait_log(r" error worker 0\[\d+\]: bank: out of memory for a message of 8000\d\d\d bytes from 127")
    dense = frame("ccserver.withdraw", b"\x7a\0" * 500_000)
    assert client.exchange(dense, len(dense)) == dense
    assert server.listener("bank")["protocol_errors"] == 0


def test_the_reply_to_the_largest_frame_fits_the_output(serve):
    """max_output has to follow where max_frame is raised beyond its default."""
    client = serve(listen("bank", max_frame="18m")).connect("bank")
    batch = frame("ccserver.withdraw", field(3, b"x" * ((18 << 20) - 100))) + WITHDRAW
    for _ in range(2):
        got = client.exchange(batch, len(batch))
        assert got == batch, first_difference(got, batch)


def test_a_long_error_fits_nowhere(serve):
    """An error about a long type name must not be longer than max_frame itself."""
    client = serve(listen("bank", max_frame=100)).connect("bank")
    client.send(frame("n" * 80))
    name, body = recv_frame(client)
    assert name == "ccserver.error" and fields(body)[2]


# ---- a client made with the real protobuf ----

def protoc(mode, data):
    command = ["protoc", f"--{mode}=ccserver.withdraw", f"-I{ROOT}/proto", "bank.proto"]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


@pytest.mark.skipif(not (ROOT / "proto/bank.proto").exists(), reason="no schema")
def test_messages_made_by_protoc(client):
    text = b'bus_msg_id: "ID"\namount: -12345\ncustomer: "m\\303\\274"\nts {\n  stamp: 77\n  label: "a"\n}\n'
    client.send(frame("ccserver.withdraw", protoc("encode", text)))
    name, body = recv_frame(client)
    assert (name, protoc("decode", body)) == ("ccserver.withdraw", text)
