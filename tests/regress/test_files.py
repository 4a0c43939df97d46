"""Files that the server makes: unix sockets, pid file, statistics. A name is not a thing: it may mean another's by now."""
import ctypes
import fcntl
import os
import signal
import socket
import stat
import subprocess

import pytest
from harness import BINARY, DEADLINE, connect_to, listen, own_address, process_stat

PIDFD_GETFD = 438

root = pytest.mark.skipif(os.getuid() != 0, reason="needs root")


def start(config, *args, prefix=()):
    """A ccserver without a harness: it may well not start."""
    env = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"} if prefix else None  # LeakSanitizer does not work under strace
    return subprocess.Popen([*prefix, BINARY, "-c", str(config), *args], stdin=subprocess.DEVNULL, env=env,
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True)


def write_config(path, server, *sections):
    path.write_text("[server]\nworkers = 1\n" + "\n".join(server) + "\n" + "\n".join(sections))
    return path


def answers(address):
    try:
        with connect_to(address) as client:
            client.send(b"x")
            return client.recv_exactly(1) == b"x"
    except OSError:
        return False


def await_true(condition, what):
    end = os.times().elapsed + DEADLINE
    while not condition():
        assert os.times().elapsed < end, what


def refused(process):
    """The one line of a server that did not start."""
    error = process.communicate(timeout=DEADLINE)[1]
    assert process.returncode == 1 and error.count("\n") == 1, error
    return error


def end(*processes):
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


# ---- unix sockets ----

def test_files_of_another_server_stay(serve, tmp_path):
    path, pidfile = tmp_path / "s", tmp_path / "pid"
    first = serve(listen("pingpong", bind=f"unix:{path}"), pidfile=pidfile)
    path.unlink()
    pidfile.unlink()
    second = serve(listen("pingpong", bind=f"unix:{path}"), pidfile=pidfile)
    first.signal(signal.SIGTERM)
    assert first.wait() == 0
    assert answers(f"unix:{path}")
    assert pidfile.read_text() == f"{second.pid}\n"


def test_a_unix_socket_that_was_removed_is_made_anew(serve, tmp_path):
    path = tmp_path / "s"
    server = serve(listen("pingpong", bind=f"unix:{path}"))
    path.unlink()
    server.reload(log_level="debug")
    assert answers(f"unix:{path}")
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert not path.exists()


@root
def test_two_starts_on_one_unix_path(tmp_path):
    """Also in the moment between bind() and listen() of the first."""
    path = tmp_path / "s"
    config = write_config(tmp_path / "c", [], listen("pingpong", bind=f"unix:{path}"))
    slow = start(config, prefix=["strace", "-qq", "-o", "/dev/null", "-e", "trace=listen", "-e",
                                 "inject=listen:delay_enter=500000:when=1"])
    quick = start(config)
    try:
        await_true(lambda: slow.poll() is not None or quick.poll() is not None, "both run")
        assert (slow.poll() is None) != (quick.poll() is None)
        await_true(lambda: answers(f"unix:{path}"), "nobody serves")
        assert str(path) in refused(slow if quick.poll() is None else quick)
    finally:
        end(slow, quick)


def test_two_starts_on_a_stale_unix_path(serve, tmp_path):
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    server = serve(listen("pingpong", bind=f"unix:{path}"))
    other = start(write_config(tmp_path / "c", [], listen("pingpong", bind=f"unix:{path}")))
    assert str(path) in refused(other)
    assert answers(server.addresses["pingpong"][0])


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o777])
def test_unix_mode(serve, tmp_path, mode):
    path = tmp_path / "s"
    serve(listen("pingpong", bind=f"unix:{path}", unix_mode=f"{mode:04o}"), preexec=lambda: os.umask(0o027))
    assert stat.S_IMODE(path.stat().st_mode) == mode


@root
def test_unix_user_and_group(serve, tmp_path):
    path = tmp_path / "s"
    serve(listen("pingpong", bind=f"unix:{path}", unix_user="nobody", unix_group="12345"))
    assert (path.stat().st_uid, path.stat().st_gid) == (65534, 12345)


def test_an_unknown_user_is_a_configuration_error(tmp_path):
    config = write_config(tmp_path / "c", [], listen("pingpong", bind=f"unix:{tmp_path}/s", unix_user="no-such-user"))
    assert f"{config}:" in refused(start(config))


# ---- pid file ----

def test_a_pidfile_that_is_a_link_is_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious\n")
    (tmp_path / "pid").symlink_to(victim)
    config = write_config(tmp_path / "c", [f"pidfile = {tmp_path}/pid"], listen("pingpong"))
    assert str(tmp_path / "pid") in refused(start(config))
    assert victim.read_text() == "precious\n"


@root
def test_a_pidfile_that_cannot_be_written_refuses_the_start(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    config = write_config(tmp_path / "c", [f"pidfile = {small}/pid"], listen("pingpong"))
    full = ["unshare", "-m", "sh", "-c",
            f'mount -t tmpfs -o size=4k none {small} && head -c 8192 /dev/zero > {small}/fill 2>/dev/null; exec "$@"', "sh"]
    assert "No space left" in refused(start(config, prefix=full))


# ---- statistics ----

@pytest.mark.parametrize("kind", ["link", "fifo", "folder"])
def test_a_stats_file_that_is_none(tmp_path, kind):
    path = tmp_path / "stats"
    {"link": lambda: path.symlink_to(tmp_path / "victim"), "fifo": lambda: os.mkfifo(path), "folder": path.mkdir}[kind]()
    config = write_config(tmp_path / "c", [f"stats_file = {path}"], listen("pingpong"))
    assert str(path) in refused(start(config))
    assert not (tmp_path / "victim").exists()


def test_a_planted_name_is_not_followed(serve, tmp_path):
    victim, stats = tmp_path / "victim", tmp_path / "stats"
    victim.write_text("precious\n")
    server = serve(listen("pingpong"), stats_file=stats)
    (tmp_path / f"stats.{server.pid}").symlink_to(victim)
    server.stats_file = stats
    assert server.stats()["listeners"]
    assert victim.read_text() == "precious\n"
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(["victim", "stats", f"stats.{server.pid}"])


# ---- descriptors and queues ----

def test_a_daemon_keeps_no_descriptor_of_its_starter(tmp_path):
    lock = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    os.set_inheritable(lock, True)
    fcntl.flock(lock, fcntl.LOCK_EX)
    config = write_config(tmp_path / "c", [f"log = {tmp_path}/log", f"pidfile = {tmp_path}/pid"], listen("pingpong"))
    subprocess.run([BINARY, "-d", "-c", config], pass_fds=[lock], check=True, timeout=DEADLINE)
    os.close(lock)
    pid = int((tmp_path / "pid").read_text())
    try:
        with open(tmp_path / "lock") as again:
            fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.kill(pid, signal.SIGTERM)
        await_true(lambda: process_stat(pid) is None or process_stat(pid)[0] == "Z", "the daemon does not end")


def shut_queues(pid):
    """What a worker that has been taken over can do to its queues."""
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd, count = os.pidfd_open(pid), 0
    for name in os.listdir(f"/proc/{pid}/fd"):
        fd = libc.syscall(PIDFD_GETFD, pidfd, int(name), 0)
        if fd < 0:
            continue
        if stat.S_ISSOCK(os.fstat(fd).st_mode):
            with socket.socket(fileno=os.dup(fd)) as sock:
                if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    sock.shutdown(socket.SHUT_RDWR)
                    count += 1
        os.close(fd)
    os.close(pidfd)
    return count


@root
def test_a_queue_that_was_shut_is_opened_with_the_replacement(serve, tmp_path):
    server = serve(listen("pingpong"), listen("pingpong", "u", bind=f"unix:{tmp_path}/s"), workers=1)
    pid = server.worker_pids()[0]
    assert shut_queues(pid) == 2
    os.kill(pid, signal.SIGKILL)
    server.wait_replaced(0, pid)
    assert answers(server.addresses["pingpong"][0])
    assert answers(f"unix:{tmp_path}/s")


def test_from_a_wildcard_to_one_of_its_addresses_and_back(serve):
    port = own_address().rsplit(":", 1)[1]
    one, every = listen("pingpong", bind=f"127.0.0.1:{port}"), listen("pingpong", bind=f"0.0.0.0:{port}")
    server = serve(every)
    for sections in (one, every, one):
        server.reload(sections)
        assert answers(f"127.0.0.1:{port}")
