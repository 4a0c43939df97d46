"""From a binary of an older commit to this one, and back: make older OLDER=COMMIT."""
import os
import shutil

import pytest
from harness import BINARY, Load, listen
from test_upgrade import PING, finish_half, half_done, replace

OLDER = os.environ.get("CCSERVER_OLDER")

pytestmark = pytest.mark.skipif(not OLDER, reason="an older binary: make older")


@pytest.mark.parametrize("first, second", [("older", "newer"), ("newer", "older")])
def test_there_and_back(serve, tmp_path, first, second):
    """Nothing is lost but the statistics, where the other binary lays them out in another way: then that is said."""
    sources = {"older": OLDER, "newer": BINARY}
    binary = shutil.copy(sources[first], tmp_path / "ccserver")
    server = serve(listen("bank"), listen("pingpong"), listen("echo"), workers=2, binary=binary, drain_timeout="30s")
    idle = server.connect("echo")
    idle.ask(b"hello\r\n", b"ccserver echo:hello\r\n")
    for name in second, first, second:
        half, since = half_done(server), server.mark()
        with Load(server, "pingpong", *PING) as load:
            replace(tmp_path / "ccserver", source=sources[name])
            server.upgrade()
            load.wait_more(200)
        load.expect_perfect()
        anew = server.wait_log(r"statistics start anew|takes over", since=since)
        assert "anew" in anew.string or server.listener("pingpong")["accepted"] > load.connected
        server.connect("echo").ask(b"hello\r\n", b"ccserver echo:hello\r\n")
        finish_half(half)
        server.wait_replaced_masters()
    idle.expect_end()
