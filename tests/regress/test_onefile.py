"""
A new service is one file and one section: rot13, as the documentation has it, added to a copy of the tree, built, and
spoken to. A larger one may have a folder beside its file, and ask for libraries.
"""
import pathlib
import re
import shutil
import subprocess

import pytest
from harness import ROOT, listen
from tree import add_services, build_with, copy_tree, run_make

SERVICE = re.search(r"^```c\n(.*?)^```$", (ROOT / "docs/write-a-service.md").read_text(), re.M | re.S)[1]


@pytest.fixture(scope="module")
def binary(tmp_path_factory):
    tree = tmp_path_factory.mktemp("tree")
    yield build_with(tree, {"rot13.c": SERVICE})
    shutil.rmtree(tree)


def test_one_file_is_one_service(binary, monkeypatch, serve):
    monkeypatch.setattr("harness.BINARY", str(binary))
    client = serve(listen("rot13", "secrets", max_frame=32768), listen("echo")).connect("secrets")
    client.ask(b"Hello, World\r\nnopq\n", b"Uryyb, Jbeyq\r\nabcd\r\n")
    client.ask(b"a\n" + b"n" * 5000 + b"\nb\n" + b"o" * 20_000 + b"\nc\n",
               b"n\r\n" + b"a" * 5000 + b"\r\no\r\n" + b"b" * 20_000 + b"\r\np\r\n")
    client.send(b"quit\n")
    client.expect_end(b"dhvg\r\n")


def test_it_has_what_every_service_has(binary, monkeypatch, serve):
    monkeypatch.setattr("harness.BINARY", str(binary))
    server = serve(listen("rot13", idle_timeout="200ms", max_frame=100))
    client = server.connect("rot13")
    client.ask(b"x\n", b"k\r\n")
    client.expect_end()
    server.await_closed("rot13", "idle")
    server.connect("rot13").send(b"x" * 101)
    server.await_closed("rot13", "oversize")
    assert server.listener("rot13")["service"] == "rot13"


# Its part has the name of another service's file.
LARGER = {"larger.c": """
/* pkg-config: zlib sqlite3 */
#include "worker/services/larger/echo.h"
#include "worker/session.h"
#include <stdio.h>
#include <zlib.h>

static enum verdict larger_message(struct session *session, const char *bytes, size_t size)
{
    char text[100];
    int length = snprintf(text, sizeof(text), "%lx %s\\n", crc32(0, (const Bytef *)bytes, (uInt)size),
                          larger_has_library() ? "with sqlite" : "without");

    session_send(session, text, (size_t)length);
    return SESSION_CONTINUE;
}

const struct service larger_service = {
    .name = "larger",
    .framing = {.kind = FRAMING_LINE},
    .message = larger_message,
};
""", "larger/echo.h": """
#include <stdbool.h>
bool larger_has_library(void);
""", "larger/echo.c": """
#include "worker/services/larger/echo.h"
#include <sqlite3.h>

bool larger_has_library(void)
{
    return sqlite3_libversion_number() == SQLITE_VERSION_NUMBER;
}
"""}


def arrows(tree):
    return subprocess.run(["tests/lint/arrows"], cwd=tree, capture_output=True, text=True)


def test_a_folder_and_libraries(serve, tmp_path):
    binary = build_with(tmp_path, LARGER)
    assert arrows(tmp_path).returncode == 0
    server = serve(listen("larger"), listen("echo"), binary=binary)
    server.connect("larger").ask(b"123456789\n", b"cbf43926 with sqlite\n")
    server.connect("echo").ask(b"x\n", b"ccserver echo:x\r\n")
    (tmp_path / "worker/services/thief.c").write_text('#include "worker/services/larger/echo.h"\n')
    (tmp_path / "worker/services/larger/up.c").write_text('#include "worker/core/session.h"\n')
    (tmp_path / "worker/spy.c").write_text('#include "worker/services/larger/echo.h"\n')
    found = arrows(tmp_path)
    assert found.returncode == 1 and found.stdout.count("must not include") == 3


def without(folder, module):
    """Where pkg-config finds everything but one module."""
    path = subprocess.run(["pkg-config", "--variable", "pc_path", "pkg-config"], capture_output=True, text=True,
                          check=True).stdout.strip()
    for each in (file for part in path.split(":") for file in sorted(pathlib.Path(part).glob("*.pc"))):
        if each.stem != module and not (folder / each.name).exists():
            (folder / each.name).symlink_to(each)
    return str(folder)


def test_a_library_that_is_missing_is_named(tmp_path):
    tree, modules = tmp_path / "tree", tmp_path / "modules"
    tree.mkdir()
    modules.mkdir()
    copy_tree(tree)
    for module, hint in ("sqlite3", "apt-get install libsqlite3-dev"), ("none-such", "apt-file search /none-such.pc"):
        add_services(tree, {"asks.c": f"/* pkg-config: zlib {module} */\n#include <{module}.h>\n"})
        made = run_make(tree, PKG_CONFIG_LIBDIR=without(modules, module))
        assert made.returncode != 0
        assert f"missing: {module}, which worker/services/asks.c asks for; {hint}" in made.stdout
        assert "fatal error" not in made.stderr
