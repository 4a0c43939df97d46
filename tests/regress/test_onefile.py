"""A new service is one file and one section: rot13, added to a copy of the tree, built, and spoken to."""
import hashlib
import os
import shutil
import subprocess

import pytest
from harness import ROOT, listen

SERVICE = """
#include "worker/session.h"
#include <string.h>

enum { ROT13_MAX = 32768 };

static enum verdict rot13_message(struct session *session, const char *bytes, size_t size)
{
    static char out[ROT13_MAX];

    for (size_t i = 0; i < size; i++) {
        int c = bytes[i], base = c >= 'a' && c <= 'z' ? 'a' : c >= 'A' && c <= 'Z' ? 'A' : 0;
        out[i] = base ? (char)(base + (c - base + 13) % 26) : bytes[i];
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


def tracked_files():
    """What belongs to the tree: not what was built, not what git ignores."""
    command = ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True)
    if listed.returncode == 0:
        names = [name for name in listed.stdout.decode().split("\0") if name]
    else:
        names = [str(path.relative_to(ROOT)) for path in ROOT.rglob("*") if path.is_file()]
    return [name for name in names if not name.startswith(("build/", ".git/")) and (ROOT / name).is_file()]


def hashes(tree, names):
    return {name: hashlib.sha256((tree / name).read_bytes()).hexdigest() for name in names}


@pytest.fixture(scope="module")
def binary(tmp_path_factory):
    tree, names = tmp_path_factory.mktemp("tree"), tracked_files()
    for name in names:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, tree / name)
    before = hashes(tree, names)
    (tree / "worker/services/rot13.c").write_text(SERVICE)
    env = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}
    made = subprocess.run(["make", "-j2"], cwd=tree, env=env, capture_output=True, text=True, timeout=300)
    assert made.returncode == 0, made.stdout[-3000:] + made.stderr[-3000:]
    assert "warning" not in made.stderr, made.stderr
    assert hashes(tree, names) == before
    added = {str(p.relative_to(tree)) for p in tree.rglob("*") if p.is_file()} - set(names)
    assert {name for name in added if not name.startswith("build/")} == {"worker/services/rot13.c"}
    yield tree / "build/ccserver"
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
