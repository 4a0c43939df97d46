"""Workers are killed ten times a second while clients open connections as fast as they can."""
import datetime
import signal
import time

from harness import Load, listen


def test_no_connection_is_refused_or_reset_before_it_was_accepted(serve):
    """
    Only sessions that a victim had accepted are lost, and they are counted; besides at most one for each kill, which
    was accepted and not yet counted.
    """
    server = serve(listen("pingpong"), workers=4)
    pids, latencies, kills = server.worker_pids(), [], 30
    with Load(server, "pingpong", b"ping", b"ping") as load:
        for turn in range(kills):
            next_kill, slot, pid = time.monotonic() + 0.1, turn % 4, pids[turn % 4]
            at = datetime.datetime.now()
            server.signal(signal.SIGKILL, pid)
            pids[slot] = server.wait_replaced(slot, pid)
            ready = server.wait_log(rf"worker {slot} \(pid {pids[slot]}\) ready").string
            latencies.append((datetime.datetime.fromisoformat(ready[:23]) - at).total_seconds() * 1000)
            time.sleep(max(0, next_kill - time.monotonic()))
        load.wait_more(100)
    latencies.sort()
    print(f"{load.connected} connections, {kills} kills, {len(load.ended)} sessions lost; from kill to ready: "
          f"median {latencies[kills // 2]:.0f} ms, longest {latencies[-1]:.0f} ms")
    assert not load.refused, load.refused[0]
    assert not load.wrong, load.wrong[0]
    stats = server.await_stats(lambda s: s["listeners"][0]["sessions_open"] == 0)
    lost, accepted = stats["listeners"][0]["lost"], stats["listeners"][0]["accepted"]
    assert len(load.ended) <= lost + kills
    assert load.connected - kills <= accepted <= load.connected
    assert stats["master"]["respawns"]["signal"] == kills
    assert load.connected > 10 * kills, "too few connections to prove anything"
