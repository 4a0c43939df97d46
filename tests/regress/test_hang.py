"""Workers that hang, fail at their start or give up: their clients are served by the others, and they are replaced."""
import datetime
import re
import signal
import subprocess
import time

import pytest
from bank import WITHDRAW
from harness import TICK, connect_to, group_members, listen, process_stat, wait_exit

PING = b"ping", b"ping"
SILENT = r"worker (\d+) \(pid (\d+)\) is silent for (\d+) ms: "
ADOPTED = SILENT + "its siblings adopt its accept queues"


def seconds_of(line):
    """The time at the beginning of a line of the log."""
    return datetime.datetime.fromisoformat(line[:23]).timestamp()


def worker(stats, slot):
    return next(each for each in stats["workers"] if each["slot"] == slot)


def expect_all_served(server, count=40, name="pingpong", talk=PING):
    """New connections, whose accept queues the kernel chooses at random, are answered, all of them."""
    clients = [server.connect(name) for _ in range(count)]
    for client in clients:
        client.send(talk[0])
    for client in clients:
        client.expect(talk[1])
    return clients


def await_adopted(server, slot):
    """Its queues are served by others, and who does so is counted."""
    return server.await_stats(lambda s: worker(s, slot)["adopted"] and sum(w["adopted_queues"] for w in s["workers"]))


def await_released(server):
    """Each worker serves its own queues and no others."""
    return server.await_stats(lambda s: not any(w["adopted"] or w["adopted_queues"] for w in s["workers"]))


def expect_nobody_was_harmed(server):
    harm = re.compile(r"sending SIG|killed by|exited with")
    assert not [line for line in server.lines if harm.search(line)], server.tail()


# ---- adoption ----

def test_a_stopped_worker_is_adopted_until_it_beats_again(serve):
    server = serve(listen("pingpong"), workers=3, watchdog_timeout="60s")
    pids = server.worker_pids()
    expect_all_served(server, 60)
    stopped = time.monotonic()
    server.signal(signal.SIGSTOP, pids[1])
    expect_all_served(server)  # 1 in 10,000,000: none of them waits in the queue of the stopped one
    found = server.wait_log(ADOPTED)
    assert (int(found[1]), int(found[2])) == (1, pids[1])
    assert 250 <= int(found[3]) <= (time.monotonic() - stopped) * 1000 + 250
    before = await_adopted(server, 1)
    assert not worker(before, 0)["adopted"] and not worker(before, 2)["adopted"]
    assert worker(before, 1)["adopted_queues"] == 0
    expect_all_served(server)
    during = server.stats()
    assert worker(during, 1)["accepted"] == worker(before, 1)["accepted"]

    server.signal(signal.SIGCONT, pids[1])
    server.wait_log(rf"worker 1 \(pid {pids[1]}\) beats again: its accept queues are its own")
    await_released(server)
    expect_all_served(server, 60)
    assert worker(server.stats(), 1)["accepted"] > worker(during, 1)["accepted"]
    assert server.worker_pids() == pids
    expect_nobody_was_harmed(server)


def test_a_worker_without_siblings_is_adopted_by_nobody(serve):
    """And nobody says so; not after a resize either, which has left none."""
    server = serve(listen("pingpong"), workers=2, watchdog_timeout="60s")
    since = server.mark()
    server.signal(signal.SIGTTOU)
    server.wait_log("resize: 1 worker", since=since)
    (pid,) = server.worker_pids().values()
    server.signal(signal.SIGSTOP, pid)
    assert "no sibling runs to adopt its accept queues" in server.wait_log(SILENT, since=since).string
    server.signal(signal.SIGCONT, pid)
    server.wait_log(rf"\(pid {pid}\) beats again", since=since)
    expect_all_served(server)


def test_sessions_of_a_stopped_worker_go_on_when_it_does(serve):
    server = serve(listen("pingpong"), workers=3, watchdog_timeout="60s")
    pid = server.worker_pids()[1]
    sessions = expect_all_served(server, 30)
    server.signal(signal.SIGSTOP, pid)
    for client in sessions:
        client.send(b"pong")
    server.wait_log(ADOPTED)
    server.signal(signal.SIGCONT, pid)
    for client in sessions:
        client.expect(b"pong")
        client.ask(*PING)


def test_adopt_after(serve):
    server = serve(listen("pingpong"), adopt_after="900ms", watchdog_timeout="60s")
    pid, stopped = server.worker_pids()[0], time.monotonic()
    server.signal(signal.SIGSTOP, pid)
    found = server.wait_log(ADOPTED)
    assert time.monotonic() - stopped >= 0.4 - TICK  # it may have beaten for the last time half of it before
    assert int(found[3]) >= 900
    expect_all_served(server)
    server.signal(signal.SIGCONT, pid)
    await_released(server)


@pytest.mark.parametrize("bind", ["127.0.0.1:0", "[::1]:0", "unix:{}/s"], ids=["ipv4", "ipv6", "unix"])
def test_every_kind_of_address_is_adopted(serve, tmp_path, bind):
    server = serve(listen("pingpong", bind=bind.format(tmp_path)), workers=2, watchdog_timeout="60s")
    pid = server.worker_pids()[0]
    server.signal(signal.SIGSTOP, pid)
    expect_all_served(server, 30)
    server.wait_log(ADOPTED)
    expect_all_served(server, 30)
    server.signal(signal.SIGCONT, pid)
    await_released(server)


def test_two_of_three_are_adopted_by_the_third(serve):
    server = serve(listen("pingpong"), listen("bank"), workers=3, watchdog_timeout="60s")
    pids = server.worker_pids()
    for slot in 0, 2:
        server.signal(signal.SIGSTOP, pids[slot])
    expect_all_served(server)
    expect_all_served(server, name="bank", talk=(WITHDRAW, WITHDRAW))
    stats = server.await_stats(lambda s: worker(s, 0)["adopted"] and worker(s, 2)["adopted"])
    assert [w["adopted_queues"] for w in stats["workers"]] == [0, 2, 0]
    server.signal(signal.SIGCONT, pids[0])
    server.wait_log("worker 0 .* beats again")
    stats = server.await_stats(lambda s: not worker(s, 0)["adopted"])
    assert worker(stats, 2)["adopted"]
    expect_all_served(server)
    server.signal(signal.SIGCONT, pids[2])
    await_released(server)
    expect_nobody_was_harmed(server)


def test_adopted_and_released_again_and_again(serve):
    """Nothing of it adds up: the footer counts descriptors."""
    server = serve(listen("pingpong"), workers=2, adopt_after="150ms", watchdog_timeout="60s")
    pids = server.worker_pids()
    for turn in range(10):
        since, slot = server.mark(), turn % 2
        server.signal(signal.SIGSTOP, pids[slot])
        server.wait_log(rf"worker {slot} .*its siblings adopt", since=since)
        expect_all_served(server, 10)
        server.signal(signal.SIGCONT, pids[slot])
        server.wait_log(rf"worker {slot} .*beats again", since=since)
    await_released(server)
    expect_all_served(server)
    assert server.worker_pids() == pids


# ---- the watchdog ----

def test_a_stopped_worker_is_killed_and_replaced(serve):
    server = serve(listen("pingpong"), workers=3, watchdog_timeout="1s")
    sessions = expect_all_served(server, 30)
    before = server.stats()
    pid, theirs = worker(before, 1)["pid"], worker(before, 1)["sessions_open"]
    server.signal(signal.SIGSTOP, pid)
    abort = server.wait_log(SILENT + "sending SIGABRT")
    kill = server.wait_log(SILENT + "sending SIGKILL")
    server.wait_log(rf"worker 1 \(pid {pid}\) killed by SIGKILL after")
    assert int(abort[3]) >= 1000 and abort[2] == kill[2] == str(pid)
    assert 0.49 <= seconds_of(kill.string) - seconds_of(abort.string) < 3
    server.wait_replaced(1, pid)
    after = await_released(server)
    assert after["listeners"][0]["lost"] == theirs
    reasons = {"signal": 0, "exit": 0, "hang": 1, "reload": 0, "resize": 0, "recycle": 0, "operator": 0,
               "upgrade": 0}
    assert after["master"]["respawns"] == worker(after, 1)["respawns"] == reasons
    assert worker(after, 0)["respawns"] == {**reasons, "hang": 0}
    assert worker(after, 1)["last_reason"] == "hang"
    expect_all_served(server)
    alive = 0
    for client in sessions:
        try:
            client.ask(*PING)
            alive += 1
        except ConnectionError:
            pass
        except AssertionError as error:
            assert "closed after" in str(error)
    assert alive == len(sessions) - theirs


def test_the_only_worker_is_replaced(serve):
    """There is nobody to adopt its queue, so that its replacement serves who waits there."""
    server = serve(listen("pingpong"), workers=1, watchdog_timeout="500ms")
    pid = server.worker_pids()[0]
    server.signal(signal.SIGSTOP, pid)
    expect_all_served(server)
    assert server.worker_pids()[0] != pid


def test_all_workers_at_once(serve):
    server = serve(listen("pingpong"), workers=3, watchdog_timeout="500ms")
    pids = server.worker_pids()
    for pid in pids.values():
        server.signal(signal.SIGSTOP, pid)
    expect_all_served(server)
    for slot, pid in pids.items():
        server.wait_replaced(slot, pid)
    assert await_released(server)["master"]["respawns"]["hang"] == 3


def functions_in_backtrace(server, binary):
    """What the lines of the log with an address in the binary speak of: functions, or offsets to be looked up."""
    log = "\n".join(server.lines)
    named, offsets = (set(re.findall(rf"worker \d+\({what}", log)) for what in (r"(\w+)\+0x", r"\+(0x[0-9a-f]+)\)"))
    found = subprocess.run(["addr2line", "-f", "-e", binary, *offsets], capture_output=True, text=True,
                           stdin=subprocess.DEVNULL)
    return named | set(found.stdout.splitlines()[::2])


@pytest.mark.parametrize("how", ["loop", "block"])
def test_a_service_that_hangs(trapped, trap_binary, how):
    """Siblings serve while it hangs; the log tells where it does; it is replaced."""
    server = trapped(workers=3, watchdog_timeout="3s")
    victim = server.connect("trap")
    victim.send(how.encode() + b"\n")
    found = server.wait_log(ADOPTED)
    slot, pid = int(found[1]), int(found[2])
    expect_all_served(server, name="trap", talk=(b"hi\n", b"hi\n"))
    await_adopted(server, slot)
    assert process_stat(pid), "they were to be served while it hangs"
    expect_nobody_was_harmed(server)

    server.wait_log(SILENT + "sending SIGABRT")
    server.wait_log(rf"worker {slot} \(pid {pid}\) killed by SIGABRT after")
    victim.expect_gone()
    server.wait_replaced(slot, pid)
    assert f"trap_{how}" in functions_in_backtrace(server, trap_binary), server.tail()
    assert not any("sending SIGKILL" in line for line in server.lines)
    stats = await_released(server)
    assert stats["master"]["respawns"]["hang"] == 1 and worker(stats, slot)["last_reason"] == "hang"
    expect_all_served(server, name="trap", talk=(b"hi\n", b"hi\n"))


def test_a_worker_that_hangs_at_its_start(trapped):
    """It has never beaten, and it is replaced as well."""
    server = trapped(workers=2, watchdog_timeout="500ms")
    pid = server.worker_pids()[1]
    server.trap.write_text("sleep 3600")
    server.signal(signal.SIGKILL, pid)
    hung = int(server.wait_log(r"worker 1 \(pid (\d+)\) is silent for \d+ ms: sending SIGABRT")[1])
    assert hung != pid
    expect_all_served(server, name="trap", talk=(b"hi\n", b"hi\n"))
    server.trap.unlink()
    server.wait_log(r"worker 1 \(pid (?!%d\b)\d+\) ready" % pid)
    stats = await_released(server)
    assert stats["master"]["respawns"]["hang"] >= 1 and stats["master"]["respawns"]["signal"] == 1


@pytest.mark.parametrize("who", ["master and workers", "master"])
def test_a_pause_of_the_master_kills_nobody(serve, who):
    """As of a suspended machine: it wakes up late, and so has everybody else."""
    server = serve(listen("pingpong"), workers=3, watchdog_timeout="600ms")
    sessions = expect_all_served(server, 20)
    pids = server.worker_pids()
    paused = [server.pid, *(pids.values() if who == "master and workers" else [])]
    for _ in range(2):
        for pid in paused:
            server.signal(signal.SIGSTOP, pid)
        time.sleep(1.5)  # longer than the watchdog waits
        for pid in paused:  # the master first
            server.signal(signal.SIGCONT, pid)
    end = time.monotonic() + 1.5  # the watchdog's time passes once more, and then some
    while time.monotonic() < end:
        for client in sessions:
            client.ask(*PING)
            time.sleep(0.01)
    assert server.worker_pids() == pids
    expect_nobody_was_harmed(server)
    await_released(server)


# ---- workers that cannot start ----

@pytest.mark.parametrize("trap", ["exit 1", "signal 9"])
def test_a_crash_loop_backs_off_to_a_second(trapped, trap):
    server = trapped(workers=3)
    pid = server.worker_pids()[1]
    server.trap.write_text(trap)
    server.signal(signal.SIGKILL, pid)
    waits, seen = [], server.mark()
    while waits[-2:] != [1000, 1000]:
        found = server.wait_log(r"worker 1 will be started again in (\d+) ms", since=seen)
        seen = server.lines.index(found.string, seen) + 1
        waits.append(int(found[1]))
        if len(waits) % 3 == 0:
            expect_all_served(server, 20, name="trap", talk=(b"hi\n", b"hi\n"))
    assert waits[0] <= 50 and all(later == min(2 * earlier, 1000) for earlier, later in zip(waits, waits[1:])), waits
    expect_all_served(server, name="trap", talk=(b"hi\n", b"hi\n"))
    stats = await_adopted(server, 1)
    assert {w["slot"]: w["adopted"] for w in stats["workers"]} == {0: False, 1: True, 2: False}
    reason = "exit" if trap.startswith("exit") else "signal"
    assert worker(stats, 1)["respawns"][reason] >= len(waits) - 1
    assert worker(stats, 1)["last_reason"] == reason
    server.trap.unlink()  # it has never given up
    server.wait_log(r"worker 1 \(pid \d+\) ready", since=seen)
    await_released(server)
    expect_all_served(server, name="trap", talk=(b"hi\n", b"hi\n"))


@pytest.mark.parametrize("when", ["at its start", "later"])
def test_a_worker_that_gives_up_stays_down(trapped, when):
    """Its queues are adopted for good."""
    server = trapped(workers=3)
    pid = server.worker_pids()[1]
    if when == "later":
        client = server.connect("trap")
        client.send(b"exit 2\n")
        client.expect_gone()
    else:
        server.trap.write_text("exit 2")
        server.signal(signal.SIGKILL, pid)
    slot = int(server.wait_log(r"worker (\d+) stays down: it asked not to be started again")[1])
    stats = await_adopted(server, slot)
    assert (worker(stats, slot)["pid"], worker(stats, slot)["state"]) == (0, "down")
    expect_all_served(server, 60, name="trap", talk=(b"hi\n", b"hi\n"))
    for other in {0, 1, 2} - {slot}:  # and also by the replacements of who adopted them
        pid = worker(stats, other)["pid"]
        server.trap.unlink(missing_ok=True)
        server.signal(signal.SIGKILL, pid)
        server.wait_replaced(other, pid)
    expect_all_served(server, 60, name="trap", talk=(b"hi\n", b"hi\n"))
    stats = await_adopted(server, slot)
    assert worker(stats, slot)["state"] == "down"
    assert len(group_members(server.pid)) == 3


def test_when_all_workers_have_given_up_the_master_does_too(trapped):
    server = trapped(workers=2)
    for _ in range(2):
        since = server.mark()
        client = server.connect("trap")
        client.send(b"exit 2\n")
        server.wait_log("stays down: it asked not to be started again", since=since)
    assert server.wait() == 1
    server.wait_log_end()
    assert any(re.search(r" error master\[\d+\]: no worker can run", line) for line in server.lines), server.tail()
    with pytest.raises(ConnectionRefusedError):
        connect_to(server.addresses["trap"][0])


def test_a_server_whose_workers_cannot_start_does_not_either(serve, trap_binary, tmp_path):
    (tmp_path / "trap").write_text("exit 2")
    server = serve(listen("trap"), ready=False, binary=trap_binary, env={"CCSERVER_TRAP": str(tmp_path / "trap")})
    assert server.wait() == 1
    server.wait_log_end()
    assert any(re.search(r" error master\[\d+\]: no worker can run", line) for line in server.lines), server.tail()


# ---- the death of the master ----

@pytest.mark.parametrize("how", ["loop", "block", "stopped"])
def test_a_worker_that_hangs_goes_with_its_master(trapped, serve, how):
    """It cannot see that its master is gone, and yet it is gone soon after, and so is its hold on the port."""
    server = trapped(workers=2, watchdog_timeout="60s")
    victim = server.connect("trap")
    victim.ask(b"hi\n", b"hi\n")
    slot = next(each["slot"] for each in server.stats()["workers"] if each["sessions_open"])
    pids = server.worker_pids()
    if how == "stopped":
        server.signal(signal.SIGSTOP, pids[slot])
    else:
        victim.send(how.encode() + b"\n")
    server.wait_log(ADOPTED)
    killed = time.monotonic()
    server.signal(signal.SIGKILL)
    assert server.wait() == -signal.SIGKILL
    for pid in pids.values():
        wait_exit(pid)
    assert time.monotonic() - killed < 5
    server.reap()
    again = serve(listen("pingpong", bind=server.addresses["trap"][0]))
    again.connect("pingpong").ask(*PING)
