"""tests/services/websocket.c: RFC 6455 with python3-websockets and raw frames."""
import asyncio
import os
import signal
import struct

import pytest
import websockets
from harness import listen, random_bytes

HANDSHAKE = (b"GET /chat HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
ACCEPTED = (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")  # the RFC's example
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
MIB = 1 << 20


@pytest.fixture
def server(example):
    return example(listen("websocket"), workers=1)


def head(opcode, size, fin=True, masked=True):
    bit = 128 if masked else 0
    first = (128 if fin else 0) | opcode
    if size < 126:
        return struct.pack("!BB", first, bit | size)
    return struct.pack("!BBH", first, bit | 126, size) if size < 65536 else struct.pack("!BBQ", first, bit | 127, size)


def frame(opcode, payload=b"", fin=True):
    mask = os.urandom(4)
    return head(opcode, len(payload), fin) + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload))


def echoed(opcode, payload=b""):
    return head(opcode, len(payload), masked=False) + payload


def close(code):
    return echoed(CLOSE, struct.pack("!H", code))


def opened(server):
    client = server.connect("websocket")
    client.ask(HANDSHAKE, ACCEPTED)
    return client


def test_websockets(server):
    async def talk():
        async with websockets.connect(f"ws://127.0.0.1:{server.port('websocket')}/", max_size=None) as socket:
            for message in "", "text", "größer 😀", b"\0\xff", "x" * 125, "x" * 126, "x" * 65535, random_bytes(65536), \
                    random_bytes(MIB):
                await socket.send(message)
                assert await socket.recv() == message
            await socket.send(["in ", "several ", "frames"])
            assert await socket.recv() == "in several frames"
            await asyncio.wait_for(await socket.ping(), 10)
            await socket.close(code=1000)
        assert (socket.close_code, socket.close_rcvd.code) == (1000, 1000)

    asyncio.run(talk())
    server.await_closed("websocket", "done")
    assert server.listener("websocket")["protocol_errors"] == 0


def test_a_drain_says_goodbye(server):
    async def talk():
        sockets = [await websockets.connect(f"ws://127.0.0.1:{server.port('websocket')}/") for _ in range(3)]
        for socket in sockets:
            await socket.send("x")
            await socket.recv()
        server.signal(signal.SIGTERM)
        for socket in sockets:
            with pytest.raises(websockets.ConnectionClosed):
                await asyncio.wait_for(socket.recv(), 10)
            assert socket.close_rcvd.code == 1001

    asyncio.run(talk())
    assert server.wait() == 0


def test_frames_in_any_pieces(server):
    client = opened(server)
    question = frame(TEXT, b"one", fin=False) + frame(PING, b"are you there") + frame(0, b" two", fin=False) + \
        frame(0, b"") + frame(BINARY, b"x" * 300) + frame(PONG, b"unasked")
    answer = echoed(PONG, b"are you there") + echoed(TEXT, b"one two") + echoed(BINARY, b"x" * 300)
    client.ask(question, answer)
    for byte in question:
        client.send(bytes([byte]))
    client.expect(answer)


def test_handshake_and_frames_in_one_piece(server):
    client = server.connect("websocket")
    client.ask(HANDSHAKE + frame(TEXT, b"hi") + frame(CLOSE, struct.pack("!H", 1000)),
               ACCEPTED + echoed(TEXT, b"hi") + close(1000))
    client.expect_end()


WRONG = {
    "not-masked": (echoed(TEXT, b"xxxxxxxx"), 1002),
    "reserved-bit": (frame(TEXT | 0x40, b"x"), 1002),
    "unknown": (frame(3, b"x"), 1002),
    "unknown-control": (frame(11, b"x"), 1002),
    "continues-nothing": (frame(0, b"x"), 1002),
    "begins-within": (frame(TEXT, b"x", fin=False) + frame(TEXT, b"x"), 1002),
    "control-in-pieces": (frame(PING, b"x", fin=False), 1002),
    "control-too-long": (head(PING, 126) + b"mask" + b"x" * 126, 1002),
    "half-a-code": (frame(CLOSE, b"x"), 1002),
    "no-text": (frame(TEXT, b"\xff\xff"), 1007),
    "surrogate": (frame(TEXT, b"\xed\xa0\x80"), 1007),
    "overlong": (frame(TEXT, b"\xc0\x80"), 1007),
    "cut-short": (frame(TEXT, b"\xf0\x9f", fin=False) + frame(0, b"\x98"), 1007),
    "too-large": (head(BINARY, MIB + 1) + b"mask", 1009),
    "far-too-large": (head(BINARY, 1 << 62) + b"mask", 1009),
    "too-large-in-pieces": (frame(BINARY, b"x" * MIB, fin=False) + frame(0, b"x"), 1009),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_refused(server, name):
    bytes_, code = WRONG[name]
    client = opened(server)
    client.send(frame(TEXT, b"before") + bytes_)
    client.expect_end(echoed(TEXT, b"before") + close(code))


def test_no_handshake(server):
    for request in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", HANDSHAKE.replace(b"13", b"12"),
                    HANDSHAKE.replace(b"GET", b"PUT")):
        client = server.connect("websocket")
        client.send(request)
        assert client.recv_to_end().startswith(b"HTTP/1.1 426 ")
    client = server.connect("websocket")
    client.send(b"x" * 20000)
    client.expect_gone()
