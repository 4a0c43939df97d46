"""stop_delay: a server that is about to stop is not ready, but serves as before for a while."""
import re
import shutil
import signal
import time

import harness
import pytest
from harness import TICK, connect_to, listen
from test_ctl import REFUSED, await_equal, ctl
from test_pools import owned, owner_binary  # noqa: F401
from test_service_manager import Manager, environment
from test_status import get, watched  # noqa: F401
from test_upgrade import finish_half, half_done, replace

PING = b"ping", b"ping"
LONG = "1h"  # nothing of it is awaited
SOON = r"master\[\d+\]: stopping in 3600000 ms: "


def stop_soon(server, number=signal.SIGTERM):
    server.signal(number)
    server.wait_log(SOON + f"{signal.Signals(number).name}$")


def end(server):
    """The second signal begins the stop itself."""
    since = server.mark()
    server.signal(signal.SIGTERM)
    server.wait_log(r"stopping: SIGTERM; sessions may finish for \d+ ms", since=since)
    for client in server.clients:
        client.close()
    assert server.wait() == 0


def test_not_ready_but_serving(watched):  # noqa: F811
    server = watched(stop_delay=LONG)
    early = server.connect("pingpong")
    early.ask(*PING)
    assert get(server, "/readyz")[0] == 200
    stop_soon(server)
    await_equal(lambda: get(server, "/readyz")[::2], (503, "stopping soon\n"))
    assert get(server, "/livez")[::2] == (200, "ok\n") and "ccserver_ready 0\n" in get(server, "/metrics")[2]
    assert ctl(server, "health", code=REFUSED) == "stopping soon\n"
    assert re.search(r"^ccserver +\S+, stopping soon, up ", ctl(server, "status"), re.M)
    early.ask(*PING)
    server.connect("pingpong").ask(*PING)
    pid = server.worker_pids()[0]
    server.signal(signal.SIGKILL, pid)
    server.wait_replaced(0, pid)
    server.connect("pingpong").ask(*PING)
    end(server)


def test_it_stops_when_the_time_has_come(serve):
    server = serve(listen("pingpong"), stop_delay="400ms", drain_timeout="7s")
    client = server.connect("pingpong")
    client.ask(*PING)
    begun = time.monotonic()
    assert ctl(server, "stop") == "done: it has ended\n"
    assert time.monotonic() - begun >= 0.4 - TICK
    client.expect_end()
    server.wait_log(r"stopping in 400 ms: SIGTERM$")
    server.wait_log(r"stopping: SIGTERM; sessions may finish for 7000 ms$")
    assert server.wait() == 0
    with pytest.raises(ConnectionRefusedError):
        connect_to(server.addresses["pingpong"][0])


@pytest.mark.parametrize("signals", [
    {signal.SIGTERM: "stopping in 3600000 ms: SIGTERM$", signal.SIGINT: "stopping: SIGINT; ", signal.SIGQUIT: "at once: SIGQUIT$"},
    {signal.SIGINT: "stopping in 3600000 ms: SIGINT$", signal.SIGTERM: "stopping: SIGTERM; "},
    {signal.SIGTERM: "stopping in 3600000 ms: SIGTERM$", signal.SIGQUIT: "at once: SIGQUIT$"},
], ids=["TERM, INT, QUIT", "INT, TERM, TERM", "TERM, QUIT"])
def test_the_last_signal_ends_it_at_once(serve, signals):
    server = serve(listen("bank"), stop_delay=LONG)
    client = half_done(server)
    for number, line in signals.items():
        since = server.mark()
        server.signal(number)
        server.wait_log(line, since=since)
    if signal.SIGQUIT not in signals:
        server.signal(signal.SIGTERM)
        server.wait_log("stopping at once: SIGTERM$")
    client.expect_gone()
    assert server.wait() == 0


def test_changes_are_refused(serve):
    server = serve(listen("pingpong"), stop_delay=LONG, workers=2)
    stop_soon(server)
    server.configure(workers=3)
    assert ctl(server, "reload", code=REFUSED) == "ccserverctl: the server stops\n"
    server.wait_log("log reopened")
    server.wait_log("reload refused: the server stops")
    for number, refusal in ((signal.SIGTTIN, "resize refused: .* or a stop is under way"),
                            (signal.SIGTTOU, "resize refused: .* or a stop is under way"),
                            (signal.SIGUSR2, "upgrade refused: .* or a stop is under way")):
        since = server.mark()
        server.signal(number)
        server.wait_log(refusal, since=since)
    assert len(server.worker_pids()) == 2
    end(server)


def test_a_reload_under_way_is_given_up(owned):  # noqa: F811
    server = owned(listen("pingpong"), listen("owner", "hurt"), workers=1, stop_delay=LONG, drain_timeout="1s")
    server.order.write_text("hurt slow 10000")
    server.configure(workers=2)
    server.signal(signal.SIGHUP)
    server.wait_log("reload: generation 2 starts")
    stop_soon(server)
    server.wait_log("reload refused: the server stops")
    server.connect("pingpong").ask(*PING)
    end(server)


def test_an_upgrade_under_way_is_given_up(serve, tmp_path):
    binary = tmp_path / "ccserver"
    shutil.copy(harness.BINARY, binary)
    server = serve(listen("pingpong"), binary=binary, stop_delay=LONG)
    replace(binary, text="#!/bin/sh\nexec sleep 1000\n")
    server.signal(signal.SIGUSR2)
    server.wait_log("upgrade: starting")
    stop_soon(server)
    server.wait_log("upgrade failed: this master stops")
    server.connect("pingpong").ask(*PING)
    end(server)


def test_after_an_upgrade(serve, tmp_path):
    """The process that was started passes the signal on; the master that still drains is not waited for."""
    binary = tmp_path / "ccserver"
    shutil.copy(harness.BINARY, binary)
    server = serve(listen("bank"), listen("pingpong"), binary=binary, stop_delay=LONG)
    client, first = half_done(server), server.pid
    server.upgrade()
    server.signal(signal.SIGTERM, first)
    server.wait_log(rf"master\[{server.pid}\]: stopping in 3600000 ms: SIGTERM$")
    server.connect("pingpong").ask(*PING)
    finish_half(client)
    since = server.mark()
    server.signal(signal.SIGTERM, first)
    server.wait_log(rf"master\[{server.pid}\]: stopping: SIGTERM;", since=since)
    assert server.wait() == 0


def test_a_client_stops_it(serve):
    """What a client asks for is a stop like any other; but no client takes the time away that others need."""
    server = serve(listen("echo", shutdown_command="loopback"), stop_delay=LONG)
    for count in range(2):
        since = server.mark()
        client = server.connect("echo")
        client.ask(b"SHUTDOWN\r\n", b"ccserver echo:SHUTDOWN\r\n")
        client.expect_end()
        server.wait_log(r"worker \d+\[.*SHUTDOWN from", since=since)
        if count == 0:
            server.wait_log(SOON + "a client asked for it$", since=since)
    server.stats()  # the master has heard of the second one by now
    server.connect("echo").ask(b"x\r\n", b"ccserver echo:x\r\n")
    end(server)
    assert len([line for line in server.lines if "a client asked for it" in line]) == 1


def test_who_is_not_ready_does_not_wait(owned):  # noqa: F811
    """Nobody has been sent there yet."""
    server = owned(listen("owner", "hurt"), order="hurt slow 10000", workers=1, stop_delay=LONG, ready=False)
    server.wait_log("worker 0.* started|listening on")
    server.signal(signal.SIGTERM)
    server.wait_log(r"stopping: SIGTERM; sessions may finish for \d+ ms$")
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert not any("stopping in" in line for line in server.lines)


def test_the_service_manager_is_told(serve):
    manager = Manager()
    try:
        server = serve(listen("pingpong"), stop_delay=LONG, env=environment(manager))
        manager.wait_for("READY")
        stop_soon(server)
        assert manager.wait_for("STOPPING", "1")[1]["STATUS"] == "stopping in 3600000 ms: SIGTERM"
        since = len(manager.heard)
        server.signal(signal.SIGHUP)
        server.wait_log("reload refused: the server stops")
        server.signal(signal.SIGTERM)
        assert manager.wait_for("STATUS", "stopping: SIGTERM")[1]["STOPPING"] == "1"
        assert server.wait() == 0
        manager.drain()
        assert not any("READY" in message or "RELOADING" in message for _, message in manager.heard[since:])
    finally:
        manager.close()
