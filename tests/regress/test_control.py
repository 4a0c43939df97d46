"""A control listener: who is connected, and what an operator changes through it."""
import grp
import json
import os
import pwd
import re
import signal
import socket
import subprocess
import threading

import pytest
from harness import BINARY, DEADLINE, Load, listen, pool
from test_ctl import CTL, DONE, NO_ANSWER, NOT_ALLOWED, NOT_RUNNING, PING, REFUSED, USAGE, await_equal, ctl, samples
from test_upgrade import binary, replace  # noqa: F401

NOBODY = pwd.getpwnam("nobody")
CONTROL = pool("admin"), listen("control", bind=None, pool="admin")


def control(**keys):
    return pool("admin"), listen("control", bind=None, pool="admin", **keys)


def operator(server):
    """A connection of somebody who types."""
    return server.connect("control")


def say(server, line):
    """The lines of the answer, and its last one."""
    with operator(server) as client:
        client.send(line.encode() + b"\n")
        client.half_close()
        *lines, last = client.recv_to_end().decode().splitlines()
    assert all(each.startswith(" ") for each in lines)
    return [each[1:] for each in lines], last


def over_socket(server, *args, code=DONE, **options):
    """What ccserverctl -s prints."""
    done = subprocess.run([CTL, "-s", server.dir / "control.sock", *args], capture_output=True, text=True,
                          timeout=2 * DEADLINE, stdin=subprocess.DEVNULL, **options)
    assert done.returncode == code, done.stderr or done.stdout
    return done.stdout + done.stderr


def sessions(server, *args):
    """Those of clients: the one of ccserverctl itself is left out."""
    return [each for each in json.loads(ctl(server, "sessions", "-j", *args)) if each["listener"] != "control"]


def named(client):
    return "{}:{}".format(*client.socket.getsockname())


# ---- who is connected ----

def test_sessions(serve):
    server = serve(listen("pingpong"), listen("pingpong", "second", pool="other"), pool("other"), *CONTROL, workers=2)
    assert sessions(server) == []
    one, two = server.connect("pingpong"), server.connect("second")
    one.ask(*PING)
    two.ask(b"hello\n", b"hello\n")
    found = {each["peer"]: each for each in sessions(server)}
    assert set(found) == {named(one), named(two)}
    first, second = found[named(one)], found[named(two)]
    assert (first["pool"], first["listener"]) == ("main", "pingpong")
    assert (second["pool"], second["listener"]) == ("other", "second")
    assert (first["bytes_in"], first["bytes_out"]) == (4, 4) and (second["bytes_in"], second["bytes_out"]) == (6, 6)
    assert first["state"] == "open" and first["upstream"] is None and first["queued"] == 0
    assert 0 <= first["idle_ms"] <= first["age_ms"] + 100 < 2 * DEADLINE * 1000
    assert first["id"].split("-")[0] in map(str, server.worker_pids().values())
    assert [each["peer"] for each in sessions(server, "--pool", "other")] == [named(two)]
    assert [each["peer"] for each in sessions(server, "--listener", "pingpong")] == [named(one)]
    assert [each["peer"] for each in sessions(server, "--peer", named(two))] == [named(two)]
    assert len(sessions(server, "--peer", "127.0.0.1")) == 2 and sessions(server, "--peer", "10.") == []
    table = ctl(server, "sessions").splitlines()
    assert table[0].split() == ["id", "pool", "listener", "peer", "age", "idle", "bytes_in", "bytes_out", "queued", "state",
                                "upstream"]
    assert any(re.match(rf"{first['id']} +main +pingpong +{re.escape(named(one))} .* 4B +4B +0B open +-$", line)
               for line in table)


def test_figures_that_do_not_exist(serve):
    server = serve(listen("pingpong"), *CONTROL)
    assert ctl(server, "stat", "nonsense", code=REFUSED) == "ccserverctl: no figure matches\n"
    assert over_socket(server, "stat", "nonsense", code=REFUSED) == "ccserverctl: no figure matches\n"


def test_sessions_of_a_proxy(serve):
    backend = serve(listen("pingpong"))
    server = serve(listen("proxy", upstream=backend.addresses["pingpong"][0]), *CONTROL)
    client = server.connect("proxy")
    client.ask(*PING)
    (found,) = sessions(server)
    assert (found["state"], found["upstream"]) == ("relay", backend.addresses["pingpong"][0])


def test_a_peer_that_does_not_read(serve):
    server = serve(listen("echo"), *CONTROL)
    client = server.connect("echo", small_buffers=True)
    client.send_until_stuck((b"x" * 1000 + b"\n") * 20000)
    (found,) = sessions(server)
    assert found["state"] == "blocked" and found["queued"] > 0


def test_many_sessions(serve):
    """More than are looked at in one turn, each once; others are served meanwhile, and some leave."""
    server = serve(listen("pingpong"), *CONTROL)
    clients = [server.connect("pingpong") for _ in range(700)]
    found = sessions(server)
    assert {each["peer"] for each in found} == {named(client) for client in clients}
    assert len({each["id"] for each in found}) == len(found) == 700
    with Load(server, "pingpong", *PING) as load:
        for _ in range(10):
            assert {named(client) for client in clients} <= {each["peer"] for each in sessions(server)}
    load.expect_perfect()


def test_two_at_a_time(serve):
    server = serve(listen("pingpong"), *CONTROL)
    clients = [server.connect("pingpong") for _ in range(600)]
    counts = []
    threads = [threading.Thread(target=lambda: counts.append(len(sessions(server)))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [len(clients)] * 6


def test_an_operator_who_does_not_read(serve):
    """Half a listing keeps no other one waiting for ever, and no worker busy."""
    server = serve(listen("pingpong"), *CONTROL)
    for _ in range(600):
        server.connect("pingpong")
    slow = operator(server)
    slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    slow.send(b"sessions\n" * 200)
    slow.socket.recv(1)
    slow.close()
    assert len(sessions(server)) == 600


def test_a_hung_worker_is_left_out(serve):
    server = serve(listen("pingpong"), *CONTROL, workers=2, watchdog_timeout="60s", adopt_after="30s")
    pids = server.worker_pids()
    clients = {}
    while len(clients) < 2:
        client = server.connect("pingpong")
        client.ask(*PING)
        clients[next(each["id"] for each in sessions(server) if each["peer"] == named(client)).split("-")[0]] = client
    os.kill(pids[0], signal.SIGSTOP)
    done = subprocess.run([CTL, "-c", server.config, "sessions", "-j"], capture_output=True, text=True,
                          timeout=2 * DEADLINE)
    os.kill(pids[0], signal.SIGCONT)
    assert done.returncode == DONE
    assert done.stderr == f"ccserverctl: the worker with pid {pids[0]} does not answer\n"
    assert {each["id"].split("-")[0] for each in json.loads(done.stdout) if each["pool"] == "main"} == {str(pids[1])}
    clients[str(pids[0])].ask(*PING)


def test_kill(serve):
    backend = serve(listen("pingpong"))
    server = serve(listen("pingpong"), listen("proxy", upstream=backend.addresses["pingpong"][0]), *CONTROL, workers=2)
    for name in ("pingpong", "proxy"):
        victim, other = server.connect(name), server.connect(name)
        victim.ask(*PING)
        other.ask(*PING)
        (wanted,) = sessions(server, "--peer", named(victim))
        assert ctl(server, "kill", wanted["id"]) == ""
        victim.expect_gone()
        other.ask(*PING)
        server.await_closed(name, "killed")
        assert ctl(server, "kill", wanted["id"], code=REFUSED) == "ccserverctl: there is no such session any more\n"
        other.close()
    backend.await_open("pingpong", 0)
    for wrong in ("1", "x-y-z", "1-2-3-4", f"{server.worker_pids()[0]}-5-zz", "-1-2-3"):
        assert "no id of a session" in ctl(server, "kill", "--", wrong, code=REFUSED)
    assert "its worker is gone" in ctl(server, "kill", f"{server.pid}-5-1", code=REFUSED)


# ---- changes ----

def test_resize(serve):
    server = serve(listen("pingpong"), listen("echo", pool="other"), pool("other"), *CONTROL, workers=2)
    for name, count in (("other", 5), ("main", 1), ("other", 2), ("main", 3)):
        assert ctl(server, "resize", name, str(count)) == f"done: {count} worker{'s' * (count > 1)}\n"
        assert len(server.worker_pids(name)) == count
    assert ctl(server, "resize", "none", "2", code=REFUSED) == "ccserverctl: there is no pool none\n"
    assert ctl(server, "resize", "other", "1024", code=REFUSED) == "ccserverctl: 1020 workers is the limit\n"
    server.baseline.clear()


def test_a_single_pool_stays_single(serve):
    server = serve(listen("echo", pool="one"), pool("one", single="on"), listen("pingpong"), *CONTROL)
    assert "the pool one is single" in ctl(server, "resize", "one", "2", code=REFUSED)


def test_restart(serve):
    """One after the other: nobody is refused, and those that came later are not replaced again."""
    server = serve(listen("pingpong"), listen("echo", pool="other"), pool("other"), *CONTROL, workers=3, drain_spread="0s")
    before, others = server.worker_pids(), server.worker_pids("other")
    with Load(server, "pingpong", *PING) as load:
        assert ctl(server, "restart", "main").endswith("done: 3 workers replaced\n")
    load.expect_perfect()
    after = server.worker_pids()
    assert set(after) == set(before) and not set(after.values()) & set(before.values())
    assert server.worker_pids("other") == others
    assert server.stats()["master"]["respawns"]["operator"] == 3
    replaced = [line for line in server.lines if "is restarted by an operator" in line]
    assert len(replaced) == 3, replaced
    assert "there is no pool none" in ctl(server, "restart", "none", code=REFUSED)


def test_drain(serve):
    server = serve(listen("pingpong"), *CONTROL, workers=2, drain_spread="0s")
    pid = server.worker_pids()[1]
    assert over_socket(server, "drain", "1") == f"done: pid {pid} is gone\n"
    assert server.worker_pids()[1] != pid
    assert "there is no worker 7" in over_socket(server, "drain", "7", code=REFUSED)


def test_a_drain_is_an_operators_wish(serve):
    """Not the worker's own, as a signal would be; that of the control service's own worker is not awaited by itself."""
    server = serve(listen("pingpong"), *CONTROL, workers=2, drain_spread="0s")
    pid, own = server.worker_pids()[1], server.worker_pids("admin")[0]
    assert ctl(server, "drain", "1") == f"done: pid {pid} is gone\n"
    assert over_socket(server, "drain", "admin/0") == f"done: pid {own} drains\n"
    server.wait_log(rf"admin worker 0 \(pid {own}\) is drained by an operator: it is replaced")
    respawns = server.await_stats(lambda stats: not stats["leaving"] and all(
        each["state"] == "ready" for each in stats["workers"]))["master"]["respawns"]
    assert (respawns["operator"], respawns["exit"], respawns["recycle"]) == (2, 0, 0)
    assert not any("by itself" in line for line in server.lines)


def test_disable(serve):
    """Who connects is turned away at once; sessions go on; the word lasts until it is taken back."""
    server = serve(listen("pingpong"), listen("pingpong", "second"), *CONTROL, workers=2, drain_spread="0s")
    client = server.connect("pingpong")
    client.ask(*PING)

    def expect_refused():
        for _ in range(10):
            with pytest.raises((ConnectionError, AssertionError)), server.connect("pingpong") as other:
                other.ask(*PING)
        with server.connect("second") as other:
            other.ask(*PING)

    assert ctl(server, "disable", "pingpong") == "done: the listener pingpong is disabled\n"
    await_equal(lambda: refuses(server), True)
    expect_refused()
    client.ask(*PING)
    client.close()
    assert server.listener("pingpong")["refused"] >= 10
    victim = server.worker_pids()[0]
    server.signal(signal.SIGKILL, victim)
    server.wait_replaced(0, victim)
    expect_refused()
    server.reload(linger_timeout="900ms")
    expect_refused()
    assert ctl(server, "enable", "pingpong") == "done: the listener pingpong is enabled\n"
    await_equal(lambda: refuses(server), False)
    with Load(server, "pingpong", *PING) as load:
        load.wait_more(50)
    load.expect_perfect()
    assert "there is no listener none" in ctl(server, "disable", "none", code=REFUSED)
    assert "nobody could enable" in ctl(server, "disable", "control", code=REFUSED)


def refuses(server):
    try:
        with server.connect("pingpong") as client:
            client.ask(*PING)
    except (ConnectionError, AssertionError):
        return True
    return False


def test_log_level(serve):
    """Of all processes, and of those that are started later."""
    server = serve(listen("pingpong"), *CONTROL, workers=1, drain_spread="0s")
    pid, since = server.worker_pids()[0], server.mark()
    assert ctl(server, "set", "log_level", "error") == "done: log_level is error, until the next reload\n"
    server.signal(signal.SIGKILL, pid)

    def replaced():
        (worker,) = [each for each in json.loads(ctl(server, "status", "-j"))["workers"] if each["pool"] == "main"]
        return worker["pid"] != pid and worker["state"] == "ready"

    await_equal(replaced, True)
    assert say(server, "set log_level debug") == ([], "done log_level is debug, until the next reload")
    server.wait_log("log_level is debug, until the next reload", since=since)
    seen = [line for line in server.lines[since:] if " info " in line or " notice " in line]
    assert not [line for line in seen if "ready after" in line], seen
    assert len([line for line in seen if "control: unix: set" in line]) == 1, seen
    ctl(server, "set", "log_level", "error")
    server.reload(linger_timeout="900ms")
    server.wait_log("reload: generation 2 serves", since=since)
    assert say(server, "set log_level loud")[1] == "misused set log_level: one of debug|info|notice|warn|error"
    assert say(server, "set color red")[1] == "misused set: only log_level can be set"


def test_config(serve):
    server = serve(listen("pingpong"), *CONTROL, workers=2)
    wanted = subprocess.run([BINARY, "-T", "-c", server.config], capture_output=True, text=True, check=True,
                            env=server.environment()).stdout
    text = ctl(server, "config")
    assert text.splitlines()[0] == "[server]" and "workers = 2" in text.splitlines()
    fixed = re.compile(r"^bind = .*\n", re.M)
    assert fixed.sub("", text) == fixed.sub("", wanted)
    server.reload(linger_timeout="900ms")
    assert "linger_timeout = 900ms" in ctl(server, "config").splitlines()


def test_reload(serve):
    server = serve(listen("pingpong"), *CONTROL, workers=2, drain_spread="0s")
    server.configure(*server.sections, linger_timeout="900ms")
    server.baseline.clear()
    lines = over_socket(server, "reload").splitlines()
    assert [line for line in lines if "ready" not in line and "drain" not in line] == [
        "checked; generation 2 starts", "generation 2 serves", "done: a new generation serves"]
    assert lines[lines.index("generation 2 serves") - 1] == "ready 3 of 3"
    server.configure(*server.sections, linger_timeout="never")
    assert re.search(r"ccserver\.conf:\d+: linger_timeout = never", over_socket(server, "reload", code=REFUSED))
    server.configure(*server.sections, linger_timeout="900ms")
    assert over_socket(server, "reload") == "done: nothing has changed\n"


def test_upgrade(serve):
    server = serve(listen("pingpong"), *CONTROL, workers=2, drain_spread="0s")
    pid = server.pid
    with Load(server, "pingpong", *PING) as load:
        assert over_socket(server, "upgrade").endswith("done: a new binary serves\n")
    load.expect_perfect()
    server.replaced.append(pid)
    server.pid = int(server.wait_log(r"upgrade: pid (\d+) is in charge")[1])
    assert re.search(rf"^master +{server.pid}$", over_socket(server, "status"), re.M)


def test_stop(serve):
    server = serve(listen("pingpong"), *CONTROL)
    assert over_socket(server, "stop") == "done: it has ended\n"
    assert server.wait() == 0
    assert "nobody listens at" in over_socket(server, "status", code=NOT_RUNNING)


def rows(text):
    """How the rows begin; without those about sessions that the one who asks has ended meanwhile."""
    return [line.split()[:1] for line in text.splitlines() if "closed/" not in line and line.strip()]


def test_what_only_looks_is_the_same_over_the_socket(serve):
    server = serve(listen("pingpong"), listen("echo", pool="other"), pool("other"), *CONTROL, workers=2)
    for word in ("pools", "health"):
        assert over_socket(server, word) == ctl(server, word)
    for word in ("workers", "listeners", "status"):
        theirs = rows(ctl(server, word))
        assert len(theirs) > 2
        await_equal(lambda: rows(over_socket(server, word)), theirs)  # whoever asks twice at once gets the same answer
    assert json.loads(over_socket(server, "status", "-j"))["master"]["pid"] == server.pid
    mine, theirs = samples(over_socket(server, "metrics")), samples(ctl(server, "metrics"))
    assert set(mine) == set(theirs)
    assert over_socket(server, "log", "3").splitlines()[-1].endswith("listeners")
    assert "ccserver_sessions_accepted_total" in over_socket(server, "stat", "sessions_accepted")


def test_json(serve):
    server = serve(listen("pingpong"), listen("echo", pool="other"), pool("other"), *CONTROL, workers=2)
    ctl(server, "wait", "--ready")
    whole = json.loads(ctl(server, "status", "--json"))
    for word in ("pools", "workers", "listeners"):
        for part in json.loads(ctl(server, word, "--json")), json.loads(over_socket(server, "--json", word)):
            assert [each.get("name", each.get("pid")) for each in part] == [
                each.get("name", each.get("pid")) for each in whole[word]]
    assert json.loads(ctl(server, "health", "-j")) == {"healthy": True, "why": ""} == json.loads(over_socket(server, "health", "-j"))
    assert say(server, "json all")[1] == "misused json: pools, workers, listeners, queues or health can follow"
    for part in json.loads(ctl(server, "queues", "--json")), json.loads(over_socket(server, "--json", "queues")):
        for listener in whole["listeners"]:
            whose = {"listener": listener["name"], "pool": listener["pool"]}
            assert [each for each in part if each["listener"] == listener["name"]] == [
                whose | each for each in listener["queues"]]


# ---- who may ----

def subprocess_as_nobody(command, environment, code, groups=()):
    done = subprocess.run(command, capture_output=True, text=True, timeout=2 * DEADLINE, stdin=subprocess.DEVNULL,
                          user=NOBODY.pw_uid, group=NOBODY.pw_gid, extra_groups=list(groups), env={**os.environ, **environment})
    assert done.returncode == code, done.stderr or done.stdout
    # While coverage is measured: nobody may not note which lines have run.
    return re.sub(r"^profiling:.*\n", "", done.stdout + done.stderr, flags=re.MULTILINE)


def as_nobody(server, *args, code=DONE, groups=()):
    return subprocess_as_nobody([CTL, "-s", server.dir / "control.sock", *args], {}, code, groups)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_rights(serve):
    group = grp.getgrnam("games")
    server = serve(listen("pingpong"), *control(unix_mode="0660"))
    server.dir.chmod(0o711)
    assert "may not connect" in as_nobody(server, "status", code=NOT_ALLOWED)
    server.reload(listen("pingpong"), *control(unix_mode="0666"))
    assert "serving" in as_nobody(server, "status") and as_nobody(server, "sessions", "-j")
    for words in (["kill", "1-2-3"], ["reload"], ["upgrade"], ["stop"], ["resize", "main", "2"], ["restart", "main"],
                  ["drain", "0"], ["disable", "pingpong"], ["enable", "pingpong"], ["set", "log_level", "debug"], ["reopen"]):
        text = as_nobody(server, *words, code=NOT_ALLOWED, groups=[group.gr_gid])
        assert text == "ccserverctl: only root, the server's user and control_group may do that\n"
    server.reload(listen("pingpong"), *control(unix_mode="0666", control_group="games"))
    assert as_nobody(server, "reload", groups=[group.gr_gid]) == "done: nothing has changed\n"
    as_nobody(server, "reload", code=NOT_ALLOWED)
    server.reload(listen("pingpong"), *control(unix_mode="0666", control_group=str(NOBODY.pw_gid)))
    assert as_nobody(server, "reload") == "done: nothing has changed\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_who_may_not_look_finds_the_socket(serve):
    """With -c alone, also when another master listens by now; what only the memory tells stays closed."""
    def find(*words, folder=True, code=DONE):
        places = {"RUNTIME_DIRECTORY": str(server.dir)} if folder else {}
        return subprocess_as_nobody([CTL, "-c", server.config, *words], places, code)
    server = serve(listen("echo"), *control(unix_mode="0666"), drain_timeout="30s")
    server.dir.chmod(0o711)
    assert find("health") == "ok\n"
    client = server.connect("echo")
    client.send(b"half")  # so that the master before stays, too
    server.await_open("echo", 1)
    server.upgrade()
    assert find("health") == "ok\n" and "control_group may do that" in find("reload", code=NOT_ALLOWED)
    refused = "ccserverctl: a server runs, but you may not look at it: ask as root, or its control socket (-s)\n"
    assert find("health", folder=False, code=NOT_ALLOWED) == find("log", "-f", folder=False, code=NOT_ALLOWED) == refused
    os.rename(server.dir / "control.sock", server.dir / "moved.sock")
    with socket.socket(socket.AF_UNIX) as other:  # somebody else's
        other.bind(str(server.dir / "control.sock"))
        os.chmod(server.dir / "control.sock", 0o666)
        other.listen()
        assert find("health", code=NOT_ALLOWED) == refused
    os.rename(server.dir / "moved.sock", server.dir / "control.sock")
    client.close()


# ---- bad moments ----

def test_a_hung_control_service_keeps_nobody_from_a_reload(serve):
    server = serve(listen("pingpong"), *CONTROL, workers=2, watchdog_timeout="60s", adopt_after="30s", drain_timeout="4s",
                   drain_spread="0s")
    pid = server.worker_pids("admin")[0]
    os.kill(pid, signal.SIGSTOP)
    assert "no answer in time" in ctl(server, "-t", "1", "sessions", code=NO_ANSWER)
    assert "serving" in ctl(server, "status")
    server.configure(*server.sections, linger_timeout="900ms")
    server.baseline.clear()
    assert ctl(server, "reload").endswith("of the last generation drain\ndone: a new generation serves\n")
    assert over_socket(server, "-t", "20", "sessions").endswith(f"the worker with pid {pid} does not answer\n")
    assert ctl(server, "stop").endswith("it has ended\n")
    server.wait_log("did not stop in time and is killed")
    assert server.wait() == 0


def test_during_an_upgrade(serve, binary):
    """What would change is refused with a sentence; what only looks is shown."""
    server = serve(listen("pingpong"), *CONTROL, workers=2, binary=binary)
    replace(binary, "#!/bin/sh\nexec sleep 100\n")
    server.signal(signal.SIGUSR2)
    server.wait_log("upgrade: starting")
    busy = "a start, a reload, an upgrade or a stop is under way"
    await_equal(lambda: json.loads(ctl(server, "status", "-j"))["master"]["pid"], server.pid)
    assert over_socket(server, "upgrade", code=REFUSED) == f"ccserverctl: {busy}\n"
    assert ctl(server, "upgrade", code=REFUSED) == f"ccserverctl: {busy}\n"
    for words in (["resize", "main", "3"], ["restart", "main"]):
        assert ctl(server, *words, code=REFUSED) == f"ccserverctl: {busy}\n"
    assert sessions(server) == [] and "serving" in over_socket(server, "status")


def test_many_who_say_nothing(serve):
    """Nor keep anybody else waiting."""
    server = serve(listen("pingpong"), *CONTROL)
    silent = [operator(server) for _ in range(100)]
    for client in silent[:50]:
        client.send(b"sess")
    assert "serving" in over_socket(server, "status")
    assert ctl(server, "resize", "main", "2") == "done: 2 workers\n"
    with Load(server, "pingpong", *PING) as load:
        load.wait_more(50)
    load.expect_perfect()
    server.baseline.clear()


def test_a_hundred_at_a_time(serve):
    """Each is answered."""
    server = serve(listen("pingpong"), *CONTROL, workers=2)
    clients = [operator(server) for _ in range(100)]
    for client in clients:
        client.send(b"set log_level info\n")
        client.half_close()
    ends = [client.recv_to_end() for client in clients]
    assert set(ends) == {b"done log_level is info, until the next reload\n"}
    listings = [operator(server) for _ in range(60)]
    for client in listings:
        client.send(b"sessions pool=main\n")
        client.half_close()
    assert len({client.recv_to_end() for client in listings}) == 1


def test_nonsense(serve):
    server = serve(listen("pingpong"), *CONTROL)
    assert say(server, "frobnicate")[1] == "misused there is no command frobnicate; help lists them"
    assert say(server, "resize main")[1] == "misused resize: too few words, or too many"
    assert say(server, "kill 1 2 3")[1] == "misused kill: too few words, or too many"
    assert say(server, "sessions color=red")[1].startswith("misused sessions: ")
    assert say(server, "log x")[1] == "misused log: not a number that makes sense"
    assert say(server, "resize main 0")[1].startswith("misused resize")
    assert say(server, "   status   ")[1] == "done"
    assert say(server, "\t\n\n  \nhealth") == (["ok"], "done")
    lines, last = say(server, "help")
    assert last == "done" and {line.split()[0] for line in lines} >= {"sessions", "reload", "kill", "help"}
    with operator(server) as client:
        client.send(b"health\nhealth\nhealth\n")
        client.expect(b" ok\ndone\n" * 3)
    with operator(server) as client:
        client.send(b"health\0\n")
        client.expect_end()
    with operator(server) as client:
        client.send(b"x" * 100000)
        client.expect_gone()
    server.await_open("control", 0)


@pytest.mark.parametrize("words, code", [(["--pool", "", "sessions"], USAGE), (["top"], USAGE),
                                         (["sessions", "--listener", "a b"], USAGE), (["status", "--peer", "x"], USAGE)])
def test_misuse(serve, words, code):
    server = serve(listen("pingpong"), *CONTROL)
    over_socket(server, *words, code=code)


def test_a_server_without_one(serve):
    server = serve(listen("pingpong"))
    text = ctl(server, "sessions", code=REFUSED)
    assert text == "ccserverctl: sessions: the configuration has no listener with service = control\n"


def test_a_socket_of_something_else(serve, tmp_path):
    server = serve(listen("pingpong", bind=f"unix:{tmp_path}/control.sock"))
    server.dir = tmp_path
    with subprocess.Popen([CTL, "-s", tmp_path / "control.sock", "-t", "1", "status"], stderr=subprocess.PIPE,
                          text=True) as process:
        assert "no answer in time" in process.stderr.read() or process.wait() in (REFUSED, NO_ANSWER)


# ---- the configuration ----

def check(tmp_path, text, env=None):
    path = tmp_path / "c.conf"
    path.write_text(text)
    done = subprocess.run([BINARY, "-t", "-c", path], capture_output=True, text=True, env={**os.environ, **(env or {})})
    return done.returncode, done.stderr.replace(str(path), "c.conf").strip()


def test_configuration(tmp_path):
    assert check(tmp_path, "[listen c]\nservice = control\nbind = 127.0.0.1:0\n") == (
        1, "c.conf:3: bind = 127.0.0.1:0: service = control is served on unix sockets alone")
    code, text = check(tmp_path, "[listen c]\nservice = control\ncontrol_group = nosuchgroup\n")
    assert code == 1 and text.endswith("control_group = nosuchgroup: there is no such group in /etc/group")
    assert check(tmp_path, "[listen e]\nservice = echo\n")[0] == 1
    assert check(tmp_path, "[listen c]\nservice = control\n[server]\nruntime_dir = /tmp/" + "x" * 120 + "\n")[0] == 1


def test_where_the_socket_is(tmp_path):
    def bound(env, text=""):
        path = tmp_path / "c.conf"
        path.write_text(f"[listen c]\nservice = control\n[server]\n{text}\n")
        clean = {key: value for key, value in os.environ.items() if key not in ("RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR")}
        shown = subprocess.run([BINARY, "-T", "-c", path], capture_output=True, text=True, check=True, env={**clean, **env})
        return re.search("^bind = (.*)$", shown.stdout, re.M)[1]

    assert bound({"RUNTIME_DIRECTORY": "/run/x:/run/y"}) == "unix:/run/x/c.sock"
    assert bound({"RUNTIME_DIRECTORY": "/run/x"}, "runtime_dir = /run/mine/") == "unix:/run/mine/c.sock"
    if os.geteuid() == 0:
        assert bound({}) == "unix:/run/ccserver/c.sock"


def test_a_folder_of_somebody_else(serve, tmp_path):
    """The socket is not made where others could replace it."""
    folder = tmp_path / "run"
    folder.mkdir()
    folder.chmod(0o777)
    server = serve(listen("pingpong"), listen("control", bind=f"unix:{folder}/c.sock"), ready=False)
    server.wait_log(r"cannot listen on unix:.*: Operation not permitted")
    assert server.wait() == 1


def test_a_second_server_is_led_to_runtime_dir(serve, tmp_path):
    server = serve(listen("pingpong"), *CONTROL)
    second = serve(listen("pingpong"), *CONTROL, runtime_dir=server.dir, ready=False)
    second.wait_log(r"control.sock \(control\): Address already in use; another server may have another runtime_dir")
    assert second.wait() == 1


def test_the_folder_is_made(serve, tmp_path):
    server = serve(listen("pingpong"), listen("control", bind=f"unix:{tmp_path}/run/c.sock"))
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o755
    ctl(server, "wait", "--ready")
    assert "serving" in ctl(server, "status") and sessions(server) == []
