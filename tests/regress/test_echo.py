"""The line echo: `ccserver echo:` before each line, and who may shut the server down."""
import select
import socket
import subprocess
import time

import pytest
from harness import DEADLINE, TICK, connect_to, listen, own_address, random_bytes

TOO_LONG = b"ccserver error: line too long\r\n"
SHUTDOWN = (b"SHUTDOWN\r\n", b"ccserver echo:SHUTDOWN\r\n")


@pytest.fixture
def server(serve):
    return serve(listen("echo", max_frame=64, shutdown_command="loopback"))


@pytest.fixture
def client(server):
    return server.connect("echo")


@pytest.mark.parametrize("line, reply", [
    (b"hello\r\n", b"hello"),
    (b"hello\n", b"hello"),
    (b"\r\n", b""),
    (b"\n", b""),
    (b" two  words\t\r\n", b" two  words\t"),
    (b"a\rb\r\n", b"a\rb"),
    (b"\0\xff\0\r\n", b"\0\xff\0"),
    ("Grüße\r\n".encode(), "Grüße".encode()),
    (b"shutdown\r\n", b"shutdown"),
    (b"SHUTDOWN \r\n", b"SHUTDOWN "),
], ids=repr)
def test_a_line(client, line, reply):
    for _ in range(2):
        client.ask(line, b"ccserver echo:" + reply + b"\r\n")


def test_an_unfinished_line_is_not_answered(client):
    client.send(b"hel")
    client.expect_silence()
    client.send(b"lo\r")
    client.expect_silence()
    client.ask(b"\n", b"ccserver echo:hello\r\n")


def test_a_line_in_single_bytes(client):
    for byte in b"one\r\ntwo\n":
        client.send(bytes([byte]))
    client.expect(b"ccserver echo:one\r\nccserver echo:two\r\n")


def test_many_lines_at_once(client):
    lines = [b"line %d" % number for number in range(5000)]
    got = client.exchange(b"".join(line + b"\r\n" for line in lines), sum(len(line) + 16 for line in lines))
    assert got == b"".join(b"ccserver echo:" + line + b"\r\n" for line in lines)


def test_crlf_and_lf_mixed_and_a_rest(client):
    client.send(b"a\nb\r\n\n\r\nrest")
    client.expect(b"".join(b"ccserver echo:%s\r\n" % line for line in (b"a", b"b", b"", b"")))
    client.ask(b"\n", b"ccserver echo:rest\r\n")


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_the_longest_line(client, end):
    client.ask(b"x" * 64 + end, b"ccserver echo:" + b"x" * 64 + b"\r\n")


@pytest.mark.parametrize("data", [b"x" * 65 + b"\n", b"x" * 65 + b"\r\n", b"x" * 68, b"\0" * 300_000],
                         ids=lambda data: f"{len(data)}-bytes")
def test_a_line_too_long(server, client, data):
    client.send(data)
    client.expect_end(TOO_LONG)
    client.close()
    server.await_closed("echo", "oversize")


def test_a_line_too_long_in_pieces_after_good_ones(client):
    client.ask(b"good\n", b"ccserver echo:good\r\n")
    for _ in range(5):
        client.send(b"x" * 14)
    client.expect_end(TOO_LONG)


def test_nothing_after_a_line_too_long_is_answered(client):
    client.send(b"a\n" + b"x" * 100 + b"\nb\n")
    client.expect_end(b"ccserver echo:a\r\n" + TOO_LONG)


def test_garbage_in_quantity(server, client):
    try:
        client.send(random_bytes(400_000))
    except ConnectionError:
        pass
    client.expect_gone()
    server.connect("echo").ask(b"x\n", b"ccserver echo:x\r\n")


def test_half_close_gets_its_replies(client):
    client.send(b"one\r\ntwo\r\nunfinished")
    client.half_close()
    client.expect_end(b"ccserver echo:one\r\nccserver echo:two\r\n")


# ---- SHUTDOWN ----

@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_shutdown_as_the_first_line(server, end):
    bystander = server.connect("echo")
    bystander.ask(b"x\n", b"ccserver echo:x\r\n")
    client = server.connect("echo")
    client.ask(b"SHUTDOWN" + end, SHUTDOWN[1])
    client.expect_end()
    client.close()
    bystander.expect_end()
    bystander.close()
    assert server.wait() == 0


def test_shutdown_in_pieces(server, client):
    for piece in (b"SHUT", b"DOWN", b"\r", b"\n"):
        client.send(piece)
    client.expect_end(SHUTDOWN[1])
    client.close()
    assert server.wait() == 0


LATE = b"ccserver error: SHUTDOWN is taken as the first line only\r\n"
OFF = b"ccserver error: SHUTDOWN is off here (shutdown_command)\r\n"


def test_shutdown_later_is_echoed_and_refused(server, client):
    client.ask(b"first\r\n", b"ccserver echo:first\r\n")
    client.ask(SHUTDOWN[0] * 2 + b"x\n", (SHUTDOWN[1] + LATE) * 2 + b"ccserver echo:x\r\n")
    server.connect("echo").ask(b"x\n", b"ccserver echo:x\r\n")


def test_refused_shutdowns_do_not_flood_the_log(server, client):
    client.ask(b"first\r\n", b"ccserver echo:first\r\n")
    client.ask(1000 * SHUTDOWN[0], 1000 * (SHUTDOWN[1] + LATE))
    server.stats()  # its line comes after all of those
    assert 1 <= len([line for line in server.lines if "is refused" in line]) <= 3


def test_shutdown_in_the_body_of_a_post(server, client):
    post = b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\nSHUTDOWN\r\n"
    client.ask(post, b"".join(b"ccserver echo:%s\r\n" % line for line in post.split(b"\r\n")[:-1]) + LATE)
    server.connect("echo").ask(b"x\n", b"ccserver echo:x\r\n")


@pytest.mark.parametrize("keys", [{}, {"shutdown_command": "off"}], ids=["default", "off"])
def test_shutdown_switched_off(serve, keys):
    server = serve(listen("echo", **keys))
    client = server.connect("echo")
    client.ask(SHUTDOWN[0], SHUTDOWN[1] + OFF)
    client.ask(b"x\n" + SHUTDOWN[0], b"ccserver echo:x\r\n" + SHUTDOWN[1] + OFF)
    server.connect("echo").ask(b"x\n", b"ccserver echo:x\r\n")


def test_shutdown_through_a_proxy(serve):
    """Whoever comes through a proxy of this machine is local: so it is off unless somebody has written otherwise."""
    echo = own_address()
    server = serve(listen("echo", bind=echo), listen("proxy", upstream=echo))
    client = server.connect("proxy")
    client.ask(SHUTDOWN[0] + b"x\n", SHUTDOWN[1] + OFF + b"ccserver echo:x\r\n")


@pytest.mark.parametrize("command", ["loopback", "off"])
def test_shutdown_from_another_address(serve, command):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("no address but the loopback's")
        own = probe.getsockname()[0]
    if own.startswith("127."):
        pytest.skip("no address but the loopback's")
    server = serve(listen("echo", bind="0.0.0.0:0", shutdown_command=command))
    with connect_to(f"{own}:{server.port('echo')}") as client:
        client.ask(SHUTDOWN[0] * 2 + b"x\n", SHUTDOWN[1] * 2 + b"ccserver echo:x\r\n")


# ---- idle_timeout ----

def test_idle_sessions_are_closed_and_not_early(serve):
    server = serve(listen("echo", idle_timeout="300ms"))
    client = server.connect("echo")
    start = time.monotonic()
    client.ask(b"x\n", b"ccserver echo:x\r\n")
    client.expect_end()
    assert 0.3 - TICK <= time.monotonic() - start < 3
    server.await_closed("echo", "idle")


def test_a_silent_session_is_idle_too(serve):
    server = serve(listen("echo", idle_timeout="200ms"))
    start = time.monotonic()
    server.connect("echo").expect_end()
    assert 0.2 - TICK <= time.monotonic() - start < 3


def test_activity_renews_the_idle_timeout(serve):
    server = serve(listen("echo", idle_timeout="400ms"))
    client, unfinished = server.connect("echo"), server.connect("echo")
    for _ in range(8):
        client.ask(b"x\n", b"ccserver echo:x\r\n")
        unfinished.send(b"x")
        client.expect_silence(0.12)
    start = time.monotonic()
    unfinished.ask(b"\n", b"ccserver echo:xxxxxxxx\r\n")
    unfinished.expect_end()
    assert 0.4 - TICK <= time.monotonic() - start < 3
    client.expect_end()


# ---- real clients ----

def test_netcat(server):
    command = ["nc", "-N", "127.0.0.1", str(server.port("echo"))]
    done = subprocess.run(command, input=b"hello\nworld\n", capture_output=True, timeout=DEADLINE)
    assert done.stdout == b"ccserver echo:hello\r\nccserver echo:world\r\n"


def test_telnet(server):
    command, pipe = ["telnet", "127.0.0.1", str(server.port("echo"))], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT) as telnet:
        telnet.stdin.write(b"hello\r\n")
        telnet.stdin.flush()
        seen = b""
        while b"ccserver echo:hello" not in seen:
            assert select.select([telnet.stdout], [], [], DEADLINE)[0], seen
            part = telnet.stdout.read1()
            assert part, seen
            seen += part
        telnet.kill()
