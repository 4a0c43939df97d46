"""SIGTTIN and SIGTTOU: one worker more, one fewer; nobody who connects notices."""
import signal
import time

from bank import WITHDRAW
from harness import Load, descriptors, group_members, listen, wait_exit

PING = b"ping", b"ping"


def grow(server):
    """One worker more, ready on return: its slot and pid."""
    since = server.mark()
    server.signal(signal.SIGTTIN)
    slot = int(server.wait_log(r"resize: (\d+) workers", since=since)[1]) - 1
    return slot, int(server.wait_log(rf"worker {slot} \(pid (\d+)\) ready", since=since)[1])


def shrink(server):
    """One worker fewer, which drains on return: how many are left."""
    since = server.mark()
    server.signal(signal.SIGTTOU)
    return int(server.wait_log(r"resize: (\d+) workers?", since=since)[1])


def expect_all_served(server, count=60):
    clients = [server.connect("pingpong") for _ in range(count)]
    for client in clients:
        client.send(PING[0])
    for client in clients:
        client.expect(PING[1])


def test_one_more_and_one_fewer(serve):
    server = serve(listen("pingpong"), workers=2)
    master, first = len(descriptors(server.pid)), server.worker_pids()
    slot, pid = grow(server)
    assert slot == 2 and server.worker_pids() == {**first, 2: pid}
    stats = server.stats()
    assert stats["master"]["workers"] == 3 and stats["workers"][2]["last_reason"] == "resize"
    assert stats["master"]["respawns"]["resize"] == 1
    expect_all_served(server)
    assert server.stats()["workers"][2]["accepted"] > 0
    assert shrink(server) == 2
    wait_exit(pid)
    assert server.worker_pids() == first
    for client in server.clients:
        client.close()
    server.await_stats(lambda s: not s["leaving"])
    shrunk = len(descriptors(server.pid))  # the sockets of slot 2 stay
    for _ in range(3):
        grow(server)
        shrink(server)
        server.await_stats(lambda s: not s["leaving"])
    assert len(descriptors(server.pid)) == shrunk >= master


def test_the_lower_limit(serve):
    server = serve(listen("pingpong"), workers=2)
    assert shrink(server) == 1
    before, since = server.worker_pids(), server.mark()
    server.signal(signal.SIGTTOU)
    server.wait_log("resize refused: .*1", since=since)
    expect_all_served(server)
    assert server.worker_pids() == before and server.stats()["master"]["workers"] == 1
    grow(server)
    assert sorted(server.worker_pids()) == [0, 1]


def test_the_last_worker_that_lives_is_not_retired(trapped):
    """The other one has asked not to be started again."""
    server = trapped(workers=2)
    while True:
        client = server.connect("trap")
        client.ask(b"hi\n", b"hi\n")
        if server.stats()["workers"][0]["sessions_open"]:
            break
        client.close()
    client.send(b"exit 2\n")
    server.wait_log("worker 0 stays down")
    server.signal(signal.SIGTTOU)
    server.wait_log("resize refused: all other workers stay down")
    server.connect("trap").ask(b"hi\n", b"hi\n")


def test_the_upper_limit(serve, trap_binary, tmp_path):
    """The workers sleep from their start on, for the sake of the machine."""
    (tmp_path / "trap").write_text("sleep 3600")
    server = serve(listen("trap"), ready=False, workers=1024, adopt_after="5m", watchdog_timeout="10m",
                   binary=trap_binary, env={"CCSERVER_TRAP": str(tmp_path / "trap")})
    server.wait_log("starts 1024 workers")
    server.signal(signal.SIGTTIN)
    server.wait_log("resize refused: .*1024", seconds=60)
    end = time.monotonic() + 60
    while len(group_members(server.pid)) < 1025:  # a few at a time, for want of an event looked at again and again
        assert time.monotonic() < end
        time.sleep(0.1)
    server.signal(signal.SIGQUIT)
    wait_exit(server.pid)
    assert server.wait() == 0


def test_who_is_served_by_a_retired_worker_may_finish(serve):
    server = serve(listen("bank"), workers=3)
    clients = [server.connect("bank") for _ in range(30)]
    for client in clients:
        client.ask(WITHDRAW + WITHDRAW[:60], WITHDRAW)
    before = server.stats()
    assert shrink(server) == 2
    (leaving,) = server.stats()["leaving"]
    retired = before["workers"][2]
    assert (leaving["slot"], leaving["pid"], leaving["sessions_open"]) == (2, retired["pid"], retired["sessions_open"])
    for client in clients:
        client.ask(WITHDRAW[60:] + WITHDRAW[:60], WITHDRAW)
    for client in clients:
        client.ask(WITHDRAW[60:], WITHDRAW)
    wait_exit(retired["pid"])
    stats = server.await_stats(lambda s: not s["leaving"])["listeners"][0]
    assert (stats["accepted"], stats["lost"]) == (30, 0)
    assert stats["sessions_open"] == 30 - retired["sessions_open"] == 30 - stats["closed"]["leaving"]


def test_queues_of_retired_slots_are_adopted_for_good(serve):
    """Also by the replacements of who has adopted them, until the slots have workers again."""
    server = serve(listen("pingpong"), workers=4)
    shrink(server)
    assert shrink(server) == 2
    expect_all_served(server)
    stats = server.stats()
    assert sum(each["adopted_queues"] for each in stats["workers"]) >= 2
    for slot, pid in server.worker_pids().items():
        server.signal(signal.SIGKILL, pid)
        server.wait_replaced(slot, pid)
        expect_all_served(server)
    grow(server)
    grow(server)
    server.await_stats(lambda s: not any(each["adopted_queues"] for each in s["workers"]))
    expect_all_served(server)


def test_what_waits_in_the_queue_of_a_retired_worker_is_served(serve):
    server = serve(listen("pingpong"), workers=3, watchdog_timeout="60s")
    pid = server.worker_pids()[2]
    server.signal(signal.SIGSTOP, pid)
    clients = [server.connect("pingpong") for _ in range(40)]
    for client in clients:
        client.send(PING[0])
    shrink(server)
    for client in clients:
        client.expect(PING[1])
    server.signal(signal.SIGCONT, pid)
    wait_exit(pid)


def test_four_two_four_a_hundred_times(serve):
    """While clients connect as fast as they can: none is refused, reset, or left without its answer."""
    server = serve(listen("pingpong"), workers=4)
    with Load(server, "pingpong", *PING) as load:
        for _ in range(100):
            shrink(server)
            assert shrink(server) == 2
            grow(server)
            assert grow(server)[0] == 3
        load.wait_more(50)
    load.expect_perfect()
    print(f"{load.connected} connections")
    stats = server.await_stats(lambda s: s["listeners"][0]["sessions_open"] == 0 and not s["leaving"])
    assert (stats["listeners"][0]["accepted"], stats["listeners"][0]["lost"]) == (load.connected, 0)
    assert stats["master"]["respawns"] == {"signal": 0, "exit": 0, "hang": 0, "reload": 0, "resize": 200,
                                             "recycle": 0, "operator": 0, "upgrade": 0}
    assert load.connected > 200  # one for each step, at least, however busy the machine is


def test_a_retired_worker_that_hangs_is_killed(serve):
    server = serve(listen("bank"), workers=2, watchdog_timeout="500ms", drain_timeout="60s")
    clients = [server.connect("bank") for _ in range(30)]
    for client in clients:
        client.ask(WITHDRAW + WITHDRAW[:60], WITHDRAW)
    pid = server.worker_pids()[1]
    shrink(server)
    server.signal(signal.SIGSTOP, pid)
    server.wait_log(rf"worker 1 \(pid {pid}\) killed by SIGKILL")
    server.await_stats(lambda s: not s["leaving"])
    assert len(group_members(server.pid)) == 2, "it is not replaced"
    for client in clients:
        client.close()


def test_a_new_worker_is_told_what_the_others_were(serve):
    """Growing after a reload takes the configuration in effect."""
    server = serve(listen("pingpong"), workers=1)
    server.reload(listen("pingpong", idle_timeout="200ms"))
    grow(server)
    clients = [server.connect("pingpong") for _ in range(20)]
    start = time.monotonic()
    for client in clients:
        client.expect_end()
    assert time.monotonic() - start < 10
    assert server.stats()["workers"][1]["closed"]["idle"] > 0


def test_a_stop_shuts_the_queues_of_retired_workers_in_silence(serve):
    """All that are left have adopted them; whoever stops first shuts them for the others."""
    server = serve(listen("bank"), listen("pingpong"), workers=2)
    grow(server)
    shrink(server)
    server.wait_log(r"worker 2 \(pid \d+\) exited")
    server.signal(signal.SIGTERM)
    server.wait_log("stopped$")
    assert not [line for line in server.lines if "shut down" in line]
