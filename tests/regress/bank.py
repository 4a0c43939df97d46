"""Frames and messages of the bank, independent of the server: protobuf by hand, for its few types."""
import struct
import zlib

from harness import ROOT

LINES = [line.split("\t") for line in (ROOT / "tests/vectors/frames.tsv").read_text().splitlines()]
VECTORS = {line[0]: bytes.fromhex(line[2]) for line in LINES if not line[0].startswith("#")}
WITHDRAW = VECTORS["withdraw"]
FIELDS = ["", "bus_msg_id", "serial_no", "card_no", "amount", "customer", "time"]


def varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value << 1 if value >= 0 else (-value << 1) - 1)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def message(**values):
    """The body of a withdraw or a deposit."""
    return b"".join(field(number, values[name]) for number, name in enumerate(FIELDS) if name in values)


def frame(name, body=b""):
    inner = struct.pack(">I", len(name) + 1) + name.encode() + b"\0" + body
    return struct.pack(">I", len(inner) + 4) + inner + struct.pack("<I", zlib.adler32(inner))


def padded(total):
    """A withdraw frame of exactly `total` bytes, the length field included."""
    size = total
    while len(frame("ccserver.withdraw", message(customer="x" * size))) > total:
        size -= 1
    made = frame("ccserver.withdraw", message(customer="x" * size))
    assert len(made) == total
    return made


def read_varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if not data[at - 1] & 0x80:
            return value, at


def fields(body):
    """{number: value}: zigzag integers and bytes."""
    found, at = {}, 0
    while at < len(body):
        key, at = read_varint(body, at)
        value, at = read_varint(body, at)
        if key & 7 == 2:
            found[key >> 3], at = body[at:at + value], at + value
        else:
            found[key >> 3] = value >> 1 if value & 1 == 0 else -(value + 1 >> 1)
    return found


def recv_frame(client):
    """(type name, body) of the next frame; its form and its checksum are checked."""
    length = client.recv_exactly(4)
    inner = client.recv_exactly(struct.unpack(">I", length)[0])
    inner, (checksum,) = inner[:-4], struct.unpack("<I", inner[-4:])
    assert checksum == zlib.adler32(inner)
    (name_size,) = struct.unpack(">I", inner[:4])
    name, body = inner[4:4 + name_size], inner[4 + name_size:]
    assert name.endswith(b"\0") and b"\0" not in name[:-1]
    return name[:-1].decode(), body


def expect_error(client):
    """The next frame is an error with a code and a sentence; returns its fields."""
    name, body = recv_frame(client)
    assert name == "ccserver.error"
    error = fields(body)
    assert error[1] != 0 and error[2].decode().isprintable()
    return error
