"""Operators who are neither root nor the server's user, and a server that is not root: who is let in, and how that fails."""
import grp
import os
import signal
import stat

import pytest
from harness import listen, pool
from test_control import NOBODY
from test_ctl import REFUSED, ctl

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
