"""The command line, the configuration file, and what can go wrong before the first client comes."""
import os
import re
import signal
import socket
import subprocess

import harness
import pytest
from harness import BINARY, DEADLINE, ROOT, connect_to, listen, wait_exit

CONF = ROOT / "tests/conf"


def run(*args, **options):
    return subprocess.run([BINARY, *map(str, args)], capture_output=True, text=True, timeout=DEADLINE,
                          stdin=subprocess.DEVNULL, **options)


def one_line(text):
    assert text.endswith("\n") and text.count("\n") == 1, text
    return text[:-1]


@pytest.fixture
def good(tmp_path):
    path = tmp_path / "good.conf"
    path.write_text("[server]\nworkers = 2\n\n" + listen("echo") + "\n" + listen("pingpong", "pp"))
    return path


# ---- usage ----

@pytest.mark.parametrize("args", [
    ["-w", "0"], ["-w", "1025"], ["-w", "5000"], ["-w", "abc"], ["-w", "3x"], ["-w", ""], ["-w", "-1"],
    ["-w", "3 "], ["-w", "99999999999999999999"], ["--workers=0"], ["-w"], ["-x"], ["--nonsense"], ["extra"],
    ["-l", "nonsense"], ["-l", ""], ["--log-level=loud"], ["-c"],
], ids=" ".join)
def test_wrong_usage(good, args):
    done = run(*(["-c", good] if args != ["-c"] else []), *args)
    assert (done.returncode, done.stdout) == (64, "")
    one_line(done.stderr)


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_names_every_option(flag):
    done = run(flag)
    assert (done.returncode, done.stderr) == (0, "")
    for option in "config workers test dump daemon pidfile log-level version help".split():
        assert f"--{option}" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 110


@pytest.mark.parametrize("flag", ["-V", "--version"])
def test_version(flag):
    done = run(flag)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"ccserver \d+\.\d+.*", one_line(done.stdout))


# ---- configuration files ----

@pytest.mark.parametrize("path", sorted((CONF / "good").glob("*")), ids=lambda path: path.name)
def test_good_configuration(path):
    done = run("-t", "-c", path)
    assert done.returncode == 0, done.stderr
    assert f"{path}: configuration is valid\n" in done.stdout + done.stderr


@pytest.mark.parametrize("path", sorted((CONF / "bad").glob("*")), ids=lambda path: path.name)
def test_bad_configuration(path):
    with open(path, "rb") as file:
        expect = re.fullmatch(r"# expect: (?:(\d+): )?(.+)", file.readline().decode().strip())
    line, text = expect.groups()
    for flags in ["-t"], []:  # checked, and refused at the start
        done = run(*flags, "-c", path)
        assert done.returncode == 1
        complaint = one_line(done.stderr)
        assert f"{path}:{line}: " in complaint if line else f"{path}: " in complaint
        assert text in complaint
        if flags:
            assert complaint.startswith(str(path))


def test_there_are_configurations_to_check():
    assert list((CONF / "good").glob("*")) and list((CONF / "bad").glob("*"))


def test_missing_configuration(tmp_path):
    for flags in ["-t"], []:
        done = run(*flags, "-c", tmp_path / "none.conf")
        assert done.returncode == 1
        assert one_line(done.stderr).endswith(f"{tmp_path}/none.conf: No such file or directory")


@pytest.mark.parametrize("path", sorted((CONF / "good").glob("*")), ids=lambda path: path.name)
def test_the_dumped_configuration_is_a_configuration(path, tmp_path):
    first = run("-T", "-c", path)
    assert first.returncode == 0, first.stderr
    (tmp_path / "again.conf").write_text(first.stdout)
    second = run("--dump", "--config", tmp_path / "again.conf")
    assert (second.returncode, second.stdout) == (0, first.stdout)


def test_defaults_depend_on_the_service(tmp_path):
    path = tmp_path / "c"
    path.write_text(listen("echo") + listen("pingpong") + listen("bank") + listen("proxy"))
    dump = run("-T", "-c", path).stdout
    sections = {part.split("]")[0].split()[-1]: dict(re.findall(r"^(\w+)\s*=\s*(.*)$", part, re.M))
                for part in dump.split("[")[1:]}
    assert {name: sections[name]["idle_timeout"] for name in ("echo", "proxy", "pingpong")} == {
        "echo": "2m", "proxy": "2m", "pingpong": "off"}
    assert sections["bank"]["max_frame"] == "64k"
    assert sections["proxy"]["upstream"] == "127.0.0.1:6379" and sections["proxy"]["protocol"] == "raw"
    assert sections["echo"]["shutdown_command"] == "off"
    assert (sections["server"]["drain_timeout"], sections["server"]["max_sessions"]) == ("30s", "100000")


def test_the_command_line_wins(good, serve):
    assert re.search(r"^workers\s*=\s*7$", run("-T", "-w", 7, "-c", good).stdout, re.M)
    server = serve(listen("echo"), workers=1, args=["-w", "3", "--log-level", "debug"])
    assert server.workers == 3
    server = serve(listen("echo"), workers=1, args=["-l", "warn"], ready=False, stats_file="",
                   max_sessions=100)
    server.signal(signal.SIGTERM)
    server.wait()
    assert not server.lines


# ---- addresses ----

def test_the_port_of_another_ccserver(serve):
    address = serve(listen("echo")).addresses["echo"][0]
    second = serve(listen("echo", bind=address), ready=False)
    assert second.wait() == 1
    second.wait_log_end()
    (line,) = second.lines
    assert address in line and "Address already in use" in line


@pytest.mark.parametrize("reuse", [0, 1])
def test_the_port_of_somebody_else(serve, reuse):
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, reuse)
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = "127.0.0.1:%d" % other.getsockname()[1]
        server = serve(listen("echo"), listen("pingpong", bind=address), ready=False)
        assert server.wait() == 1
        server.wait_log_end()
        (line,) = [line for line in server.lines if " notice " not in line]
        assert address in line and "Address already in use" in line


def test_an_address_that_is_not_ours(serve):
    server = serve(listen("echo", bind="198.51.100.1:7"), ready=False)
    assert server.wait() == 1
    server.wait_log_end()
    assert "198.51.100.1:7" in server.lines[-1] and "Cannot assign requested address" in server.lines[-1]


def test_unix_sockets_are_cleaned_up(serve, tmp_path):
    """A stale file is replaced, a live one is not touched, and the end leaves none."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    server = serve(listen("pingpong", bind=f"unix:{path}"))
    server.connect("pingpong").ask(b"x", b"x")
    second = serve(listen("pingpong", bind=f"unix:{path}"), ready=False)
    assert second.wait() == 1
    server.connect("pingpong").ask(b"x", b"x")
    server.clients.clear()
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert not path.exists()


def test_what_is_no_socket_is_not_replaced(serve, tmp_path):
    (tmp_path / "precious").write_text("data")
    server = serve(listen("pingpong", bind=f"unix:{tmp_path}/precious"), ready=False)
    assert server.wait() == 1
    assert (tmp_path / "precious").read_text() == "data"


# ---- as a daemon ----

@pytest.fixture
def daemon(tmp_path):
    """A running daemon: (its pid, its log's path, its pidfile)."""
    conf, log, pidfile = tmp_path / "d.conf", tmp_path / "d.log", tmp_path / "d.pid"
    conf.write_text(f"[server]\nworkers = 2\nlog = {log}\n" + listen("echo", bind=f"unix:{tmp_path}/echo"))
    try:
        done = run("-d", "-c", conf, "-p", pidfile)
    except subprocess.TimeoutExpired:
        os.kill(int(pidfile.read_text()), signal.SIGKILL)
        raise
    pid = int(pidfile.read_text())
    yield done, pid, log, pidfile
    group = os.getpgid(pid)
    os.kill(pid, signal.SIGTERM)
    wait_exit(pid)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert not harness.group_members(group)
    assert not pidfile.exists()


def test_daemon_returns_when_ready(daemon, tmp_path):
    done, pid, log, _ = daemon
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert "ready: 2 workers, 1 listener" in log.read_text()
    with connect_to(f"unix:{tmp_path}/echo") as client:
        client.ask(b"x\n", b"ccserver echo:x\r\n")
    assert os.getsid(pid) != os.getsid(0)
    assert {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in range(3)} == {"/dev/null"}
    assert not any(str(ROOT) == os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd"))


def test_a_daemon_started_without_standard_descriptors(tmp_path):
    """What it opens does not take their place: it neither spins nor goes deaf."""
    conf, log, pidfile = tmp_path / "d.conf", tmp_path / "d.log", tmp_path / "d.pid"
    conf.write_text(f"[server]\nworkers = 1\nlog = {log}\n" + listen("echo", bind=f"unix:{tmp_path}/echo"))
    command = 'exec "$0" -d -c "$1" -p "$2" <&- >&- 2>&-'
    assert subprocess.run(["sh", "-c", command, harness.BINARY, conf, pidfile], timeout=harness.DEADLINE).returncode == 0
    pid = int(pidfile.read_text())
    with connect_to(f"unix:{tmp_path}/echo") as client:
        client.ask(b"x\n", b"ccserver echo:x\r\n")
    os.kill(pid, signal.SIGTERM)
    wait_exit(pid)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert "stopped" in log.read_text()


def test_a_second_master_refuses(daemon, tmp_path):
    _, pid, _, pidfile = daemon
    for flags in ["-d"], []:
        done = run(*flags, "-c", tmp_path / "d.conf", "-p", pidfile)
        assert done.returncode == 1
        assert str(pid) in one_line(done.stderr)
    assert int(pidfile.read_text()) == pid


def test_daemon_that_cannot_start_says_so(tmp_path):
    conf = tmp_path / "c"
    conf.write_text(f"[server]\nlog = {tmp_path}/log\n" + listen("echo", bind="198.51.100.1:7"))
    done = run("-d", "-c", conf, "-p", tmp_path / "pid")
    assert done.returncode == 1
    assert "198.51.100.1:7" in one_line(done.stderr)
    assert not (tmp_path / "pid").exists()


def test_pidfile_in_the_foreground(serve, tmp_path):
    server = serve(listen("echo"), pidfile=tmp_path / "pid")
    assert int((tmp_path / "pid").read_text()) == server.pid
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert not (tmp_path / "pid").exists()


def test_a_stale_pidfile_does_not_matter(serve, tmp_path):
    (tmp_path / "pid").write_text("1\n")
    server = serve(listen("echo"), args=["-p", str(tmp_path / "pid")])
    assert int((tmp_path / "pid").read_text()) == server.pid


def test_make_run_builds_with_all_cpus():
    env = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}
    made = subprocess.run(["make", "-n", "run", "JOBS=7"], cwd=ROOT, env=env, capture_output=True, text=True)
    assert re.search(r"^make .*-j7 all$", made.stdout, re.M), made.stdout[:300] + made.stderr[-300:]
