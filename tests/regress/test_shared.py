"""Memory that the workers of a pool share: what becomes of a reload for which there is none."""
import resource
import signal

import pytest
from harness import SANITIZED, connect_to, descriptors, listen, own_address
from tree import build_once

SERVICE = """
#include "worker/session.h"

static enum verdict message(struct session *session, const char *bytes, size_t size)
{
    session_send(session, bytes, size);
    return SESSION_CONTINUE;
}

const struct service large_service = {
    .name = "large", .framing = {.kind = FRAMING_RAW}, .shared_size = 1 << 30, .message = message};
"""


@pytest.fixture(scope="session")
def large_binary(tmp_path_factory):
    return build_once(tmp_path_factory, "large", {"large.c": SERVICE})


@pytest.mark.skipif(SANITIZED, reason="a sanitizer needs more address space")
def test_a_reload_without_memory_leaves_nothing(serve, large_binary):
    """No address of it is listened at, where clients would wait in vain."""
    server = serve(listen("pingpong"), binary=large_binary, workers=1)
    before, address = descriptors(server.pid), own_address()
    resource.prlimit(server.pid, resource.RLIMIT_AS, (1 << 30, 1 << 30))
    server.configure(*server.sections, listen("large", bind=address))
    since = server.mark()
    server.signal(signal.SIGHUP)
    server.wait_log(r"reload refused: no shared memory for \[listen large\]: Cannot allocate memory", since=since)
    with pytest.raises(ConnectionRefusedError):
        connect_to(address)
    assert descriptors(server.pid) == before
    server.connect("pingpong").ask(b"ping", b"ping")
