"""ccserverctl: what it shows, what it has the server do, and what it exits with."""
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest
from harness import BINARY, DEADLINE, listen, pool, wait_exit
from prometheus_client.openmetrics import parser
from test_pools import owned, owner_binary  # noqa: F401
from test_upgrade import finish_half, half_done, replace

CTL = pathlib.Path(BINARY).with_name("ccserverctl")
DONE, REFUSED, NOT_RUNNING, NOT_ALLOWED, NO_ANSWER, USAGE = 0, 1, 3, 4, 5, 64
PING = b"ping", b"ping"


def ctl(server, *args, code=DONE, user=None):
    """What it prints."""
    config = server if isinstance(server, (str, pathlib.Path)) else server.config
    done = subprocess.run([CTL, "-c", config, *args], capture_output=True, text=True, timeout=2 * DEADLINE, user=user,
                          stdin=subprocess.DEVNULL)
    assert done.returncode == code, done.stderr or done.stdout
    assert (done.stderr == "") == (code in (DONE, REFUSED) and done.stdout != "" or code == DONE)
    return done.stdout or done.stderr


def samples(text):
    """{(name, labels): value}, of what a parser of OpenMetrics makes of it."""
    return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in parser.text_string_to_metric_families(text) for sample in family.samples}


def await_equal(get, expected):
    """The master writes its state down at the end of a turn, after the line of the log that the test has awaited."""
    end = time.monotonic() + DEADLINE
    while get() != expected and time.monotonic() < end:
        time.sleep(0.01)
    assert get() == expected


# ---- what it shows ----

def test_metrics_of_changes(serve):
    """How the last reload has ended, and when; and how far its drain is."""
    start, server = time.time(), serve(listen("echo"), workers=2)
    server.baseline.clear()
    found = lambda: {name: value for (name, labels), value in samples(ctl(server, "metrics")).items() if not labels}
    assert "ccserver_last_reload_successful" not in found() and found()["ccserver_workers_leaving"] == 0
    client = server.connect("echo")
    client.send(b"half")
    server.await_open("echo", 1)
    server.reload(linger_timeout="900ms")
    await_equal(lambda: (found()["ccserver_workers_leaving"], found()["ccserver_workers_leaving_sessions_open"]), (1, 1))
    assert found()["ccserver_last_reload_successful"] == 1
    first = found()["ccserver_last_reload_timestamp_seconds"]
    assert start <= first <= time.time()
    client.close()
    await_equal(lambda: found()["ccserver_workers_leaving"], 0)
    server.configure(*server.sections, workers="none")
    ctl(server, "reload", code=REFUSED)
    assert found()["ccserver_last_reload_successful"] == 0
    assert first < found()["ccserver_last_reload_timestamp_seconds"] <= time.time()
    turns = {dict(labels)["le"]: value for (name, labels), value in samples(ctl(server, "metrics")).items()
             if name == "ccserver_turn_duration_seconds_bucket"}
    assert list(turns.values()) == sorted(turns.values()) and turns["+Inf"] > 0


def test_status(serve):
    server = serve(listen("pingpong"), listen("echo", pool="other"), pool("other"), workers=2)
    ctl(server, "wait", "--ready")
    shown = ctl(server, "status")
    assert re.search(r"^ccserver +\S+, serving for ", shown, re.M)
    assert re.search(rf"^master +{server.pid}$", shown, re.M)
    assert re.search(rf"^configuration +{re.escape(str(server.config))}, generation 1$", shown, re.M)
    assert re.search(r"^pools +main 2/2, other 1/1$", shown, re.M)
    assert re.search(r"^last reload +none yet$", shown, re.M) and re.search(r"^last upgrade +none yet$", shown, re.M)
    times = r"p50 \S+, p90 \S+, p99 \S+, max \S+"
    assert re.search(r"^answered +-\n  last \d\S+ +-$", shown, re.M)
    server.connect("pingpong").ask(*PING)
    server.await_stats(lambda stats: sum(server.pick(stats, "pingpong")["answered"]["counts"]) == 1)
    shown = ctl(server, "status")
    assert re.search(rf"^turns +{times}\n  last \d\S+ +{times}$", shown, re.M)
    assert re.search(rf"^answered +({times})\n  last \d\S+ +\1$", shown, re.M)
    assert re.search(r"^  pingpong +answered +(\S+ +\S+ +\S+ +\S+) +\1$", ctl(server, "listeners"), re.M)


def test_all_reports_are_of_one_source(serve):
    """The JSON of ccserverctl, that of SIGUSR1 and the metrics say the same of a server that is at rest."""
    server = serve(listen("pingpong"), listen("bank"), workers=2)
    for _ in range(5):
        with server.connect("pingpong") as client:
            client.ask(*PING)
    server.await_closed("pingpong", "peer", 5)
    victim = server.worker_pids()[0]
    os.kill(victim, signal.SIGKILL)
    server.wait_replaced(0, victim)
    ctl(server, "wait", "--ready")
    # What changes from one moment to the next, and what only whoever is not the master looks at.
    moving = re.compile(r'"(time|time_ms|turns|longest_turn_us|seconds|[a-z_]*_s)": [^,}]*|"(cpu_ms|memory_bytes|descriptors)": \d+, |'
                        r'"events": \[.*?\],\n|"turn_times": \{.*?\}', re.DOTALL)
    of_signal = server.stats()
    await_equal(lambda: moving.sub("", ctl(server, "-j", "status")), moving.sub("", server.stats_file.read_text()))
    found = samples(ctl(server, "metrics"))
    for each in of_signal["listeners"]:
        labels = (("listener", each["name"]), ("pool", "main"), ("service", each["service"]))
        assert found["ccserver_sessions_accepted_total", labels] == each["accepted"]
        assert found["ccserver_received_bytes_total", labels] == each["bytes_in"]
        for reason, count in each["closed"].items():
            assert found["ccserver_sessions_closed_total", tuple(sorted((*labels, ("reason", reason))))] == count
    for reason, count in of_signal["master"]["respawns"].items():
        assert found["ccserver_worker_starts_total", (("reason", reason),)] == count
    assert found["ccserver_worker_starts_total", (("reason", "signal"),)] == 1
    assert found["ccserver_ready", ()] == 1
    shown = ctl(server, "stat", 'sessions_accepted_total{listener="pingpong"')
    assert re.fullmatch(r'ccserver_sessions_accepted_total\{.*\} 5\n', shown)
    assert ctl(server, "stat", "ccserver_generation*") == "ccserver_generation 1\n"
    assert len(ctl(server, "stat").splitlines()) == len(found)


def test_own_counters_are_metrics(example):
    server = example(listen("chat"), workers=1)
    server.connect("chat").ask(b"hello\n", b"* guest1 has come\nguest1: hello\n")
    labels = (("listener", "chat"), ("pool", "main"), ("service", "chat"))
    assert samples(ctl(server, "metrics"))["ccserver_service_lines_total", labels] == 1


def test_tables(serve):
    server = serve(listen("pingpong"), listen("echo", pool="two"), pool("two", workers=2), workers=1)
    ctl(server, "wait", "--ready")
    workers = ctl(server, "workers").splitlines()
    assert workers[0].split()[:4] == ["worker", "gen", "pid", "state"]
    assert [line.split()[0] for line in workers[1:]] == ["0", "two/0", "two/1"]
    assert [int(line.split()[2]) for line in workers[1:]] == [each["pid"] for each in server.stats()["workers"]]
    traffic, durations = ctl(server, "listeners").split("  durations")
    assert [line.split()[0] for line in traffic.splitlines()] == ["listener", "pingpong", "echo"]
    assert [line.split()[:2] for line in durations.splitlines()[1:]] == [["all", "turns"]]
    assert [line.split() for line in ctl(server, "pools").splitlines()[1:]] == [["main", "1", "1"], ["two", "2", "2"]]


def test_it_answers_while_everything_hangs(serve):
    """The master stands still, and so do all workers."""
    server = serve(listen("pingpong"), workers=2, watchdog_timeout="60s")
    stopped = [server.pid, *server.worker_pids().values()]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        assert "serving" in ctl(server, "status") and "ok" in ctl(server, "health")
        assert "no answer in time" in ctl(server, "-t", "1", "reload", code=NO_ANSWER)
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    server.wait_log("reload: nothing has changed")


# ---- what it has the server do ----

def test_reload(owned):  # noqa: F811
    """It tells how far it is, and that is not over before all of the new ones serve."""
    server = owned(listen("pingpong"), listen("owner", "hurt", pool="hurt"), pool("hurt"), workers=2)
    assert ctl(server, "reload") == "done: nothing has changed\n"
    server.order.write_text("hurt slow 10")
    server.touch()
    shown = ctl(server, "reload").splitlines()
    assert shown[0] == "checked; generation 2 starts" and "ready 2 of 3" in shown
    assert "done: a new generation serves" in shown
    server.wait_log("reload: generation 2 serves")
    assert re.search(r"last reload +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d, done: a new generation serves", ctl(server, "status"))


def test_a_refused_reload_says_where(serve):
    server = serve(listen("pingpong"))
    server.configure(listen("pingpong", nonsense=1))
    line = server.config.read_text().splitlines().index("nonsense = 1") + 1
    assert re.search(rf"{re.escape(str(server.config))}:{line}: ", ctl(server, "reload", code=REFUSED))
    assert re.search(rf"last reload .*, refused: .*:{line}: ", ctl(server, "status"))
    server.connect("pingpong").ask(*PING)


def test_upgrade(serve, tmp_path):
    (tmp_path / "ccserver").write_bytes(pathlib.Path(BINARY).read_bytes())
    (tmp_path / "ccserver").chmod(0o755)
    server = serve(listen("pingpong"), binary=tmp_path / "ccserver")
    old = server.pid
    assert ctl(server, "upgrade") == "done: a new binary serves\n"
    server.replaced.append(old)
    server.pid = int(re.search(r"^master +(\d+)$", ctl(server, "status"), re.M)[1])
    assert server.pid != old
    replace(tmp_path / "ccserver", text="#!/bin/sh\nexit 3\n")
    end = time.monotonic() + DEADLINE
    while "is under way" in (refusal := ctl(server, "upgrade", code=REFUSED)):  # until the predecessor has drained
        assert time.monotonic() < end
    assert refusal == "ccserverctl: the new binary exited with code 3\n"
    server.connect("pingpong").ask(*PING)


def test_resize_and_drain(serve):
    server = serve(listen("pingpong"), workers=2)
    assert ctl(server, "resize", "main", "4") == "done: 4 workers\n"
    assert ctl(server, "resize", "main", "1") == "done: 1 worker\n"
    server.await_stats(lambda stats: not stats["leaving"])
    before = server.worker_pids()[0]
    assert ctl(server, "drain", "0") == f"done: pid {before} is gone\n"
    assert "there is no worker 7" in ctl(server, "drain", "7", code=REFUSED)
    assert "only the pool main" in ctl(server, "resize", "other", "2", code=REFUSED)
    server.await_stats(lambda stats: [each["state"] for each in stats["workers"]] == ["ready"])
    assert server.worker_pids()[0] != before


def test_wait_and_stop(serve, tmp_path):
    server = serve(listen("pingpong"))
    ctl(server, "wait", "--ready")
    assert ctl(server, "stop") == "done: it has ended\n"
    assert server.wait() == 0
    assert "no server runs with" in ctl(server, "status", code=NOT_RUNNING)
    assert "no answer in time" in ctl(server, "-t", "1", "wait", code=NO_ANSWER)


@pytest.mark.parametrize("by_socket", [False, True], ids=["signal", "socket"])
def test_a_stop_waits_for_the_former_master(serve, by_socket):
    """It still drains a session when the one in charge has ended."""
    server = serve(listen("bank"), listen("control", bind=None, pool="admin"), pool("admin"), workers=1,
                   env={"NOTIFY_SOCKET": "/nonexistent/manager"})
    client, old = half_done(server), server.pid
    server.upgrade()
    where = ["-s", server.dir / "control.sock"] if by_socket else ["-c", server.config]
    with subprocess.Popen([CTL, *where, "stop"], stdout=subprocess.PIPE, text=True) as stop:
        wait_exit(server.pid)
        with pytest.raises(subprocess.TimeoutExpired):
            stop.wait(0.3)
        assert os.path.exists(f"/proc/{old}")
        finish_half(client)
        assert stop.stdout.read() == "done: it has ended\n" and stop.wait(DEADLINE) == DONE


# ---- who asks, and how ----

def test_health(serve, tmp_path):
    server = serve(listen("pingpong"))
    ctl(server, "wait", "--ready")
    assert ctl(server, "health") == "ok\n"


@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
def test_another_user_may_not(serve):
    server = serve(listen("pingpong"))
    server.dir.chmod(0o755)
    assert "you may not look at it" in ctl(server, "status", code=NOT_ALLOWED, user="nobody")
    assert "you may not look at it" in ctl(server, "stop", code=NOT_ALLOWED, user="nobody")
    server.connect("pingpong").ask(*PING)


def test_it_finds_its_own_server(serve):
    """Among several, by the file, whatever it is called here."""
    one, other = serve(listen("pingpong")), serve(listen("pingpong"))
    for each in one, other:
        assert f" {each.pid}\n" in ctl(each, "status")
        link = each.dir / "link"
        link.symlink_to(each.config)
        assert f" {each.pid}\n" in ctl(link, "status")
        shown = subprocess.run([CTL, "-p", str(each.pid), "status"], capture_output=True, text=True, check=True).stdout
        assert str(each.config) in shown


FAKE = """
import ctypes, os, sys, time
area = os.memfd_create("ccserver-stats")
os.truncate(area, os.stat(f"/proc/{sys.argv[1]}/fd/{sys.argv[2]}").st_size)
with open(f"/proc/{sys.argv[1]}/fd/{sys.argv[2]}", "rb") as source:
    os.pwrite(area, source.read().replace(int(sys.argv[1]).to_bytes(4, "little"), os.getpid().to_bytes(4, "little")), 0)
print("ready", flush=True)
time.sleep(60)
"""


def test_a_process_that_looks_like_the_master(serve, tmp_path):
    """Its title and its memory: two of them, and nobody guesses."""
    server = serve(listen("pingpong"))
    ctl(server, "wait", "--ready")
    folder = pathlib.Path(f"/proc/{server.pid}/fd")
    number = next(each.name for each in folder.iterdir() if os.readlink(each).startswith("/memfd:ccserver-stats (del"))
    with subprocess.Popen(["ccserver: master fake", "-c", FAKE, str(server.pid), number], executable=sys.executable,
                          stdout=subprocess.PIPE) as fake:
        assert fake.stdout.readline() == b"ready\n"
        assert "several servers run with" in ctl(server, "stop", code=REFUSED)
        shown = subprocess.run([CTL, "-p", str(server.pid), "status"], capture_output=True, text=True, check=True).stdout
        assert f" {server.pid}\n" in shown
        fake.kill()
    ctl(server, "status")


@pytest.mark.parametrize("args, complaint", [
    ([], "a command is missing"), (["dance"], "there is no command dance"), (["resize", "main"], "too few arguments, or too many; see ccserverctl -h\n  resize POOL N "),
    (["-c", "x", "-p", "1", "status"], "-c, -p and -s exclude each other"),
    (["resize", "main", "5000"], "resize: not a number from 1 to 1024"),
    (["resize", "main", "x"], "not a number"), (["status", "x"], "too many"), (["wait", "x"], "too many"),
    (["-t", "0", "status"], "-t: not a number"), (["-x"], "invalid option"),
    (["metrics", "-j"], "metrics: an option that is not for it"), (["--ready", "status"], "an option that is not for it"),
    (["resize", "main", "1", "2"], "too many"), (["resize", "main", "--", "-1"], "resize: not a number")])
def test_wrong_usage(args, complaint):
    done = subprocess.run([CTL, *args], capture_output=True, text=True)
    assert done.returncode == USAGE and complaint in done.stderr


@pytest.mark.parametrize("args", [["-j", "status"], ["status", "--json"], ["status", "-j"]])
@pytest.mark.parametrize("environment", [{}, {"POSIXLY_CORRECT": "1"}], ids=["", "posix"])
def test_options_stand_anywhere(serve, args, environment):
    server = serve(listen("pingpong"))
    for around in ["-c", server.config, *args], [*args, "-c", server.config]:
        done = subprocess.run([CTL, *around], capture_output=True, text=True, env={**os.environ, **environment})
        assert json.loads(done.stdout)["layout"] == 1


def test_output_that_nobody_takes(serve):
    server = serve(listen("pingpong"))
    with open("/dev/full", "w") as full:
        done = subprocess.run([CTL, "-c", server.config, "metrics"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == REFUSED and "No space left" in done.stderr
    assert json.loads(ctl(server, "-j", "status"))["layout"] == 1


def test_a_pid_that_is_no_server():
    done = subprocess.run([CTL, "-p", str(os.getpid()), "status"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (NOT_RUNNING, f"ccserverctl: no server runs as pid {os.getpid()}\n")
