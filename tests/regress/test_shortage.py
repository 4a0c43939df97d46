"""Memory, descriptors and kernel resources that are short for a moment: what was asked for is refused, what was under way is
tried again, and the master lives."""
import errno
import re
import signal

import pytest
from harness import SANITIZED, connect_to, descriptors, group_members, listen, own_address
from shortage import STEAL, Shortage

pytestmark = pytest.mark.skipif(SANITIZED, reason="the sanitizer has a memory allocator of its own")

PING = b"ping", b"ping"
SHORTAGES = [errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM, errno.EINTR]
BY_NAME = pytest.mark.parametrize("error", SHORTAGES, ids=errno.errorcode.get)


@pytest.fixture
def shortage(tmp_path):
    return Shortage(tmp_path)


def expect_served(server):
    for _ in range(6):
        with server.connect("pingpong") as client:
            client.ask(*PING)


def has_open(pid, path):
    try:
        return str(path) in descriptors(pid)
    except FileNotFoundError:  # it is gone
        return False


# ---- words: a worker's ----

@BY_NAME
def test_ready_is_said_again(serve, shortage, error):
    server = serve(listen("pingpong"), workers=2, env=shortage.env)
    pid = server.worker_pids()[0]
    shortage.fail("sendmsg", error, 5, pid=-server.pid)
    server.signal(signal.SIGKILL, pid)
    server.wait_replaced(0, pid)
    assert shortage.left("sendmsg") == 0
    expect_served(server)


@BY_NAME
def test_leaving_is_said_again(serve, shortage, error):
    """A worker that was terminated by hand is replaced at once, not when its last client has gone."""
    server = serve(listen("pingpong"), listen("bank"), workers=1, env=shortage.env)
    pid, client = server.worker_pids()[0], server.connect("bank")
    client.send(b"\0\0")  # something to finish
    server.await_stats(lambda stats: server.pick(stats, "bank")["bytes_in"] == 2)
    shortage.fail("sendmsg", error, 5, pid=pid)
    since = server.mark()
    server.signal(signal.SIGTERM, pid)
    server.wait_log(rf"worker 0 \(pid {pid}\) drains at a signal, or by itself", since=since)
    server.wait_log(r"worker 0 \(pid \d+\) ready", since=since)
    assert shortage.left("sendmsg") == 0
    assert not any(f"(pid {pid}) exited" in line for line in server.lines)
    expect_served(server)


@BY_NAME
def test_shutdown_is_said_again(serve, shortage, error):
    server = serve(listen("echo", shutdown_command="loopback"), workers=2, env=shortage.env)
    shortage.fail("sendmsg", error, 5)
    server.connect("echo").send(b"SHUTDOWN\r\n")
    assert server.wait() == 0
    assert shortage.left("sendmsg") == 0


# ---- words: the master's ----

@BY_NAME
def test_what_a_reload_has_to_say_is_said_again(serve, shortage, error):
    """That an address is dropped, and then that the old workers are to drain."""
    dropped = own_address()
    server = serve(listen("pingpong"), listen("echo", bind=dropped), workers=2, env=shortage.env)
    old = server.worker_pids()
    shortage.fail("sendmsg", error, 5, pid=server.pid)
    server.reload(listen("pingpong"))
    server.wait_log("generation 1 is gone")
    assert shortage.left("sendmsg") == 0 and not set(old.values()) & set(server.worker_pids().values())
    with pytest.raises(ConnectionRefusedError):
        connect_to(dropped)
    expect_served(server)


@BY_NAME
def test_a_stop_is_said_again(serve, shortage, error):
    server = serve(listen("pingpong"), workers=2, drain_timeout="1h", env=shortage.env)
    shortage.fail("sendmsg", error, 5, pid=server.pid)
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert shortage.left("sendmsg") == 0


@BY_NAME
def test_a_rotation_is_said_again(serve, shortage, tmp_path, error):
    """The workers write to the new file, too."""
    log = tmp_path / "log"
    server = serve(listen("pingpong"), workers=2, log=log, ready=False, env=shortage.env)
    while not log.exists() or "ready: 2 workers" not in log.read_text():
        assert server.process.poll() is None
    pids = dict(re.findall(r"worker (\d) \(pid (\d+)\) ready", log.read_text()))
    log.rename(tmp_path / "old")
    shortage.fail("sendmsg", error, 5, pid=server.pid)
    server.signal(signal.SIGHUP)
    shortage.await_spent("sendmsg")
    for pid in map(int, pids.values()):
        while has_open(pid, tmp_path / "old"):
            assert server.process.poll() is None
    server.signal(signal.SIGTERM)
    assert server.wait() == 0


def test_a_refused_receive_is_tried_again(serve, shortage):
    """On both sides."""
    server = serve(listen("pingpong"), workers=2, env=shortage.env)
    for error in (errno.ENOBUFS, errno.ENOMEM, errno.EINTR):
        pid = server.worker_pids()[0]
        shortage.fail("recvmsg", error, 5)
        server.signal(signal.SIGKILL, pid)
        server.wait_replaced(0, pid)
        shortage.await_spent("recvmsg")
    expect_served(server)


# ---- sessions ----

@BY_NAME
@pytest.mark.parametrize("call", ["recv", "send"])
def test_a_session_survives_a_shortage(serve, shortage, call, error):
    """A few calls of the worker are refused: nothing is lost, and nobody's session ends."""
    server = serve(listen("pingpong"), workers=1, env=shortage.env)
    client, pid = server.connect("pingpong"), server.worker_pids()[0]
    client.ask(*PING)
    for _ in range(3):
        shortage.fail(call, error, 4, pid=pid)
        client.ask(*PING)
        shortage.await_spent(call)
    client.ask(*PING)


# ---- waiting ----

@pytest.mark.parametrize("error", [errno.EINTR, errno.ECHILD, errno.ENOMEM, STEAL])
def test_a_wait_that_goes_astray(serve, shortage, error):
    """The dead worker is noticed all the same, also when its status is somebody else's."""
    server = serve(listen("pingpong"), workers=2, env=shortage.env)
    for _ in range(3):
        pid, since = server.worker_pids()[0], server.mark()
        shortage.fail("waitpid", error, pid=server.pid)
        server.signal(signal.SIGKILL, pid)
        known = "is gone after .* nobody knows how" if error == STEAL else "killed by SIGKILL|is gone"
        server.wait_log(rf"worker 0 \(pid {pid}\) ({known})", since=since)
        server.wait_log(r"worker 0 \(pid \d+\) ready", since=since)
    expect_served(server)


def test_a_wait_that_goes_astray_in_a_reload(serve, trap_binary, shortage, tmp_path):
    """The new generation ends with the death of its worker, however that was found."""
    server = serve(listen("pingpong"), workers=2, binary=trap_binary,
                   env={**shortage.env, "CCSERVER_TRAP": str(tmp_path / "trap")})
    pids = server.worker_pids()
    for _ in range(5):
        since = server.mark()
        (tmp_path / "trap").write_text("once sleep 1")
        shortage.fail("waitpid", errno.ECHILD, pid=server.pid)
        server.configure(linger_timeout="900ms")
        server.signal(signal.SIGHUP)
        server.wait_log("reload: generation . starts", since=since)
        server.await_members(5, also_unknown=True)
        (victim,) = [pid for pid in group_members(server.group) if pid != server.pid and not any(
            f"(pid {pid}) ready" in line for line in server.lines)][:1]
        server.signal(signal.SIGKILL, victim)
        server.wait_log("reload refused: a worker of it died before all were ready", since=since)
        assert shortage.left("waitpid") == 0 and server.worker_pids() == pids
        server.await_members(3)
        (tmp_path / "trap.taken").unlink()
    expect_served(server)


@pytest.mark.parametrize("error", [errno.ENOMEM, errno.EINTR, errno.EINVAL], ids=errno.errorcode.get)
def test_a_poll_that_fails(serve, shortage, error):
    """For two seconds and more; meanwhile a worker is replaced."""
    server = serve(listen("pingpong"), workers=2, env=shortage.env)
    pid = server.worker_pids()[0]
    shortage.fail("poll", error, 50, pid=server.pid)
    server.signal(signal.SIGKILL, pid)
    server.wait_replaced(0, pid)
    shortage.await_spent("poll")
    expect_served(server)


# ---- memory ----

ORDERS = {
    "reload": (signal.SIGHUP, r"reload refused: .*|reload: generation \d+ serves"),
    "one worker more": (signal.SIGTTIN, r"resize refused: .*|resize: \d+ workers"),
    "one worker fewer": (signal.SIGTTOU, r"resize refused: .*|resize: \d+ workers"),
    "statistics": (signal.SIGUSR1, "cannot write statistics.*|statistics written"),
    "upgrade": (signal.SIGUSR2, "upgrade failed: .*|upgrade: pid (\\d+) is in charge"),
}


@pytest.mark.parametrize("order", ORDERS)
def test_an_order_without_memory_is_refused(serve, shortage, order):
    """
    Each allocation fails in turn, one, then all that follow it: it is done or refused, and the next one is obeyed. An
    upgrade ends with the first that gets through.
    """
    number, answer = ORDERS[order]
    server = serve(listen("pingpong"), listen("proxy", upstream="127.0.0.1:1"), listen("echo"), workers=2,
                   env=shortage.env)
    refused, nth = 0, 0
    for calls in (1, 1000):
        for nth in range(200):
            server.configure(linger_timeout=f"{900 + nth % 7}ms")
            server.touch()
            since = server.mark()
            shortage.fail("malloc", errno.ENOMEM, calls, skip=nth, pid=server.pid)
            server.signal(number)
            said = server.wait_log(answer, since=since)
            spent = shortage.left("malloc") < calls
            shortage.fail("malloc", 0, 0)
            refused += bool(re.search("refused|failed|cannot", said[0]))
            if "in charge" in said[0]:
                server.replaced.append(server.pid)
                server.pid = int(said[1])
            if order.startswith("one worker") and "workers" in said[0]:
                back = signal.SIGTTOU if number == signal.SIGTTIN else signal.SIGTTIN
                since = server.mark()
                server.signal(back)
                server.wait_log(r"resize: 2 workers", since=since)
            if order == "reload" and "serves" in said[0]:
                server.wait_log(r"generation \d+ is gone", since=since)
            if not spent or "in charge" in said[0]:
                break
        expect_served(server)
        if server.replaced:
            break
    assert refused or order in ("one worker fewer", "upgrade"), "nothing has failed"


@pytest.mark.parametrize("number, call, text", [(signal.SIGKILL, "memfd_create", "killed by SIGKILL"),
                                                (signal.SIGTERM, "malloc", "drains at a signal, or by itself"),
                                                (signal.SIGTERM, "memfd_create", "drains at a signal, or by itself")])
def test_a_replacement_without_memory(serve, shortage, number, call, text):
    """Of a worker that has died, and of one that somebody has told to leave: as soon as there is some."""
    server = serve(listen("pingpong"), listen("bank"), workers=1, env=shortage.env)
    pid, client = server.worker_pids()[0], server.connect("bank")
    client.send(b"\0\0")  # something to finish
    server.await_stats(lambda stats: server.pick(stats, "bank")["bytes_in"] == 2)
    since = server.mark()
    shortage.fail(call, errno.ENOMEM, 4, pid=server.pid)
    server.signal(number, pid)
    server.wait_log(rf"worker 0 \(pid {pid}\) {text}", since=since)
    server.wait_log(r"worker 0 \(pid \d+\) ready", since=since)
    assert shortage.left(call) == 0 and not any(f"(pid {pid}) exited" in line for line in server.lines)
    expect_served(server)


# ---- processes ----

@pytest.mark.parametrize("call, error", [("fork", errno.EAGAIN), ("fork", errno.ENOMEM), ("memfd_create", errno.EMFILE)])
def test_an_order_without_a_process_is_refused(serve, shortage, call, error):
    server = serve(listen("pingpong"), workers=2, env=shortage.env)
    pids, since = server.worker_pids(), server.mark()
    shortage.fail(call, error, 1000, pid=server.pid)
    server.signal(signal.SIGTTIN)
    server.wait_log("resize refused: the worker cannot be started", since=since)
    server.configure(linger_timeout="900ms")
    server.signal(signal.SIGHUP)
    server.wait_log("reload refused: a worker of it could not be started", since=since)
    assert server.worker_pids() == pids
    expect_served(server)
    shortage.fail(call, 0, 0)
    server.signal(signal.SIGTTIN)
    server.wait_log("resize: 3 workers", since=since)
    server.wait_log(r"worker 2 \(pid \d+\) ready", since=since)
    server.reload(linger_timeout="800ms")
    expect_served(server)


def test_a_worker_that_cannot_be_forked_is_tried_again(serve, shortage):
    server = serve(listen("pingpong"), workers=2, env=shortage.env)
    pid, since = server.worker_pids()[0], server.mark()
    shortage.fail("fork", errno.EAGAIN, 4, pid=server.pid)
    server.signal(signal.SIGKILL, pid)
    for delay in (10, 20, 40):
        server.wait_log(f"worker 0 will be started again in {delay} ms", since=since)
    server.wait_replaced(0, pid)
    expect_served(server)
