"""
What the kernel says and does on a socket: it refuses to accept or to watch, it has acknowledged what nobody has read yet,
and its peer vanishes without a word.
"""
import errno
import fcntl
import os
import pathlib
import select
import signal
import struct
import subprocess
import time

import pytest
from harness import DEADLINE, SANITIZED, cpu_seconds, listen, process_stat

PING = b"ping", b"ping"
KEEPALIVE_TIMER = "02"  # in the column `tr` of /proc/net/tcp


# ---- keepalive ----

def timers(port, remote=False):
    """The kernel's timers of all established connections whose local (or remote) port this is."""
    found = []
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        field = line.split()
        if field[3] == "01" and int(field[2 if remote else 1].split(":")[1], 16) == port:
            found.append(field[5].split(":")[0])
    return found


def test_the_kernel_probes_clients_and_upstreams(serve, upstream):
    target = upstream()
    server = serve(listen("pingpong"), listen("proxy", upstream=target.address), workers=1)
    server.connect("pingpong").ask(*PING)
    client = server.connect("proxy")
    far = target.accept()
    server.clients.append(far)
    client.send(b"a")
    far.expect(b"a")
    end = time.monotonic() + DEADLINE  # the timer of what is being acknowledged comes first
    while timers(server.port("pingpong")) != [KEEPALIVE_TIMER] or \
            timers(int(target.address.split(":")[1]), remote=True) != [KEEPALIVE_TIMER]:
        assert time.monotonic() < end, timers(server.port("pingpong"))
        time.sleep(0.02)


def test_keepalive_is_turned_off_and_on_by_a_reload(serve):
    """The accept queues, which hand it down, are the same."""
    server = serve(listen("pingpong", keepalive="off"), workers=1)
    for setting, wanted in ("off", "00"), ("7s", KEEPALIVE_TIMER), ("off", "00"):
        server.reload(listen("pingpong", keepalive=setting))
        with server.connect("pingpong") as client:
            client.ask(*PING)
            end = time.monotonic() + DEADLINE
            while timers(server.port("pingpong")) != [wanted]:
                assert time.monotonic() < end, (setting, timers(server.port("pingpong")))
                time.sleep(0.02)
        server.await_open("pingpong", 0)


# ---- what has been acknowledged ----

def unacknowledged(client):
    return struct.unpack("i", fcntl.ioctl(client.socket, 0x5411, b"\0" * 4))[0]  # SIOCOUTQ


@pytest.mark.parametrize("how", ["end", "end, then the client speaks", "reset"])
def test_what_an_upstream_was_told_has_arrived_does(serve, upstream, how):
    """The client does not read, so the upstream's side is paused, when the upstream goes."""
    target = upstream()
    server = serve(listen("proxy", upstream=target.address), workers=1)
    client = server.connect("proxy", small_buffers=True)
    far = target.accept()
    sent, left = far.send_until_stuck(b"R" * (64 << 20)), -1
    while left != (left := unacknowledged(far)):
        time.sleep(0.1)
    assert left > 0, "it is not stuck"
    if how == "reset":
        far.abort()
    else:
        far.close()
    if how == "end, then the client speaks":
        client.send(b"which the upstream's kernel answers with a reset")
    before = server.turns()
    time.sleep(0.3)  # in which nothing is to be done
    assert server.turns() - before < 60, "it spins"
    assert len(client.recv_to_end()) >= (sent if how == "end" else sent - left)
    client.close()
    server.await_open("proxy", 0)


def test_what_a_client_was_told_has_arrived_does(serve, upstream):
    """A client resets a relay while the upstream does not read."""
    target = upstream(small_buffers=True)
    server = serve(listen("proxy", upstream=target.address), workers=1)
    client = server.connect("proxy")
    far = target.accept()
    sent, left = client.send_until_stuck(b"R" * (64 << 20)), -1
    while left != (left := unacknowledged(client)):
        time.sleep(0.1)
    assert left > 0, "it is not stuck"
    client.abort()
    assert len(far.recv_to_end()) >= sent - left
    far.close()
    server.await_closed("proxy", "reset")


# ---- whatever the kernel refuses ----

SHIM = """
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The error that the file says, while it is there; only in a worker, which has no file of this kind open itself. */
static int refused(const char *call)
{
    char text[16] = "";
    char path[512] = "";
    int fd, saved = errno;
    ssize_t size;

    for (unsigned i = 0; getenv("REFUSE")[i]; i++)
        path[i] = getenv("REFUSE")[i];
    for (unsigned i = 0, n = 0; path[i] || call[n]; i++)
        if (!path[i])
            path[i] = call[n++];
    fd = (int)syscall(SYS_open, path, 0);
    if (fd < 0) {
        errno = saved;
        return 0;
    }
    size = read(fd, text, sizeof(text) - 1);
    close(fd);
    errno = size > 0 ? atoi(text) : saved;
    return size > 0;
}

int epoll_ctl(int epoll_fd, int operation, int fd, struct epoll_event *event)
{
    if (operation == EPOLL_CTL_ADD && refused("epoll_ctl"))
        return -1;
    return (int)syscall(SYS_epoll_ctl, epoll_fd, operation, fd, event);
}

int accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
    return refused("accept4") ? -1 : (int)syscall(SYS_accept4, fd, address, size, flags);
}
"""


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    if SANITIZED:
        pytest.skip("the sanitizer's library has to be the first one")
    folder = tmp_path_factory.mktemp("shim")
    (folder / "shim.c").write_text(SHIM)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", folder / "shim.so", folder / "shim.c"], check=True)
    return folder / "shim.so"


@pytest.mark.parametrize("call, errors", [("accept4", "EPERM EACCES ENOSPC ENOMEM EIO EINVAL"),
                                          ("epoll_ctl", "ENOSPC ENOMEM EPERM")])
def test_who_waits_is_served_when_the_kernel_refuses_no_more(serve, shim, tmp_path, call, errors):
    """Accepting pauses, with one line a second at most, nothing spins, and nobody is reset."""
    server = serve(listen("pingpong"), workers=1, env={"LD_PRELOAD": str(shim), "REFUSE": f"{tmp_path}/"})
    (pid,) = server.worker_pids().values()
    for name in errors.split():
        since, cpu, pauses = server.mark(), cpu_seconds(pid), server.stats()["workers"][0]["accept_pauses"]
        new = tmp_path / "new"
        new.write_text(str(getattr(errno, name)))
        new.rename(tmp_path / call)
        clients = [server.connect("pingpong") for _ in range(20)]
        for client in clients:
            client.send(PING[0])
        server.wait_log(f"accepting is paused: {os.strerror(getattr(errno, name))}", since=since)
        clients[0].expect_silence(0.3)
        (tmp_path / call).unlink()
        for client in clients:
            client.expect(PING[1])
            client.close()
        assert cpu_seconds(pid) - cpu < 0.2, "it spins"
        assert sum("accepting is paused" in line for line in server.lines[since:]) <= 2
        server.await_open("pingpong", 0)
        stats = server.stats()
        assert stats["workers"][0]["accept_pauses"] > pauses
        assert stats["listeners"][0]["refused"] == 0


# ---- leaving one by one ----

def closed_at(clients, begin):
    """When each of them has got the end of its stream, in seconds."""
    ends = []
    for client in clients:
        assert not client.expects_data()
        ends.append(time.monotonic() - begin)
    return ends


@pytest.mark.parametrize("how", ["reload", "upgrade"])
def test_idle_sessions_leave_one_by_one(serve, how):
    """Not all in one moment, in which all would come back; served until then; counted for a reason of their own."""
    server = serve(listen("pingpong"), workers=2, drain_spread="1s", drain_timeout="10s")
    clients = [server.connect("pingpong") for _ in range(40)]
    for client in clients:
        client.ask(*PING)
    begin = time.monotonic()
    getattr(server, how)()
    while time.monotonic() < begin + 0.5 + DEADLINE:
        left = {each for each in clients if not is_gone(each)}
        if len(left) <= 30:
            break
        time.sleep(0.01)
    assert 1 <= len(left) <= 30, len(left)
    early = time.monotonic() - begin
    assert early > 0.02, "they have gone in one moment"
    served = sum(answered(client) for client in left)
    assert served >= len(left) // 2
    closed_at(clients, begin)
    for client in clients:
        client.close()
    stats = server.await_stats(lambda s: not s.get("leaving") and s["listeners"][0]["sessions_open"] == 0)
    assert stats["listeners"][0]["closed"]["leaving"] == 40
    assert stats["listeners"][0]["closed"]["done"] == 0


def is_gone(client):
    return select.select([client.socket], [], [], 0)[0] and not client.expects_data()


def answered(client):
    try:
        client.ask(*PING)
    except (AssertionError, ConnectionError):
        return False  # it left in this very moment
    return True


@pytest.mark.parametrize("how", ["reload", "upgrade"])
def test_a_stop_is_as_quick_as_ever(serve, how):
    """Also while an old generation, or that of an old master, leaves one by one."""
    server = serve(listen("pingpong"), workers=1, drain_spread="20s", drain_timeout="60s")
    old = [server.connect("pingpong") for _ in range(10)]
    for client in old:
        client.ask(*PING)
    getattr(server, how)()
    new = [server.connect("pingpong") for _ in range(10)]
    for client in new:
        client.ask(*PING)
    begin = time.monotonic()
    server.signal(signal.SIGTERM)
    for client in old + new:
        client.expect_end()
        client.close()
    server.wait_replaced_masters()
    if process_stat(server.pid):  # else an old master was the last to go, and has reaped it
        assert server.wait() == 0
    assert time.monotonic() - begin < 5
