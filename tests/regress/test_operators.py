"""Operators who are neither root nor the server's user, and a server that is not root: who is let in, and how that fails."""
import grp
import os
import signal
import stat
import subprocess

import pytest
from harness import DEADLINE, listen, pool
from test_control import NOBODY
from test_ctl import CTL, DONE, NO_ANSWER, NOT_ALLOWED, NOT_RUNNING, REFUSED, USAGE, ctl
from test_ctl_log import following

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

OPERATORS = grp.getgrnam("games")
DENIED = "Operation not permitted"


def become_nobody(groups=()):
    """The server is nobody, with a folder of its own."""
    def become():
        os.chown(".", NOBODY.pw_uid, NOBODY.pw_gid)
        os.setgroups(list(groups))
        os.setgid(NOBODY.pw_gid)
        os.setuid(NOBODY.pw_uid)
    return become


def control(**keys):
    return pool("admin"), listen("control", bind=None, pool="admin", **keys)


def for_operators():
    return control(unix_mode="0660", unix_group=OPERATORS.gr_name, control_group=OPERATORS.gr_name)


def access(server):
    found = os.stat(server.dir / "control.sock")
    return found.st_gid, stat.S_IMODE(found.st_mode)


def test_a_reload_that_may_not_change_who_connects_is_refused(serve):
    """Each time, not only the first."""
    server = serve(listen("pingpong"), *control(unix_mode="0600"), preexec=become_nobody())
    for _ in range(2):
        server.configure(listen("pingpong"), *for_operators())
        refused = ctl(server, "reload", code=REFUSED)
        assert f"cannot change who may connect to unix:{server.dir}/control.sock (control): {DENIED}" in refused
        assert access(server) == (NOBODY.pw_gid, 0o600)
    assert sorted(each.name for each in server.dir.iterdir() if "sock" in each.name) == ["control.sock"]
    server.configure(listen("pingpong"), *control(unix_mode="0660"))
    assert "serves" in ctl(server, "reload")
    assert access(server) == (NOBODY.pw_gid, 0o660)


def test_a_server_in_the_group_lets_its_members_in(serve):
    server = serve(listen("pingpong"), *control(unix_mode="0600"), preexec=become_nobody([OPERATORS.gr_gid]))
    server.configure(listen("pingpong"), *for_operators())
    assert "serves" in ctl(server, "reload")
    assert access(server) == (OPERATORS.gr_gid, 0o660)


def test_a_start_that_may_not_open_the_control_socket_serves_all_the_same(serve):
    """Its clients are not concerned; nobody else is let in."""
    server = serve(listen("pingpong"), *for_operators(), preexec=become_nobody())
    server.wait_log(r"error master.* \(control\): unix_user and unix_group cannot be given to it, .*: " + DENIED)
    assert access(server) == (NOBODY.pw_gid, 0o600)
    server.connect("pingpong").ask(b"ping", b"ping")
    assert "serving" in ctl(server, "status")
    server.signal(signal.SIGTTIN)  # what was not given stands in no other change's way
    server.await_stats(lambda stats: len([each for each in stats["workers"] if each["pool"] == "main"]) == 3)


# ---- what asks again and again ----

def who_looks(server):
    """Somebody who may connect to its socket, and look at nothing else."""
    return {"user": NOBODY.pw_uid, "group": NOBODY.pw_gid, "extra_groups": [],
            "env": {**os.environ, "RUNTIME_DIRECTORY": str(server.dir)}}


def ask_as_nobody(server, *words, code=DONE):
    about = [] if "-s" in words else ["-c", server.config]
    done = subprocess.run([CTL, *about, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=2 * DEADLINE, **who_looks(server))
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def open_server(serve):
    server = serve(listen("pingpong"), *control(unix_mode="0666"))
    server.dir.chmod(0o711)
    return server


def test_wait_over_the_socket(open_server):
    assert ask_as_nobody(open_server, "wait", "--ready") == ""
    assert ask_as_nobody(open_server, "-s", f"{open_server.dir}/control.sock", "wait") == ""


def test_wait_over_the_socket_of_a_server_that_is_not_ready(serve):
    server = serve(listen("pingpong"), *control(unix_mode="0666"), stop_delay="60s")
    server.dir.chmod(0o711)
    server.signal(signal.SIGTERM)
    server.wait_log("stopping in")
    assert ask_as_nobody(server, "wait") == ""
    assert "no answer in time" in ask_as_nobody(server, "-t", "1", "wait", "--ready", code=NO_ANSWER)
    assert "no answer in time" in ask_as_nobody(server, "-t", "1", "-s", "/nobody/listens", "wait", code=NO_ANSWER)
    server.signal(signal.SIGTERM)
    assert server.wait() == 0


def test_the_log_is_followed_over_the_socket(open_server):
    """Across reloads and an upgrade, each line once, until the server has ended."""
    server = open_server
    with following(server, "log", "-f", "1", **who_looks(server)) as wait_for:
        wait_for(".")  # the one that was there
        for generation in 2, 3:
            server.reload()
            wait_for(f"generation {generation} serves")
        server.upgrade()
        wait_for("is in charge")
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        rest, error = wait_for.process.communicate(timeout=DEADLINE)
        assert wait_for.process.returncode == NOT_RUNNING and b"nobody listens" in error
    assert b"serves" not in rest and b"is in charge" not in rest  # each line has come once


def test_top_says_who_may(open_server):
    refused = "top reads the memory of the server, which root may; over a socket ask for workers and listeners"
    assert refused in ask_as_nobody(open_server, "top", "-b", code=NOT_ALLOWED)
    assert refused in ask_as_nobody(open_server, "-s", "x", "top", "-b", code=USAGE)
