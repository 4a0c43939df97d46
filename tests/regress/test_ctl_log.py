"""ccserverctl log: the last lines of the masters, from their memory, and those to come."""
import contextlib
import os
import pathlib
import re
import select
import signal
import subprocess
import time

import pytest
from harness import BINARY, DEADLINE, listen
from test_upgrade import MANAGED

CTL = pathlib.Path(BINARY).with_name("ccserverctl")
DONE, NOT_RUNNING, USAGE = 0, 3, 64


def ctl(server, *args):
    return subprocess.run([CTL, "-c", server.config, *args], capture_output=True, text=True, timeout=2 * DEADLINE,
                          stdin=subprocess.DEVNULL)


@contextlib.contextmanager
def following(server, *args, **options):
    """What it prints, as it comes: a function that awaits a match in a line, and says the code when it has ended."""
    about = [] if {"-c", "-p"} & set(args) else ["-c", server.config]
    with subprocess.Popen([CTL, *about, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, **options) as process:
        text = ""

        def wait_for(pattern):
            nonlocal text
            end = time.monotonic() + DEADLINE
            while not (match := re.search(pattern, text, re.M)):
                assert select.select([process.stdout], [], [], max(0, end - time.monotonic()))[0], text
                data = os.read(process.stdout.fileno(), 65536)
                assert data, f"ended with {process.wait()}: {text}{process.stderr.read().decode()}"
                text += data.decode()
            text = text[match.end():]
            return match

        wait_for.process = process
        try:
            yield wait_for
        finally:
            process.kill()


LINE = r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} "


def test_log(serve):
    server = serve(listen("pingpong"), workers=2)
    victim = server.worker_pids()[0]
    os.kill(victim, signal.SIGKILL)
    server.wait_replaced(0, victim)
    shown = ctl(server, "log").stdout
    assert all(re.match(LINE + r"(info|notice|warn|error) \S", line) for line in shown.splitlines())
    assert re.search(LINE + rf"(warn|error) worker 0 \(pid {victim}\) killed by SIGKILL", shown, re.M)
    assert ctl(server, "log", "2").stdout.splitlines() == shown.splitlines()[-2:]
    of_server = [re.sub(LINE + r"(\w+) master\[\d+\]: ", r"\1 ", line) for line in server.lines if " master[" in line]
    assert re.sub(LINE, "", shown.splitlines()[-1]) in of_server  # the times are taken one after the other


def test_log_of_a_long_life(serve):
    server = serve(listen("pingpong"), workers=1)
    for _ in range(40):
        since = server.mark()
        server.signal(signal.SIGHUP)
        server.wait_log("reload: nothing has changed", since=since)
    assert len(ctl(server, "log").stdout.splitlines()) == 50
    assert len(ctl(server, "log", "64").stdout.splitlines()) == 64


def test_log_goes_on(serve):
    """With what comes, across a reload and upgrades, until the server has ended; nothing twice, nothing missing."""
    server = serve(listen("pingpong"), env=MANAGED)
    with following(server, "log", "-f", "1") as wait_for:
        assert wait_for(LINE + "notice (.*)$")[1].startswith("ready: 2 workers")
        server.reload()
        assert wait_for(LINE + "notice (reload: .*)$")
        wait_for(LINE + "notice reload: generation 2 serves")
        for _ in range(2):
            server.upgrade()
            server.wait_replaced_masters()
            wait_for(LINE + rf"notice upgrade: pid {server.pid} is in charge")
        server.signal(signal.SIGTERM)
        wait_for(LINE + "notice stopping: SIGTERM")
        wait_for(LINE + "notice stopped$")
        assert wait_for.process.wait(DEADLINE) == NOT_RUNNING
        assert b"no server runs with" in wait_for.process.stderr.read()


def test_log_ends_with_its_reader(serve):
    server = serve(listen("pingpong"))
    with following(server, "log", "--follow") as wait_for:
        wait_for("ready")
        wait_for.process.stdout.close()
        assert wait_for.process.wait(DEADLINE) == DONE


@pytest.mark.parametrize("args, old, new", [
    (["log", "-f"], "notice ready: ", "notice ready: "),
    (["top", "-b", "-d", "0.1"], "^ccserver .* pid {pid}, ", "^ccserver .* pid {pid}, ")], ids=["log", "top"])
def test_another_server_in_its_place(serve, tmp_path, args, old, new):
    """It is stopped and another one started while nobody looks: that is found by its file."""
    one, other, link = serve(listen("pingpong")), serve(listen("pingpong")), tmp_path / "link"
    link.symlink_to(one.config)
    with following(one, "-c", link, *args) as wait_for:
        wait_for(old.format(pid=one.pid))
        wait_for.process.send_signal(signal.SIGSTOP)
        one.signal(signal.SIGTERM)
        one.wait()
        link.unlink()
        link.symlink_to(other.config)
        wait_for.process.send_signal(signal.SIGCONT)
        wait_for(new.format(pid=other.pid))
        other.signal(signal.SIGTERM)
        assert wait_for.process.wait(DEADLINE) == NOT_RUNNING


@pytest.mark.parametrize("args", [["log", "-f"], ["top", "-b", "-d", "0.1"]], ids=lambda args: args[0])
def test_a_server_that_nobody_reaps(serve, args):
    """A master that has ended is gone, also as a zombie."""
    server = serve(listen("pingpong"))
    with following(server, "-p", str(server.pid), *args) as wait_for:
        wait_for("pingpong|ready")
        server.signal(signal.SIGTERM)
        assert wait_for.process.wait(DEADLINE) == NOT_RUNNING
        assert b"the server has ended" in wait_for.process.stderr.read()


@pytest.mark.parametrize("args, complaint", [
    (["log", "65"], "log: not a number"), (["log", "0"], "log: not a number"), (["log", "--", "-1"], "log: not a number"),
    (["log", "1", "2"], "too many"), (["status", "-f"], "status: an option that is not for it")])
def test_wrong_usage(args, complaint):
    done = subprocess.run([CTL, *args], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == USAGE and complaint in done.stderr
