"""A new service is one file and one section: rot13, added to a copy of the tree, built, and spoken to."""
import shutil

import pytest
from harness import listen
from tree import build_with_service

SERVICE = """
#include "worker/session.h"
#include <string.h>

enum { ROT13_MAX = 32768 };

static enum verdict rot13_message(struct session *session, const char *bytes, size_t size)
{
    static char out[ROT13_MAX];

    for (size_t i = 0; i < size; i++) {
        int c = bytes[i], base = c >= 'a' && c <= 'z' ? 'a' : c >= 'A' && c <= 'Z' ? 'A' : 0;
        out[i] = (char)(base ? base + (c - base + 13) % 26 : c);
    }
    session_send(session, out, size);
    session_send(session, "\\n", 1);
    return size == 4 && !memcmp(bytes, "quit", 4) ? SESSION_CLOSE : SESSION_CONTINUE;
}

const struct service rot13_service = {
    .name = "rot13",
    .framing = {.kind = FRAMING_LINE},
    .max_frame = ROT13_MAX,
    .message = rot13_message,
};
"""


@pytest.fixture(scope="module")
def binary(tmp_path_factory):
    tree = tmp_path_factory.mktemp("tree")
    yield build_with_service(tree, "rot13", SERVICE)
    shutil.rmtree(tree)


def test_one_file_is_one_service(binary, monkeypatch, serve):
    monkeypatch.setattr("harness.BINARY", str(binary))
    client = serve(listen("rot13", "secrets"), listen("echo")).connect("secrets")
    client.ask(b"Hello, World\r\nnopq\n", b"Uryyb, Jbeyq\nabcd\n")
    client.ask(b"a\n" + b"n" * 5000 + b"\nb\n" + b"o" * 20_000 + b"\nc\n",
               b"n\n" + b"a" * 5000 + b"\no\n" + b"b" * 20_000 + b"\np\n")
    client.send(b"quit\n")
    client.expect_end(b"dhvg\n")


def test_it_has_what_every_service_has(binary, monkeypatch, serve):
    monkeypatch.setattr("harness.BINARY", str(binary))
    server = serve(listen("rot13", idle_timeout="200ms", max_frame=100))
    client = server.connect("rot13")
    client.ask(b"x\n", b"k\n")
    client.expect_end()
    server.await_closed("rot13", "idle")
    server.connect("rot13").send(b"x" * 101)
    server.await_closed("rot13", "oversize")
    assert server.listener("rot13")["service"] == "rot13"
