"""The command line, the configuration file, and what can go wrong before the first client comes."""
import ctypes
import fcntl
import os
import pathlib
import re
import signal
import socket
import struct
import subprocess
import threading

import harness
import pytest
from bank import WITHDRAW
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
    ["0"], ["1025"], ["4x"], ["4", "5"], ["-w", "2", "4"], ["4", "extra"], [""],
    ["-l", "nonsense"], ["-l", ""], ["--log-level=loud"], ["-c"], ["-c", ""], ["--config="], ["-p", ""], ["--pidfile="],
], ids=" ".join)
def test_wrong_usage(good, args):
    done = run(*(["-c", good] if args != ["-c"] else []), *args)
    assert (done.returncode, done.stdout) == (64, "")
    assert one_line(done.stderr).startswith("ccserver: ")


@pytest.mark.parametrize("flag", ["-c", "-p"])
def test_an_empty_name_is_named(good, flag):
    assert f"{flag} ''" in one_line(run("-c", good, "-t", flag, "").stderr)


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


@pytest.mark.parametrize("keys", [("stats_file", "log"), ("pidfile", "log"), ("pidfile", "stats_file")])
@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_file_has_one_purpose(tmp_path, keys, link):
    """Whatever it is called: what one writes would replace what the other has written."""
    (tmp_path / "file").touch()
    link(tmp_path / "file", tmp_path / "other")
    path = tmp_path / "c"
    path.write_text(f"[server]\n{keys[0]} = {tmp_path}/file\n{keys[1]} = {tmp_path}/other\n" + listen("echo"))
    done = run("-t", "-c", path)
    assert (done.returncode, one_line(done.stderr)) == (
        1, f"{path}:3: {keys[0]} = {tmp_path}/file: that is the file of {keys[1]}, too")
    if keys[0] == "pidfile":
        path.write_text(f"[server]\n{keys[1]} = {tmp_path}/other\n" + listen("echo"))
        done = run("-t", "-c", path, "-p", tmp_path / "file")
        assert done.returncode == 64
        assert f"-p {tmp_path}/file: that is the file of {keys[1]}, too" in one_line(done.stderr)


def test_there_are_configurations_to_check():
    assert list((CONF / "good").glob("*")) and list((CONF / "bad").glob("*"))


def test_missing_configuration(tmp_path):
    for flags in ["-t"], []:
        done = run(*flags, "-c", tmp_path / "none.conf")
        assert done.returncode == 1
        assert one_line(done.stderr).endswith(f"{tmp_path}/none.conf: No such file or directory")


def test_a_configuration_from_a_pipe():
    """As of `-c <(...)`: it can be read once only, also when there are names to be resolved."""
    reader, writer = os.pipe()
    os.write(writer, listen("echo", bind="localhost:0").encode())
    os.close(writer)
    done = run("-t", "-c", f"/dev/fd/{reader}", pass_fds=[reader])
    os.close(reader)
    assert (done.returncode, done.stdout) == (0, f"/dev/fd/{reader}: configuration is valid\n"), done.stderr


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


# ---- without a configuration file ----

INSTALLED = pathlib.Path("/usr/local/etc/ccserver.conf")
PORTS = {"proxy": 9996, "echo": 9997, "pingpong": 9998, "bank": 9999, "status": 9995}
CLONE_NEWNS, CLONE_NEWNET, MS_BIND, MS_REC, MS_PRIVATE = 0x20000, 0x40000000, 4096, 16384, 1 << 18
libc = ctypes.CDLL(None, use_errno=True)


def check_libc(result):
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


class Bare:
    """
    A ccserver with this command line only, in a network of its own, where the four ports are free, and with a folder of
    its own in the place of /usr/local/etc.
    """

    def __init__(self, folder, *args):
        self.installed = folder / INSTALLED.name

        def isolate():
            check_libc(libc.unshare(CLONE_NEWNS | CLONE_NEWNET))
            with socket.socket() as sock:
                fcntl.ioctl(sock, 0x8914, struct.pack("16sH", b"lo", 1))  # SIOCSIFFLAGS: IFF_UP
            check_libc(libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None))
            check_libc(libc.mount(bytes(folder), bytes(INSTALLED.parent), None, MS_BIND, None))
        self.log, self.args = folder / "log", args
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([BINARY, *args], preexec_fn=isolate, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, cwd=folder, start_new_session=True,
                                            env={**os.environ, "RUNTIME_DIRECTORY": str(folder)})
        self.pid = self.process.pid

    def run(self, *command, **options):
        """A program in its network."""
        def enter():
            with open(f"/proc/{self.process.pid}/ns/net") as network:
                check_libc(libc.setns(network.fileno(), CLONE_NEWNET))
        return subprocess.run([*map(str, command)], preexec_fn=enter, capture_output=True, text=True, timeout=DEADLINE,
                              **options)

    def connect(self, name):
        """A socket stays in the network where it was made: a thread goes there for us."""
        made = []

        def enter():
            with open(f"/proc/{self.process.pid}/ns/net") as network:
                check_libc(libc.setns(network.fileno(), CLONE_NEWNET))
            made.append(connect_to(f"127.0.0.1:{PORTS[name]}"))
        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        return made[0]

    def wait(self):
        return self.process.wait(DEADLINE)

    def end(self):
        if group := harness.group_members(self.process.pid):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for pid in group:
            wait_exit(pid)
        self.log.unlink(missing_ok=True)


@pytest.fixture
def bare(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root may make a network and a mount of its own")
    if not INSTALLED.parent.is_dir():
        pytest.skip(f"no {INSTALLED.parent}")
    started = []

    def start(*args):
        started.append(Bare(tmp_path, *args))
        return started[-1]
    yield start
    for each in started:
        each.end()


def test_without_a_file_the_four_ports_are_served(bare):
    server = bare()
    harness.await_file(server.log, "ready: ")
    assert harness.title(server.pid) == "ccserver: master"  # there is no file to name
    with server.connect("pingpong") as client:
        client.ask(b"ping", b"ping")
    with server.connect("bank") as client:
        client.ask(WITHDRAW, WITHDRAW)
    with server.connect("proxy") as client:  # there is no Redis in that network
        client.send(b"PING\r\n")
        assert b"127.0.0.1:6379: Connection refused" in client.recv_to_end()
    with server.connect("echo") as client:
        client.ask(b"x\n", b"ccserver echo:x\r\n")
    with server.connect("echo") as client:
        client.ask(b"SHUTDOWN\r\n", b"ccserver echo:SHUTDOWN\r\n")
        client.expect_end()
    assert server.wait() == 0
    (line,) = [line for line in server.log.read_text().splitlines() if "built-in" in line]
    assert " notice master[" in line and str(INSTALLED) in line
    assert not re.search(" (warn|error|fatal) ", re.sub(".*(Connection refused|descriptor limit).*", "", server.log.read_text()))


def test_a_lone_number_is_the_number_of_workers(bare, good):
    assert re.search(r"^workers\s*=\s*7$", run("-T", "7", "-c", good).stdout, re.M)
    assert re.search(r"^workers\s*=\s*7$", run("-T", "-c", good, "7").stdout, re.M)
    server = bare("3")
    harness.await_file(server.log, "ready: 4 workers, 6 listeners")
    os.kill(server.pid, signal.SIGUSR2)
    pid = int(harness.await_file(server.log, r"upgrade: pid (\d+) is in charge")[1])
    harness.await_file(server.log, rf"master\[{pid}\]: ready: 4 workers, 6 listeners")
    os.kill(pid, signal.SIGTERM)
    harness.await_file(server.log, rf"master\[{pid}\]: stopped")


def test_hup_without_a_file(bare):
    """Nothing to read anew, until a file is installed."""
    server = bare("1")
    harness.await_file(server.log, "ready: 2 workers")  # one is in [pool admin]
    os.kill(server.pid, signal.SIGHUP)
    harness.await_file(server.log, "reload: generation 2 serves|log reopened")
    assert "reload: [" not in server.log.read_text()
    server.installed.write_text(listen("echo", bind="127.0.0.1:9997") + listen("pingpong", bind="127.0.0.1:9998"))
    os.kill(server.pid, signal.SIGHUP)
    harness.await_file(server.log, r"\[listen echo\] \+ shutdown_command = off(?s:.*)reload: generation \d+ serves")
    with server.connect("echo") as client:
        client.ask(b"SHUTDOWN\r\n", b"ccserver echo:SHUTDOWN\r\nccserver error: SHUTDOWN is off")
    os.kill(server.pid, signal.SIGTERM)
    assert server.wait() == 0


def test_an_installed_file_is_used(bare, tmp_path):
    (tmp_path / INSTALLED.name).write_text(listen("echo", bind="127.0.0.1:9997"))
    server = bare("1")
    harness.await_file(server.log, "ready: 1 workers, 1 listeners")
    os.kill(server.pid, signal.SIGTERM)
    assert server.wait() == 0
    assert "built-in" not in server.log.read_text()


def test_an_installed_file_that_cannot_be_read_is_an_error(bare, tmp_path):
    (tmp_path / INSTALLED.name).mkdir()
    server = bare()
    assert server.wait() == 1
    assert one_line(server.log.read_text()) == f"{INSTALLED}: Is a directory"


def test_the_built_in_configuration_is_that_of_make_run(bare, tmp_path):
    server = bare("-T")
    assert server.wait() == 0
    shown = run("-T", "-c", ROOT / "etc/ccserver.conf", env={**os.environ, "RUNTIME_DIRECTORY": str(tmp_path)}).stdout
    assert server.log.read_text() == shown
    assert "shutdown_command = loopback\n" in server.log.read_text()
    server = bare("-t")
    assert server.wait() == 0
    assert server.log.read_text() == "built-in: configuration is valid\n"


SHUTDOWN_SCRIPT = ROOT / "etc/shutdown_ccserver.sh"


@pytest.mark.parametrize("shell", [[], ["sh"]], ids=["itself", "sh"])
def test_the_shutdown_script(bare, shell):
    server = bare("1")
    harness.await_file(server.log, "ready: 2 workers")  # one is in [pool admin]
    done = server.run(*shell, SHUTDOWN_SCRIPT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ccserver echo:SHUTDOWN\n", "")
    assert server.wait() == 0


def test_the_shutdown_script_is_refused(serve):
    server = serve(listen("echo"), listen("pingpong"))
    done = subprocess.run([SHUTDOWN_SCRIPT, "127.0.0.1", str(server.port("echo"))], capture_output=True, text=True,
                          timeout=DEADLINE)
    assert done.returncode == 1
    assert done.stdout == "ccserver echo:SHUTDOWN\nccserver error: SHUTDOWN is off here (shutdown_command)\n"
    assert one_line(done.stderr) == f"shutdown_ccserver.sh: 127.0.0.1:{server.port('echo')} does not shut down"


def test_the_shutdown_script_takes_silence_for_no(serve):
    """Elsewhere the echo comes back and nothing else: that is no acknowledgement, since the connection stays."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with subprocess.Popen([SHUTDOWN_SCRIPT, "127.0.0.1", str(port)], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as script:
            with harness.Client(listener.accept()[0]) as client:
                client.expect(b"SHUTDOWN\r\n")
                client.send(b"ccserver echo:SHUTDOWN\r\n")
                assert script.wait(DEADLINE) == 1
            assert script.stdout.read() == "ccserver echo:SHUTDOWN\n" and "does not shut down" in script.stderr.read()


def test_the_shutdown_script_where_nobody_listens():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        for args, code in (["127.0.0.1", str(sock.getsockname()[1])], 1), (["a", "b", "c"], 64):
            done = subprocess.run([SHUTDOWN_SCRIPT, *args], capture_output=True, text=True, timeout=DEADLINE)
            assert (done.returncode, done.stdout) == (code, "")
            one_line(done.stderr)


# ---- installed ----

def test_what_is_installed(tmp_path):
    """Two configurations: no client may stop the installed server, and that is the only difference."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}
    build = os.path.relpath(pathlib.Path(BINARY).parent, ROOT)
    command = ["make", "-s", f"BUILD={build}", f"DESTDIR={tmp_path}", "install"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    prefix = tmp_path / "usr/local"
    for program in "sbin/ccserver", "sbin/shutdown_ccserver.sh", "bin/ccpp_client":
        assert os.access(prefix / program, os.X_OK), program
    installed, sample = (prefix / "etc/ccserver.conf").read_text(), (ROOT / "etc/ccserver.conf").read_text()
    assert sample.count("\nshutdown_command = loopback\n") == 1
    assert installed == sample.replace("\nshutdown_command = loopback\n", "\nshutdown_command = off\n")
    assert run("-t", "-c", prefix / "etc/ccserver.conf").returncode == 0


# ---- a proxy that leads to an echo ----

@pytest.mark.parametrize("bind, upstream", [
    ("127.0.0.1:9997", "127.0.0.1:9997"), ("0.0.0.0:9997", "127.0.0.1:9997"), ("0.0.0.0:9997", "0.0.0.0:9997"),
    ("[::1]:9997", "[::1]:9997"), ("unix:/run/echo", "unix:/run/echo"), ("127.0.0.1:1, 127.0.0.2:9997", "127.0.0.2:9997"),
    ("0.0.0.0:9997", "[::ffff:127.0.0.1]:9997"), ("127.0.0.1:9997", "[::ffff:127.0.0.1]:9997"),
    ("127.0.0.1:9997", "0.0.0.0:9997"), ("unix:/run/echo", "unix:/run/./echo"), ("unix:/run/echo", "unix:/run//echo"),
])
def test_a_proxy_to_an_echo_with_loopback_is_warned_of(tmp_path, bind, upstream):
    path = tmp_path / "c"
    door = listen("proxy", "door", bind="0.0.0.0:9996", upstream=upstream)
    path.write_text(door + listen("echo", "back", bind=bind, shutdown_command="loopback"))
    done = run("-t", "-c", path)
    assert (done.returncode, done.stdout) == (0, f"{path}: configuration is valid\n")
    assert re.search(r" warn .*\[listen door\] leads to \[listen back\].*shutdown_command", one_line(done.stderr))
    path.write_text(door + listen("echo", "back", bind=bind, shutdown_command="off"))
    assert run("-t", "-c", path).stderr == ""


@pytest.mark.parametrize("bind, upstream", [
    ("127.0.0.1:9997", "127.0.0.1:9998"), ("127.0.0.1:9997", "127.0.0.2:9997"), ("0.0.0.0:9997", "192.0.2.7:9997"),
    ("127.0.0.1:9997", "unix:/run/echo"), ("0.0.0.0:9997", "[::ffff:192.0.2.7]:9997"), ("0.0.0.0:9997", "[::1]:9997"),
    ("unix:/run/echo", "unix:/run/./other"),
])
def test_other_proxies_are_not(tmp_path, bind, upstream):
    path = tmp_path / "c"
    path.write_text(listen("proxy", bind="0.0.0.0:9996", upstream=upstream) +
                    listen("echo", bind=bind, shutdown_command="loopback"))
    assert run("-t", "-c", path).stderr == ""


def test_the_warning_comes_at_the_start_and_at_a_reload(serve):
    echo = harness.own_address()
    door, back = listen("proxy", "door", upstream=echo), listen("echo", "back", bind=echo, shutdown_command="loopback")
    server = serve(door, back)
    server.wait_log(r" warn .*\[listen door\] leads to \[listen back\]")
    since = server.mark()
    server.reload(door, back, workers=1)
    server.wait_log(r" warn .*\[listen door\] leads to \[listen back\]", since=since)


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
        place = server.config.read_text().splitlines().index(f"bind = {address}") + 1
        assert f"{server.config}:{place}: cannot listen on {address} (pingpong): Address already in use" in line


def test_a_log_that_cannot_be_opened(serve):
    server = serve(listen("echo"), log="/no/such/folder/log", ready=False)
    assert server.wait() == 1
    server.wait_log_end()
    place = server.config.read_text().splitlines().index("log = /no/such/folder/log") + 1
    assert any(f"{server.config}:{place}: log = /no/such/folder/log: No such file or directory" in line
               for line in server.lines)


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
