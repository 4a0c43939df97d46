"""Pools: bulkheads between workers, their life by reload, `single`, recycling, and where their workers run."""
import os
import re
import signal
import time

import owner
import pytest
from harness import DEADLINE, Load, connect_to, exit_code, listen, own_address, pool, title, wait_exit

PING = b"ping", b"ping"
MAIN = listen("pingpong")


@pytest.fixture(scope="session")
def owner_binary(tmp_path_factory):
    return owner.build(tmp_path_factory)


@pytest.fixture
def owned(serve, owner_binary, tmp_path):
    """
    owned(sections...): a running server with that service; `server.order` is the file that says what happens to it at the
    start of its next workers.
    """
    def start(*sections, order=None, **options):
        file = tmp_path / "order"
        if order:
            file.write_text(order)
        server = serve(*sections, binary=owner_binary,
                       env={"OWNER_ORDER": str(file), "OWNER_LOCK": str(tmp_path / "lock")}, **options)
        server.order = file
        return server

    return start


def pid_of(client):
    """Which process serves it."""
    client.send(b"pid\n")
    line = b""
    while not line.endswith(b"\n"):
        line += client.recv_exactly(1)
    return int(line)


def ask_pid(server, name):
    with connect_to(server.addresses[name][0]) as client:
        return pid_of(client)


def states(stats, pool_name):
    return [each["state"] for each in stats["workers"] if each["pool"] == pool_name]


# ---- what they are ----

def test_titles_log_and_statistics_know_the_pool(serve):
    server = serve(MAIN, listen("pingpong", "echo", pool="other"), pool("other", workers=2), workers=1)
    stats = server.stats()
    assert [(each["pool"], each["slot"]) for each in stats["workers"]] == [("main", 0), ("other", 0), ("other", 1)]
    assert stats["master"]["workers"] == 3
    for name, slot, prefix in (("main", 0, "worker 0"), ("other", 0, "other worker 0"), ("other", 1, "other worker 1")):
        pid = server.worker_pids(name)[slot]
        assert title(pid) == f"ccserver: {prefix} {server.config}"
        assert any(re.search(rf"master\[\d+\]: {prefix} \(pid {pid}\) ready after", line) for line in server.lines)
    since = server.mark()
    server.signal(signal.SIGUSR1)
    server.wait_log(r"^\S+ \S+ notice master\[\d+\]:   other/1 ", since=since)
    since = server.mark()
    os.kill(server.worker_pids("other")[1], signal.SIGTERM)
    server.wait_log(r"info other worker 1\[\d+\]: draining", since=since)
    server.wait_log(r"other worker 1 \(pid \d+\) ready after", since=since)


def test_numbers_are_those_of_the_pool(serve):
    """TTIN and TTOU are a matter of main; the sessions of each pool are served by its own workers."""
    server = serve(MAIN, listen("pingpong", "echo", pool="other"), pool("other", workers=2), workers=1)
    for number, expected in ((signal.SIGTTIN, 2), (signal.SIGTTOU, 1)):
        since = server.mark()
        server.signal(number)
        server.wait_log(rf"resize: {expected} workers", since=since)
        server.await_stats(lambda stats: not stats["leaving"])
        assert len(server.worker_pids()) == expected and len(server.worker_pids("other")) == 2
    for _ in range(8):
        server.connect("echo").ask(b"x\n", b"x\n")
    accepted = {(each["pool"], each["slot"]): each["accepted"] for each in server.stats()["workers"]}
    assert accepted["main", 0] == 0 and accepted["other", 0] + accepted["other", 1] == 8


def test_an_unknown_pool_is_refused(serve):
    server = serve(MAIN)
    server.configure(listen("pingpong", pool="nobody"))
    since = server.mark()
    server.signal(signal.SIGHUP)
    server.wait_log(r"reload refused: .*:\d+: pool = nobody: there is no \[pool nobody\]", since=since)


# ---- bulkheads ----

@pytest.mark.parametrize("wound", ["kill", "loop", "crash loop", "exit 2", "hog"])
def test_what_hurts_one_pool_does_not_touch_another(owned, wound):
    server = owned(MAIN, listen("owner", "hurt", pool="hurt"), pool("hurt", workers=2, watchdog_timeout="500ms"), workers=1)
    main, since = server.worker_pids(), server.mark()
    held = server.connect("pingpong")
    with Load(server, "pingpong", *PING) as load:
        if wound == "kill":
            for pid in server.worker_pids("hurt").values():
                os.kill(pid, signal.SIGKILL)
            server.wait_log(r"hurt worker \d \(pid \d+\) ready", since=since)
        elif wound == "loop":
            for _ in range(2):
                server.connect("hurt").send(b"loop\n")
            server.wait_log(r"hurt worker \d .* is silent for \d+ ms: sending SIGABRT", since=since)
        elif wound == "hog":
            server.connect("hurt").send(b"leak 64\n")
        else:
            server.order.write_text("hurt crash" if wound == "crash loop" else "hurt fail")
            for pid in server.worker_pids("hurt").values():
                os.kill(pid, signal.SIGKILL)
            server.wait_log(r"the pool hurt cannot run", since=since)
        load.wait_more(200)
        server.order.unlink(missing_ok=True)
    load.expect_perfect()
    held.ask(*PING)
    assert server.worker_pids() == main
    if wound == "exit 2":
        server.signal(signal.SIGHUP)
    ask_pid(server, "hurt")  # who waits for it is served when it runs again
    server.await_stats(lambda stats: all(each["state"] == "ready" for each in stats["workers"]))
    for client in server.clients:
        client.close()


def p99(client):
    """Of the time that an answer takes, seconds."""
    times = []
    for _ in range(500):
        begun = time.monotonic()
        client.ask(*PING)
        times.append(time.monotonic() - begun)
    return sorted(times)[-len(times) // 100]


def test_a_pool_that_hangs_does_not_slow_another_down(owned):
    """Within what the machine's other work makes of it: one of ten tries must show no difference."""
    server = owned(MAIN, listen("owner", "hurt", pool="hurt"), pool("hurt", workers=2), workers=1)
    client, ratios = server.connect("pingpong"), []
    while not ratios or min(ratios) > 1.5:
        assert len(ratios) < 10, ratios
        before, since = p99(client), server.mark()
        victims = [server.connect("hurt") for _ in range(4)]
        for each in victims:
            each.send(b"hang 400\n")
        server.wait_log(r"hurt worker \d \(pid \d+\) is silent", since=since)
        ratios.append(p99(client) / before)
        for each in victims:
            pid_of(each)


@pytest.mark.parametrize("order", ["hurt fail", "hurt crash"])
def test_a_pool_that_cannot_run_at_the_start(owned, order):
    server = owned(MAIN, listen("owner", "hurt", pool="hurt"), pool("hurt"), order=order, workers=1)
    server.wait_log("warn .*ready without the pool hurt")
    server.baseline.clear()  # what belongs to its workers is still to come
    server.connect("pingpong").ask(*PING)
    server.order.unlink()
    if order == "hurt fail":
        server.signal(signal.SIGHUP)
    ask_pid(server, "hurt")
    server.wait_log("the pool hurt runs again")


def test_when_no_pool_can_run_the_master_ends(owned):
    server = owned(listen("owner", "hurt"), listen("owner", "more", pool="more"), pool("more"), order="hurt fail", workers=1,
                   ready=False)
    server.wait_log("ready: 1 workers")
    server.addresses["more"] = [server.wait_log(r"listening on (\S+) \(more\)")[1]]
    with connect_to(server.addresses["more"][0]) as client:
        client.send(b"exit 2\n")
    server.wait_log("no worker can run: stopping")
    assert server.wait() == 1


# ---- by reload ----

def test_pools_come_and_go_by_reload(serve):
    server = serve(MAIN, listen("pingpong", "echo"), workers=1)
    address = server.addresses["echo"][0]
    own = {"bind": address}
    with Load(server, "pingpong", *PING) as load, Load(server, "echo", b"x\n", b"x\n") as other:
        for sections in ([listen("pingpong", "echo", pool="other", **own), pool("other", workers=3)],
                         [listen("pingpong", "echo", pool="other", **own), pool("other", workers=1)],
                         [listen("pingpong", "echo", pool="more", **own), pool("more", workers=2)],
                         [listen("pingpong", "echo", **own)]) * 2:
            since = server.mark()
            server.reload(MAIN, *sections)
            workers = int(re.search(r"workers = (\d)", "".join(sections + ["workers = 0"]))[1])
            server.wait_log(r"reload: \[(pool \w+|listen echo)\] [+-] ", since=since)
            load.wait_more(30)
            other.wait_more(30)
            server.await_stats(lambda stats: not stats["leaving"])
            assert len(server.stats()["workers"]) == 1 + workers
    load.expect_perfect()
    other.expect_perfect()


def test_a_pool_without_a_listener_has_no_workers(serve):
    server = serve(MAIN, pool("nobody", workers=3), workers=1)
    server.wait_log(r"warn .*\[pool nobody\] has no listener, and so no worker")
    assert len(server.stats()["workers"]) == 1


# ---- single ----

SINGLE = [MAIN, listen("owner", pool="single"), pool("single", single="on")]


def expect_one_owner(server):
    assert not [line for line in server.lines if "two owners" in line], server.tail()


def change(server, how):
    server.reload() if how == "reload" else server.upgrade()


@pytest.mark.parametrize("how", ["reload", "upgrade"])
def test_a_single_pool_is_replaced_under_load(owned, how):
    server = owned(*SINGLE, workers=1)
    with Load(server, "pingpong", *PING) as load, Load(server, "owner", b"", b"") as other:
        for _ in range(4):
            old, since = server.worker_pids("single")[0], server.mark()
            change(server, how)
            served = server.mark()
            # The others are ready, the old one is gone, the new one is ready; and all of that before the change.
            left = server.wait_log("the pool single makes room", since=since)
            gone = server.wait_log(rf"worker 0 \(pid {old}\) exited", since=since)
            new = server.wait_log(r"single worker 0 \(pid (\d+)\) ready", since=since)
            at = [server.lines.index(match.string) for match in (left, gone, new)]
            assert at == sorted(at) and at[-1] < served
            assert ask_pid(server, "owner") == int(new[1])
            load.wait_more(20)
            server.wait_replaced_masters()
            server.await_stats(lambda stats: not stats["leaving"])
    load.expect_perfect()
    assert not other.refused, other.refused[0]
    expect_one_owner(server)


@pytest.mark.parametrize("how", ["reload", "upgrade"])
def test_clients_of_a_single_pool_wait(owned, how):
    """None is refused and none is reset: each is answered, by the old worker or by the new one."""
    server = owned(*SINGLE, workers=1)
    seen = set()
    with Load(server, "pingpong", *PING) as load:
        change_at, changed = time.monotonic() + 0.2, False
        end = time.monotonic() + DEADLINE
        while len(seen) < 2:
            assert time.monotonic() < end
            seen.add(ask_pid(server, "owner"))
            if not changed and time.monotonic() > change_at:
                changed = True
                server.touch()
                server.signal(signal.SIGHUP if how == "reload" else signal.SIGUSR2)
    load.expect_perfect()
    if how == "upgrade":
        server.replaced.append(server.pid)
        server.pid = int(server.wait_log(r"upgrade: pid (\d+) is in charge")[1])
    else:
        server.wait_log(r"reload: generation \d+ serves")
    expect_one_owner(server)


@pytest.mark.parametrize("order", ["owner fail-once", "owner crash"])
@pytest.mark.parametrize("how", ["reload", "upgrade"])
def test_a_single_pool_that_cannot_start_is_taken_back(owned, how, order):
    server = owned(*SINGLE, workers=1)
    main, since = server.worker_pids(), server.mark()
    server.order.write_text(order)
    with Load(server, "pingpong", *PING) as load:
        server.touch()
        server.signal(signal.SIGHUP if how == "reload" else signal.SIGUSR2)
        server.wait_log("the pool single makes room", since=since)
        server.wait_log(r"reload refused: a worker of it died" if how == "reload" else r"upgrade failed: ", since=since)
        server.order.unlink(missing_ok=True)
        server.wait_log("the worker of the pool single is started again", since=since)
        ask_pid(server, "owner")
    load.expect_perfect()
    assert server.worker_pids() == main
    server.await_stats(lambda stats: states(stats, "single") == ["ready"])
    expect_one_owner(server)


def test_a_single_worker_that_dies_or_leaves_is_followed_by_one(owned):
    server = owned(*SINGLE, workers=1)
    for number in (signal.SIGKILL, signal.SIGTERM) * 3:
        pid = ask_pid(server, "owner")
        held = server.connect("owner")
        pid_of(held)
        os.kill(pid, number)
        held.expect_gone()
        wait_exit(pid)
        assert ask_pid(server, "owner") != pid
    expect_one_owner(server)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["reload", "upgrade"])
def test_a_start_may_take_long_if_it_beats(owned, how):
    """Longer than the watchdog allows for silence, and longer than a reload or an upgrade waits for silence."""
    server = owned(*SINGLE, workers=1, watchdog_timeout="1s")
    since = server.mark()
    server.order.write_text("owner slow 240")
    server.touch()
    server.signal(signal.SIGHUP if how == "reload" else signal.SIGUSR2)
    pattern = r"reload: generation \d+ serves" if how == "reload" else r"upgrade: pid (\d+) is in charge"
    match = server.wait_log(pattern, since=since, seconds=2 * DEADLINE)
    server.order.unlink()
    if how == "upgrade":
        server.replaced.append(server.pid)
        server.pid = int(match[1])
    assert not [line for line in server.lines if "SIGABRT" in line]
    ask_pid(server, "owner")


def begin_slow_change(server, how):
    """The old worker is gone, and the new one takes its time. The pid of the candidate, if there is one."""
    since, pid = server.mark(), None
    server.order.write_text("owner slow 200")
    server.touch()
    server.signal(signal.SIGHUP if how == "reload" else signal.SIGUSR2)
    if how == "upgrade":
        pid = int(server.wait_log(r"upgrade: starting \S+ \(pid (\d+)\)", since=since)[1])
    server.wait_log("the pool single makes room", since=since)
    server.wait_log(r"single worker 0|worker 0 \(pid \d+\) exited with code 0", since=since)
    time.sleep(0.3)
    return pid


@pytest.mark.parametrize("how", ["reload", "upgrade"])
def test_a_stop_while_a_single_pool_changes(owned, how):
    server = owned(*SINGLE, workers=1, drain_timeout="1s")
    begin_slow_change(server, how)
    server.signal(signal.SIGTERM)
    server.wait_log("stopping: SIGTERM")
    assert server.wait() == 0
    assert not server.members()
    expect_one_owner(server)


def test_a_candidate_that_dies_while_a_single_pool_changes(owned):
    """Its worker ends by itself; the old one is not started again before that."""
    server = owned(*SINGLE, workers=1)
    with Load(server, "pingpong", *PING) as load:
        os.kill(begin_slow_change(server, "upgrade"), signal.SIGKILL)
        server.order.unlink()
        server.wait_log("upgrade failed: the new binary was killed by SIGKILL")
        ask_pid(server, "owner")
    load.expect_perfect()
    server.await_stats(lambda stats: states(stats, "single") == ["ready"])
    expect_one_owner(server)


def test_a_master_that_dies_while_a_single_pool_changes(owned):
    """The candidate is all that is left, and serves."""
    server = owned(*SINGLE, workers=1)
    main = server.worker_pids()[0]
    pid = begin_slow_change(server, "upgrade")
    server.order.unlink()
    os.kill(server.pid, signal.SIGKILL)
    server.process.wait()
    server.pid, server.stays = pid, False
    server.wait_log("upgrade: this master is in charge")
    exit_code(main)
    ask_pid(server, "owner")
    expect_one_owner(server)


def test_a_master_that_dies_before_its_single_worker_has_gone(owned):
    """The candidate does not start its own beside it, whether somebody has reaped that master or not."""
    server = owned(*SINGLE, workers=1)
    workers = [server.worker_pids()[0], server.worker_pids("single")[0]]
    client = server.connect("owner")
    client.send(b"half a line")
    since = server.mark()
    server.signal(signal.SIGUSR2)
    pid = int(server.wait_log(r"upgrade: starting \S+ \(pid (\d+)\)", since=since)[1])
    server.wait_log(r"the pool single makes room", since=since)
    os.kill(server.pid, signal.SIGKILL)
    server.wait_log("upgrade: this master is in charge")
    server.process.wait()
    server.pid, server.stays = pid, False
    client.expect_gone()
    server.clients.remove(client)
    for pid in workers:
        exit_code(pid)
    ask_pid(server, "owner")
    expect_one_owner(server)


@pytest.mark.parametrize("before, after", [("on", "off"), ("off", "on")])
def test_an_upgrade_does_not_change_single(owned, before, after):
    """Which takes a reload, where both sides are known."""
    sections = SINGLE[:-1]
    server = owned(*sections, pool("single", single=before), workers=1)
    server.configure(*sections, pool("single", single=after))
    since = server.mark()
    server.signal(signal.SIGUSR2)
    server.wait_log(r"upgrade failed: .*\[pool single\]: `single` changes, for which a reload is needed", since=since)
    server.reload()
    ask_pid(server, "owner")
    expect_one_owner(server)


def test_a_listener_that_a_refused_reload_removes_goes_on(owned):
    """Its clients wait while the single worker is changed, and back."""
    extra = own_address(), own_address()
    server = owned(MAIN, listen("owner", bind=extra[0], pool="single"), listen("pingpong", "extra", bind=extra[1], pool="single"),
                   pool("single", single="on"), workers=1)
    with Load(server, "extra", *PING) as load:
        load.wait_more(50)
        server.order.write_text("owner fail-once")
        server.configure(MAIN, listen("owner", bind=extra[0], pool="single"), pool("single", single="on"))
        since = server.mark()
        server.signal(signal.SIGHUP)
        server.wait_log("reload refused", since=since)
        server.wait_log("the worker of the pool single is started again", since=since)
        load.wait_more(50)
    load.expect_perfect()


def test_a_stop_says_nothing_of_workers_that_start(owned):
    server = owned(*SINGLE, listen("owner", "hurt", pool="hurt"), pool("hurt"), order="hurt fail", workers=1)
    server.baseline.clear()
    server.wait_log("the pool hurt cannot run")
    server.order.unlink()
    begin_slow_change(server, "reload")
    since = server.mark()
    server.signal(signal.SIGTERM)
    server.wait()
    said = "\n".join(server.lines[since:])
    assert "is started again" not in said and "runs again" not in said


def test_a_worker_of_the_next_generation_that_leaves(owned):
    """Before it serves: the reload is refused."""
    server = owned(MAIN, listen("owner", "hurt", pool="hurt"), pool("hurt", workers=1), workers=1)
    server.order.write_text("hurt slow 20")
    server.touch()
    since = server.mark()
    server.signal(signal.SIGHUP)
    pid = int(server.wait_log(r" worker 0 \(pid (\d+)\) ready", since=since)[1])
    os.kill(pid, signal.SIGTERM)
    server.wait_log("reload refused: a worker of it leaves", since=since)
    server.connect("pingpong").ask(*PING)


# ---- recycling ----

def test_a_worker_that_has_served_enough_is_replaced(serve):
    server = serve(MAIN, workers=2, recycle_sessions=50)
    pids, held = server.worker_pids(), server.connect("pingpong")
    held.ask(b"ping", b"ping")
    with Load(server, "pingpong", *PING) as load:
        for slot in range(2):
            server.wait_log(rf"notice master\[\d+\]: worker {slot} \(pid {pids[slot]}\) has served \d+ sessions: it is replaced")
    load.expect_perfect()
    held.close()
    stats = server.await_stats(lambda stats: not stats["leaving"])
    assert stats["master"]["respawns"]["recycle"] >= 2


def test_a_worker_that_has_grown_is_replaced(owned):
    server = owned(MAIN, listen("owner", pool="hog"), pool("hog", single="on", recycle_memory="64m"), workers=1)
    main, first = server.worker_pids(), server.connect("owner")
    pid = pid_of(first)
    first.send(b"leak 100\n")
    with Load(server, "pingpong", *PING) as load:
        server.wait_log(rf"hog worker 0 \(pid {pid}\) has grown to \d+ KiB: it is replaced")
        first.expect_gone()
        assert ask_pid(server, "owner") != pid
    load.expect_perfect()
    assert server.worker_pids() == main
    expect_one_owner(server)


# ---- where they run ----

def nice_of(pid):
    return os.getpriority(os.PRIO_PROCESS, pid)


def test_cpus_and_nice(serve):
    allowed = sorted(os.sched_getaffinity(0))
    server = serve(MAIN, listen("pingpong", "echo", pool="pinned"), pool("pinned", cpus=allowed[-1], nice=5),
                   listen("bank", pool="spread"), pool("spread", workers=3, cpus="auto"), workers=1)
    main, pinned, spread = server.worker_pids(), server.worker_pids("pinned"), server.worker_pids("spread")
    assert os.sched_getaffinity(main[0]) == set(allowed) == os.sched_getaffinity(server.pid)
    assert os.sched_getaffinity(pinned[0]) == {allowed[-1]}
    for slot, pid in spread.items():
        assert os.sched_getaffinity(pid) == {allowed[slot % len(allowed)]}
    assert [nice_of(pid) - nice_of(server.pid) for pid in (main[0], pinned[0], spread[0])] == [0, 5, 0]
    server.connect("echo").ask(b"x\n", b"x\n")
