"""Names: all their addresses are used, and nobody who asks for one keeps the master from its work."""
import os
import re
import signal
import socket
import subprocess
import time

import pytest
from harness import BINARY, DEADLINE, Client, listen, own_address
from names import Names
from test_service_manager import Manager, environment

PING = b"ping", b"ping"


@pytest.fixture
def names():
    if os.geteuid() != 0:
        pytest.skip("a mount namespace needs root")
    made = Names()
    yield made
    made.close()


def try_start(names, *args, config):
    return subprocess.run([BINARY, "-c", config, *args], preexec_fn=names.enter, capture_output=True, text=True,
                          timeout=20)


def proxy(target, **keys):
    return listen("proxy", upstream=target, protocol="redis", **keys)


# ---- all addresses ----

def test_all_addresses_of_a_name_are_bound(serve, names):
    first = own_address()
    port = first.rsplit(":", 1)[1]
    hosts = [first.rsplit(":", 1)[0], "127.0.0.1"]
    names.hosts("two", *hosts, "203.0.113.7")  # the last one is for documentation: no machine has it
    server = serve(listen("pingpong", bind=f"two:{port}"), preexec=names.enter)
    assert sorted(server.addresses["pingpong"]) == sorted(f"{host}:{port}" for host in hosts)
    for index in range(2):
        server.connect("pingpong", index).ask(*PING)
    server.wait_log(rf"{re.escape(str(server.config))}:\d+: bind = two:{port}: not on 203\.0\.113\.7:{port}: ")
    dump = try_start(names, "-T", config=server.config)
    assert f"\nbind = two:{port}\n" in dump.stdout


def test_a_name_that_is_not_this_machine_is_refused(names, tmp_path):
    names.hosts("elsewhere", "203.0.113.7")
    config = tmp_path / "conf"
    config.write_text(listen("pingpong", bind="elsewhere:0"))
    done = try_start(names, "-t", config=config)
    assert done.returncode == 1
    assert f"{config}:3: bind = elsewhere:0: this machine has none of its addresses" in done.stderr
    config.write_text(listen("pingpong", bind="nowhere.example.test:0"))
    done = try_start(names, config=config)
    assert done.returncode == 1
    assert f"{config}:3: bind = nowhere.example.test:0: cannot resolve 'nowhere.example.test': " in done.stderr


def test_the_addresses_of_an_upstream_are_tried_in_turn(serve, names):
    """Whatever their order: both names have one address that refuses, and one that answers."""
    host, port = own_address().rsplit(":", 1)
    names.hosts("db", "127.0.0.1", host)
    names.hosts("other", host, "127.255.255.254")
    server = serve(proxy(f"db:{port}"), listen("proxy", name="other", upstream=f"other:{port}"), preexec=names.enter)
    with socket.socket() as target:
        target.bind((host, int(port)))
        target.listen()
        target.settimeout(DEADLINE)
        for name in "proxy", "other":
            client = server.connect(name)
            client.send(b"PING\r\n")
            with Client(target.accept()[0]) as far:
                far.expect(b"PING\r\n")
                far.send(b"+PONG\r\n")
            client.expect_end(b"+PONG\r\n")
    assert server.listener("proxy")["upstream_failures"] == 0


# ---- nobody waits ----

def silence(server, names, name="db.example.test"):
    """Order a reload that cannot get on."""
    names.dns[name] = None
    names.asked.clear()
    server.configure(listen("pingpong"), proxy(f"{name}:6379"))
    since = server.mark()
    server.signal(signal.SIGHUP)
    assert names.asked.wait(5)
    return since


def test_a_silent_name_server_holds_up_nobody(serve, names):
    """Not supervision, not the watchdog, not the end; what would get in each other's way is refused or waits."""
    manager = Manager()
    server = serve(listen("pingpong"), preexec=names.enter, workers=2,
                   env=environment(manager, WATCHDOG_USEC="1000000"))
    pids, since = server.worker_pids(), silence(server, names)
    os.kill(pids[0], signal.SIGKILL)
    server.wait_replaced(0, pids[0])
    manager.drain()
    manager.wait_for("WATCHDOG")
    server.signal(signal.SIGHUP)
    server.wait_log("reload deferred: names are being resolved", since)
    for number, refused in ((signal.SIGTTIN, "resize"), (signal.SIGTTOU, "resize"), (signal.SIGUSR2, "upgrade")):
        since = server.mark()
        server.signal(number)
        server.wait_log(f"{refused} refused: a", since)
    server.connect("pingpong").ask(*PING)
    begun = time.monotonic()
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert time.monotonic() - begun < 3
    manager.close()


def test_a_reload_is_refused_after_ten_seconds(serve, names):
    server = serve(listen("pingpong"), preexec=names.enter)
    before, begun = server.stats(), time.monotonic()
    since = silence(server, names)
    line = server.config.read_text().split("\n").index("upstream = db.example.test:6379") + 1
    server.wait_log(rf"reload refused: {re.escape(str(server.config))}:{line}: upstream = db\.example\.test:6379: "
                    "cannot resolve 'db.example.test': no answer within 10 s", since)
    assert 9 < time.monotonic() - begun < 13
    after = server.stats()
    assert after["master"]["reload_failures"] == 1
    assert [each["pid"] for each in after["workers"]] == [each["pid"] for each in before["workers"]]
    names.dns["db.example.test"] = ["127.0.0.1"]
    server.reload()


def test_a_reload_that_waits_for_names_is_given_up_by_a_stop_that_is_delayed(serve, names):
    server = serve(listen("pingpong"), preexec=names.enter, stop_delay="1h")
    since = silence(server, names)
    server.signal(signal.SIGTERM)
    server.wait_log("reload refused: the server stops", since)
    server.wait_log("stopping in 3600000 ms: SIGTERM", since)
    server.connect("pingpong").ask(*PING)
    server.signal(signal.SIGTERM)
    assert server.wait() == 0


def test_one_silent_name_does_not_hide_the_others(serve, names):
    """All are asked at the same time: what is wrong is said of the one that is wrong."""
    names.dns["good.example.test"], names.dns["slow.example.test"] = ["127.0.0.1"], None
    server = serve(listen("pingpong"), preexec=names.enter)
    server.configure(listen("proxy", name="s", upstream="slow.example.test:1"),
                     listen("proxy", name="g", upstream="good.example.test:1"),
                     listen("proxy", name="n", upstream="not.example.test:1"))
    since = server.mark()
    server.signal(signal.SIGHUP)
    server.wait_log("reload refused: .*: upstream = slow.example.test:1: cannot resolve 'slow.example.test': no answer",
                    since)


def test_a_name_that_does_not_exist_refuses_a_reload(serve, names):
    server = serve(listen("pingpong"), preexec=names.enter)
    server.configure(listen("pingpong"), proxy("no.example.test:6379"))
    since = server.mark()
    server.signal(signal.SIGHUP)
    server.wait_log(r"reload refused: .*:\d+: upstream = no\.example\.test:6379: cannot resolve 'no\.example\.test'",
                    since)
    server.connect("pingpong").ask(*PING)


def test_a_stop_is_a_stop_while_names_are_resolved_at_the_start(serve, names):
    names.dns["db.example.test"] = None
    server = serve(proxy("db.example.test:6379"), preexec=names.enter, ready=False)
    assert names.asked.wait(5)
    server.signal(signal.SIGTERM)
    begun = time.monotonic()
    assert server.wait() == 0
    assert time.monotonic() - begun < 3
    server.wait_log("stopping: SIGTERM while names are resolved")


# ---- an upstream without an address ----

def test_an_upstream_that_is_unknown_at_the_start(serve, names, upstream):
    """It is a warning, clients are told, and when the name server knows it they are served."""
    target = upstream()
    port = target.address.rsplit(":", 1)[1]
    server = serve(proxy(f"late.example.test:{port}"), listen("pingpong"), preexec=names.enter)
    server.wait_log(rf"warn .*{re.escape(str(server.config))}:\d+: upstream = late\.example\.test:{port}: cannot resolve "
                    "'late.example.test': .*; it is tried again")
    client = server.connect("proxy")
    client.expect_end(f"-LOADING ccserver: upstream late.example.test:{port}: cannot resolve its name\r\n".encode())
    server.connect("pingpong").ask(*PING)
    server.wait_log(r"cannot resolve 'late\.example\.test': .*; it is tried again in \d+ s")
    since = server.mark()
    names.dns["late.example.test"] = ["127.0.0.1"]
    server.wait_log(r"upstream late\.example\.test resolves now: reload", since)
    server.wait_log(r"reload: generation 2 serves", since)
    client = server.connect("proxy")
    client.send(b"PING\r\n")
    far = target.accept()
    far.expect(b"PING\r\n")
    far.close()


def test_what_is_tried_again_is_what_was_started(serve, names):
    """A file that has been changed since then, without a SIGHUP, is not loaded by it."""
    server = serve(proxy("late.example.test:1"), listen("pingpong"), preexec=names.enter)
    server.config.write_text("[not yet")
    names.dns["late.example.test"] = ["127.0.0.1"]
    server.wait_log(r"reload: generation 2 serves")
    since = server.mark()
    server.signal(signal.SIGHUP)
    server.wait_log("reload refused", since)


@pytest.mark.slow
@pytest.mark.parametrize("silent", [True, False], ids=["silent", "unknown"])
def test_an_upgrade_survives_a_name_server_that_fails(serve, names, upstream, silent):
    """The candidate says that it is alive while it asks; then names stand for what they stood for before."""
    target = upstream()
    port = target.address.rsplit(":", 1)[1]
    names.dns["db.example.test"] = ["192.0.2.1", "127.0.0.1"]
    server = serve(proxy(f"db.example.test:{port}", connect_timeout="500ms"), listen("pingpong"), preexec=names.enter)
    names.dns["db.example.test"] = None
    if not silent:
        del names.dns["db.example.test"]
    for _ in range(2):  # what was handed over is handed on
        server.upgrade()
        server.wait_log(rf"warn ccserver\[{server.pid}\]: upgrade: cannot resolve 'db.example.test': "
                        rf"{'no answer within 10 s' if silent else '.+'}; its addresses stay what they were")
        server.wait_replaced_masters()
    server.connect("pingpong").ask(*PING)
    client = server.connect("proxy")
    client.send(b"PING\r\n")
    with target.accept() as far:
        far.expect(b"PING\r\n")
        far.send(b"+PONG\r\n")
        client.expect(b"+PONG\r\n")


# ---- a reload that changes nothing ----

def test_the_file_is_put_back_while_names_are_resolved(serve, names):
    """Names that the file no longer mentions are no difference, and nobody asks for them again."""
    server = serve(listen("pingpong"), preexec=names.enter)
    before, text = pids(server), server.config.read_text()
    since = silence(server, names)
    server.config.write_text(text)
    server.wait_log("reload: nothing has changed", since, 15)
    assert pids(server) == before
    hup(server, "reload: nothing has changed")
    assert not [line for line in server.lines[since:] if "db.example.test" in line and "tried again" in line]


def pids(server):
    return [each["pid"] for each in server.stats()["workers"]]


def hup(server, pattern):
    since = server.mark()
    server.signal(signal.SIGHUP)
    return server.wait_log(pattern, since)


def test_other_addresses_are_a_change(serve, names):
    """The same file is another configuration when a name stands for something else; the order says nothing."""
    names.dns["db.example.test"] = ["192.0.2.1", "192.0.2.2"]
    server = serve(proxy("db.example.test:1"), preexec=names.enter)
    before = pids(server)
    names.dns["db.example.test"] = ["192.0.2.2", "192.0.2.1"]
    hup(server, "reload: nothing has changed; logs reopened")
    assert pids(server) == before
    names.dns["db.example.test"] = ["192.0.2.2", "192.0.2.3"]
    hup(server, "reload: names stand for other addresses than before")
    server.wait_log("reload: generation 2 serves")
    hup(server, "reload: nothing has changed; logs reopened")


def test_a_name_that_fails_changes_nothing(serve, names):
    names.dns["db.example.test"] = ["192.0.2.1"]
    server = serve(proxy("db.example.test:1"), preexec=names.enter)
    before = pids(server)
    del names.dns["db.example.test"]
    hup(server, "warn .*reload: cannot resolve 'db.example.test': .*; its addresses stay what they were")
    server.wait_log("reload: nothing has changed")
    assert pids(server) == before
    server.touch()
    hup(server, "reload refused: .*cannot resolve")


def test_a_name_that_points_back_is_refused(serve, names):
    """Under whatever name: the listener itself is no upstream."""
    address = own_address()
    host, port = address.rsplit(":", 1)
    names.dns["self.example.test"] = ["192.0.2.1", host]
    server = serve(listen("pingpong"), preexec=names.enter)
    server.configure(proxy(f"self.example.test:{port}", bind=f"0.0.0.0:{port}"))
    hup(server, rf"reload refused: .*:\d+: upstream = self\.example\.test:{port}: that is \[listen proxy\] itself, "
                rf"which listens on 0\.0\.0\.0:{port}")


def test_a_door_behind_a_name_is_warned_of(names, tmp_path):
    """Each of its addresses is a way to the echo."""
    names.hosts("far", "127.0.0.1", "127.0.0.2")
    config = tmp_path / "conf"
    config.write_text(listen("proxy", "door", bind="127.0.0.1:1", upstream="far:9997") +
                      listen("echo", "back", bind="127.0.0.2:9997", shutdown_command="loopback"))
    done = try_start(names, "-t", config=config)
    assert done.returncode == 0
    assert "[listen door] leads to [listen back]" in done.stderr
