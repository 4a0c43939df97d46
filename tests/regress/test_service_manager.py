"""What the service manager is told, through a socket played by the test; and the unit file."""
import configparser
import os
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
from pathlib import Path

import harness
import pytest
from bank import WITHDRAW
from harness import BINARY, DEADLINE, ROOT, listen

UNIT = ROOT / "etc/ccserver.service"
PING = b"ping", b"ping"


class Manager:
    """The receiving end of NOTIFY_SOCKET. Messages are (pid of the sender, {NAME: value})."""

    def __init__(self, abstract=False):
        self.dir = Path(tempfile.mkdtemp(prefix="ccs-"))  # tmp_path can be too long for a socket
        self.address = f"@{self.dir.name}" if abstract else str(self.dir / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.bind(self.address.replace("@", "\0"))
        self.heard = []

    def receive(self, seconds=DEADLINE):
        """The next message, or None."""
        if not select.select([self.socket], [], [], max(0, seconds))[0]:
            return None
        data, (ancillary, *_), _, _ = self.socket.recvmsg(65536, 64)
        lines = [line.partition("=") for line in data.decode().split("\n") if line]
        message = struct.unpack("3i", ancillary[2])[0], {name: value for name, _, value in lines}
        self.heard.append(message)
        return message

    def wait_for(self, name, value=".*"):
        """The first message from now on with this assignment."""
        end = time.monotonic() + DEADLINE
        while message := self.receive(end - time.monotonic()):
            if name in message[1] and re.fullmatch(value, message[1][name]):
                return message
        raise AssertionError(f"no {name}={value} in {self.heard}")

    def drain(self):
        """Whatever has been sent by now."""
        messages = []
        while message := self.receive(0):
            messages.append(message)
        return messages

    def close(self):
        self.socket.close()
        shutil.rmtree(self.dir)


@pytest.fixture
def manager():
    made = Manager()
    yield made
    made.close()


def environment(manager, **more):
    return {"NOTIFY_SOCKET": manager.address, **more}


def names(messages):
    return {name for _, message in messages for name in message}


@pytest.mark.parametrize("abstract", [False, True])
def test_ready_when_the_workers_are(serve, abstract):
    manager = Manager(abstract)
    server = serve(listen("pingpong"), workers=3, ready=False, env=environment(manager))
    pid, message = manager.wait_for("READY")
    server.wait_ready()
    assert pid == server.pid and message["READY"] == "1"
    assert all("READY" not in earlier for _, earlier in manager.heard[:-1])
    server.connect("pingpong").ask(*PING)
    status = message.get("STATUS") or manager.wait_for("STATUS")[1]["STATUS"]
    assert "3" in status, status
    manager.close()


def test_not_ready_when_it_cannot_start(serve, manager):
    server = serve(listen("pingpong", bind="198.51.100.1:7"), ready=False, env=environment(manager))
    assert server.wait() == 1
    assert "READY" not in names(manager.drain())


def test_stopping(serve, manager):
    server = serve(listen("bank"), env=environment(manager))
    client = server.connect("bank")
    client.ask(WITHDRAW + WITHDRAW[:60], WITHDRAW)
    server.signal(signal.SIGTERM)
    assert manager.wait_for("STOPPING", "1")[0] == server.pid
    client.ask(WITHDRAW[60:], WITHDRAW)
    client.expect_end()
    client.close()
    assert server.wait() == 0
    assert "READY" not in names(manager.drain())


def test_reloading(serve, manager):
    """RELOADING with the time of it, READY again when the new generation serves."""
    server = serve(listen("pingpong"), env=environment(manager))
    manager.wait_for("READY")
    server.configure(max_sessions=1000)
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    server.signal(signal.SIGHUP)
    pid, message = manager.wait_for("RELOADING", "1")
    assert before <= int(message["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert pid == server.pid
    assert manager.wait_for("READY", "1")[0] == server.pid
    server.wait_log(r"reload: generation \d+ serves")


def test_a_reload_that_changes_nothing_is_over_too(serve, manager):
    server = serve(listen("pingpong"), env=environment(manager))
    manager.wait_for("READY")
    server.signal(signal.SIGHUP)
    manager.wait_for("RELOADING", "1")
    manager.wait_for("READY", "1")
    server.wait_log("reload: nothing has changed")


def test_a_refused_reload_is_over_too(serve, manager):
    server = serve(listen("pingpong"), env=environment(manager))
    manager.wait_for("READY")
    server.config.write_text("[server\n")
    server.signal(signal.SIGHUP)
    manager.wait_for("RELOADING", "1")
    manager.wait_for("READY", "1")
    server.wait_log("reload refused")


def test_the_status_follows_the_number_of_workers(serve, manager):
    server = serve(listen("pingpong"), workers=2, env=environment(manager))
    manager.wait_for("READY")
    manager.drain()
    server.signal(signal.SIGTTIN)
    manager.wait_for("STATUS", r".*\b3\b.*")


# ---- its watchdog ----

def test_watchdog_at_half_of_its_time(serve, manager):
    server = serve(listen("pingpong"), env=environment(manager, WATCHDOG_USEC="600000"))
    times, end = [], time.monotonic() + DEADLINE
    while len(times) < 8:
        pid, message = manager.wait_for("WATCHDOG", "1")
        assert pid == server.pid and time.monotonic() < end
        times.append(time.monotonic())
    pauses = sorted(later - earlier for earlier, later in zip(times, times[1:]))
    assert 0.2 < pauses[len(pauses) // 2] <= 0.35, pauses
    assert pauses[-1] < 0.6, "the manager would have killed it"


def test_a_stopped_master_is_found_out(serve, manager):
    server = serve(listen("pingpong"), env=environment(manager, WATCHDOG_USEC="400000"))
    manager.wait_for("WATCHDOG")
    server.signal(signal.SIGSTOP)
    manager.drain()
    assert "WATCHDOG" not in names([manager.receive(0.6) or (0, {})])
    server.signal(signal.SIGCONT)
    manager.wait_for("WATCHDOG")


@pytest.mark.parametrize("more", [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "nonsense"},
                                  {"WATCHDOG_USEC": "200000", "WATCHDOG_PID": "1"}],
                         ids=["unset", "zero", "nonsense", "of another process"])
def test_no_watchdog_was_asked_for(serve, manager, more):
    server = serve(listen("pingpong"), env=environment(manager, **more))
    manager.wait_for("READY")
    end = time.monotonic() + 0.7
    while message := manager.receive(end - time.monotonic()):
        assert "WATCHDOG" not in message[1]
    server.connect("pingpong").ask(*PING)


def test_the_watchdog_is_fed_while_the_server_stops(serve, manager):
    """drain_timeout may be longer than the manager's patience."""
    server = serve(listen("bank"), env=environment(manager, WATCHDOG_USEC="400000"))
    client = server.connect("bank")
    client.ask(WITHDRAW + WITHDRAW[:60], WITHDRAW)
    server.signal(signal.SIGTERM)
    manager.wait_for("STOPPING")
    for _ in range(4):
        manager.wait_for("WATCHDOG")
    client.ask(WITHDRAW[60:], WITHDRAW)
    client.expect_end()
    client.close()
    assert server.wait() == 0


# ---- a manager that is not as it should be ----

def test_a_manager_that_does_not_read_does_not_hold_it_up(serve, manager):
    server = serve(listen("pingpong"), env=environment(manager, WATCHDOG_USEC="4000"))
    end = time.monotonic() + 1
    while time.monotonic() < end:  # hundreds of messages: more than the socket takes
        server.connect("pingpong").ask(*PING)
        assert server.stats()["master"]["pid"] == server.pid
        server.clients.pop().close()
    assert len(manager.drain()) > 5
    manager.wait_for("WATCHDOG")


@pytest.mark.parametrize("address", ["/nonexistent/socket", "relative", "", "@", "/" + "x" * 200])
def test_a_manager_that_is_not_there(serve, address):
    server = serve(listen("pingpong"), env={"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "100000"})
    server.connect("pingpong").ask(*PING)
    server.reload(max_sessions=1000)
    server.connect("pingpong").ask(*PING)


# ---- an upgrade ----

def test_the_new_master_is_the_main_process(serve, manager, tmp_path):
    binary = tmp_path / "ccserver"
    shutil.copy(harness.BINARY, binary)
    server = serve(listen("bank"), binary=binary, env=environment(manager, WATCHDOG_USEC="400000"))
    manager.wait_for("READY")
    client, old = server.connect("bank"), server.pid
    client.ask(WITHDRAW + WITHDRAW[:60], WITHDRAW)
    server.upgrade()
    sender, message = manager.wait_for("MAINPID")
    assert message["MAINPID"] == str(server.pid)
    access = re.search(r"^NotifyAccess=(\w+)", UNIT.read_text(), re.M)
    assert sender == old or access and access[1] == "all", "a manager does not believe others than the main process"
    assert "STATUS" not in message, "it would stay, in whichever order the two masters are heard"
    client.expect_silence()
    manager.drain()
    assert manager.wait_for("WATCHDOG")[0] == server.pid
    client.ask(WITHDRAW[60:], WITHDRAW)
    client.expect_end()
    server.wait_replaced_masters()
    messages = manager.drain()
    assert not [message for pid, message in messages if pid == old and "STOPPING" in message], \
        "the service goes on when the old master has drained"
    server.signal(signal.SIGHUP)
    assert manager.wait_for("RELOADING")[0] == server.pid
    assert manager.wait_for("READY")[0] == server.pid
    server.signal(signal.SIGTERM)
    assert manager.wait_for("STOPPING")[0] == server.pid
    client.close()
    assert server.wait() == 0


def test_a_failed_upgrade_does_not_change_the_main_process(serve, manager, tmp_path):
    binary = tmp_path / "ccserver"
    shutil.copy(harness.BINARY, binary)
    server = serve(listen("pingpong"), binary=binary, env=environment(manager))
    manager.wait_for("READY")
    server.config.write_text("[server\n")
    server.signal(signal.SIGUSR2)
    server.wait_log("upgrade failed: .*; this master goes on")
    server.connect("pingpong").ask(*PING)
    messages = manager.drain()
    assert names(messages).isdisjoint({"MAINPID", "STOPPING"})
    assert {pid for pid, _ in messages} <= {server.pid}


# ---- the unit file ----

@pytest.fixture
def unit():
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read_string(UNIT.read_text())
    return parser


def test_the_unit_file(unit):
    service = unit["Service"]
    assert service["Type"] in ("notify", "notify-reload")
    assert re.fullmatch(r"/\S+/ccserver -c \S+", service["ExecStart"])
    assert re.fullmatch(r"/\S+/ccserverctl -c \S+ reload", service["ExecReload"])  # which fails where the reload does
    assert re.fullmatch(r"\d+(s|sec|min)?", service["WatchdogSec"])
    assert service["Restart"] in ("on-failure", "always", "on-abnormal")
    assert service["NoNewPrivileges"] in ("yes", "true") and service["ProtectSystem"] == "strict"
    for key in "ProtectHome", "PrivateTmp", "ProtectKernelTunables", "ProtectControlGroups", "RestrictAddressFamilies":
        assert service[key] not in ("no", "false")
    families = {"AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK"}  # the last one: figures of the accept queues
    assert set(service["RestrictAddressFamilies"].split()) == families
    assert service.get("KillMode", "control-group") == "mixed", "SIGTERM is for the master, not for its workers"
    assert unit["Install"]["WantedBy"] == "multi-user.target"


def test_the_unit_file_is_one_for_systemd(tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze")
    text = re.sub(r"^(ExecStart=)\S+", rf"\g<1>{BINARY}", UNIT.read_text(), flags=re.M)
    text = re.sub(r"^(ExecReload=)\S+", rf"\g<1>{BINARY}ctl", text, flags=re.M)
    (tmp_path / "ccserver.service").write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", tmp_path / "ccserver.service"], timeout=60,
                          capture_output=True, text=True, env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"})
    complaints = [line for line in done.stderr.splitlines() if "ccserver" in line]
    assert done.returncode == 0 and not complaints, done.stderr
