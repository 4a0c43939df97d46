"""
The life of the package on a machine with a service manager: test_package.py starts this in a container, as root.

    guest.py FIRST.deb NEXT.deb BROKEN.deb       each step is a line on standard output; the first that fails ends it

NEXT is FIRST with another version in its binary, BROKEN's binary exits at once.
"""
import pathlib
import pwd
import re
import socket
import subprocess
import sys
import threading
import time

PINGPONG, ECHO, OTHER = ("127.0.0.1", 9998), ("127.0.0.1", 9997), ("127.0.0.1", 9990)
UNITS = "ccserver.service", "ccserver@other.service"
CONF, OTHER_CONF = pathlib.Path("/etc/ccserver/ccserver.conf"), pathlib.Path("/etc/ccserver/other.conf")
LOG = pathlib.Path("/var/log/ccserver/other/other.log")
DEADLINE = 60


def run(*command, code=0):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=5 * DEADLINE)
    assert done.returncode == code, f"{' '.join(map(str, command))}: {done.returncode}\n{done.stdout}"
    return done.stdout


def show(unit, name):
    return run("systemctl", "show", "-p", name, "--value", unit).strip()


def await_true(what, good):
    end = time.monotonic() + DEADLINE
    while not good():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def connect(address):
    sock = socket.create_connection(address, DEADLINE)
    sock.settimeout(DEADLINE)
    return sock


def ask(sock, question, answer):
    sock.sendall(question)
    got = b""
    while len(got) < len(answer) and (piece := sock.recv(4096)):
        got += piece
    assert got == answer, f"{got!r} instead of {answer!r}"


class Knocker(threading.Thread):
    """Connects, asks, is answered and leaves, again and again; `bad` is what it was not to see."""

    def __init__(self, address, question, answer):
        super().__init__(daemon=True)  # a step that has failed waits for nobody
        self.address, self.question, self.answer = address, question, answer
        self.bad, self.count, self.going = [], 0, True
        self.start()

    def run(self):
        while self.going:
            try:
                with connect(self.address) as sock:
                    ask(sock, self.question, self.answer)
                self.count += 1
            except (OSError, AssertionError) as error:
                self.bad.append(repr(error))
            time.sleep(0.002)

    def expect_perfect(self):
        self.going = False
        self.join()
        assert self.count > 20 and not self.bad, f"{self.address}: {self.count} good, {len(self.bad)} bad: {self.bad[:3]}"


def version_of(unit):
    status = run("ccserverctl", "-p", show(unit, "MainPID"), "status")
    return re.search(r"^ccserver +(\S+),", status, re.M)[1]


def version_in(package):
    return run("dpkg-deb", "-f", package, "Version").strip()


def install(package, replaced=True):
    """
    Install it over the one that serves. A client is in the middle of a line meanwhile, others come and go: the line is
    answered, nobody is refused, and the service manager has not started anything.
    """
    masters = [show(unit, "MainPID") for unit in UNITS]
    since = [show(unit, "ActiveEnterTimestampMonotonic") for unit in UNITS]
    knockers = [Knocker(PINGPONG, b"ping", b"ping"), Knocker(OTHER, b"x\n", b"ccserver echo:x\r\n")]
    held = connect(ECHO), connect(OTHER)
    for sock in held:
        ask(sock, b"before\nhalf", b"ccserver echo:before\r\n")
    said = run("dpkg", "-i", package)
    for sock in held:
        ask(sock, b" and half\n", b"ccserver echo:half and half\r\n")
        sock.close()
    await_true("some come after the upgrade, too", lambda count=[k.count for k in knockers]: all(
        k.bad or k.count > c + 20 for k, c in zip(knockers, count)))
    for knocker in knockers:
        knocker.expect_perfect()
    for unit, master, entered in zip(UNITS, masters, since):
        assert (show(unit, "MainPID") != master) == replaced, unit
        assert show(unit, "ActiveEnterTimestampMonotonic") == entered and show(unit, "NRestarts") == "0", unit
        assert not replaced or version_of(unit) == version_in(package), unit
    return said


def first_installation(package):
    run("dpkg", "-i", package)
    assert run("systemctl", "is-active", UNITS[0]) == "active\n" and run("systemctl", "is-enabled", UNITS[0]) == "enabled\n"
    user = pwd.getpwnam("ccserver")
    owner = pathlib.Path(f"/proc/{show(UNITS[0], 'MainPID')}").stat().st_uid
    assert owner == user.pw_uid != 0 and user.pw_shell.endswith("nologin")
    for folder in "/run/ccserver", "/var/lib/ccserver", "/var/log/ccserver":
        assert pathlib.Path(folder).stat().st_uid == user.pw_uid, folder
    run("ccserverctl", "wait", "--ready")
    with connect(PINGPONG) as sock:
        ask(sock, b"ping", b"ping")


def change_the_configuration():
    """That of the package is the operator's from now on; another instance has one of its own."""
    CONF.write_text(CONF.read_text().replace("workers = auto", "workers = 2"))
    run("systemctl", "reload", UNITS[0])
    OTHER_CONF.write_text(f"[server]\nworkers = 1\nlog = {LOG}\n[listen other]\nservice = echo\nbind = {OTHER[0]}:{OTHER[1]}\n")
    run("systemctl", "start", UNITS[1])
    run("ccserverctl", "-c", OTHER_CONF, "wait", "--ready")


def rotate_the_log():
    before = LOG.read_text()
    assert "ready: 1 worker" in before
    run("logrotate", "-f", "/etc/logrotate.d/ccserver")
    run("ccserverctl", "-c", OTHER_CONF, "reopen")
    await_true("the log is written where it was", LOG.exists)
    assert LOG.with_name("other.log.1").read_text().startswith(before)


def stop_and_upgrade(package):
    """Who has stopped it and disabled it finds it so after an upgrade."""
    run("systemctl", "disable", "--now", *UNITS)
    run("dpkg", "-i", package)
    for unit in UNITS:
        assert show(unit, "ActiveState") == "inactive", unit
    run("systemctl", "start", *UNITS)


def remove():
    run("dpkg", "-r", "ccserver")
    for unit in UNITS:
        assert show(unit, "ActiveState") == "inactive", unit
    assert "workers = 2" in CONF.read_text() and LOG.parent.exists()


def purge():
    OTHER_CONF.unlink()
    run("dpkg", "-P", "ccserver")
    left = [folder for folder in ("/etc/ccserver", "/var/lib/ccserver", "/var/log/ccserver", "/run/ccserver",
                                  "/etc/systemd/system/multi-user.target.wants/ccserver.service",
                                  "/etc/apparmor.d/local/usr.sbin.ccserver", "/etc/logrotate.d/ccserver")
            if pathlib.Path(folder).is_symlink() or pathlib.Path(folder).exists()]
    assert not left, left


def main(first, following, broken):
    def step(name, do, *arguments, **options):
        started = time.monotonic()
        said = do(*arguments, **options)
        print(f"{name}: done in {time.monotonic() - started:.1f} s", flush=True)
        return said or ""

    step("installed", first_installation, first)
    step("configured", change_the_configuration)
    step("upgraded", install, following)
    assert "workers = 2" in CONF.read_text()
    step("downgraded", install, first)
    said = step("kept the binary that serves", install, broken, replaced=False)
    for unit in UNITS:
        assert f"ccserver: {unit} goes on with the binary that it has" in said, said
    step("mended", install, following)
    step("rotated", rotate_the_log)
    step("stayed stopped", stop_and_upgrade, first)
    step("removed", remove)
    step("purged", purge)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
        print("all is well", flush=True)
    except BaseException as error:
        print(f"failed: {type(error).__name__}: {error}", flush=True)
        subprocess.run(["journalctl", "-n", "60", "--no-pager", "-o", "short-monotonic", "-u", "ccserver*"], check=False)
        raise
