"""
One run of load against one server: ccpp_client for everything that echoes, redis-benchmark for the proxies.

A run gives a sample: server CPU per message over exactly the measured window, throughput, latency, and how busy both
sides were. Connecting and warming up are outside of the window.
"""
import functools
import json
import pathlib
import signal
import socket
import subprocess
import time
from dataclasses import dataclass

import servers

VERIFIED = 3  # replies on each session
UNFINISHED = 0.001  # share of the batches of an open loop that may be under way when it ends
DEADLINE_EXTRA = 60.0  # connecting 10,000 sessions on a busy machine takes its time
REDIS_KEY = "key:000000000000"


class RunError(Exception):
    """A run that gave no sample."""


class Unanswered(RunError):
    """Batches that were due were not answered: to try again until they are would hide that."""


@dataclass(frozen=True)
class Load:
    """What ccpp_client does. A batch is what one send carries; the next follows when it is back whole."""
    sessions: int
    frames: int = 1
    lines: int = 0
    line_length: int = 107  # with its CRLF a line is as long as a frame
    connect: bool = False
    spin: bool = False
    rate: int = 0
    threads: int = 1

    def arguments(self):
        """Options of the client."""
        words = [] if self.connect else ["--batch"]
        words += ["--connect"] if self.connect else []
        words += ["--spin"] if self.spin else []
        words += ["--rate", self.rate] if self.rate else []
        words += ["--lines", self.lines, "--line-length", self.line_length] if self.lines else []
        return words

    def run(self, contest, server, service, window):
        """One sample."""
        return run_echo(contest, server, server.ports.get(service, server.port), self, window)

    def verify(self, contest, server, service):
        """Compare every byte of some replies; not while anything is measured."""
        options = ["--verify", "--messages", VERIFIED * self.sessions, "--json", "-"]
        command = [contest.program("ccpp_client"), *self.arguments(), *options, "127.0.0.1",
                   server.ports.get(service, server.port), self.threads, self.frames, self.sessions, 1]
        run_client(server, command, contest.client_cpus, DEADLINE_EXTRA)


@dataclass(frozen=True)
class RedisLoad:
    """redis-benchmark's GET through a proxy, or asked of Redis itself; with `connect` each over a connection of its own."""
    clients: int
    pipeline: int
    connect: bool = False

    def verify(self, contest, server, service):
        """Set a key and get it again."""
        redis = Redis(server.ports.get(service, server.port))
        try:
            redis.ask(b"SET", REDIS_KEY.encode(), b"abc")
            if redis.ask(b"GET", REDIS_KEY.encode()).strip() != b"abc":
                raise RunError(f"{server.name}: GET does not return what SET has stored")
        finally:
            redis.close()

    def run(self, contest, server, service, window):
        """One sample."""
        return run_redis(contest, server, server.ports.get(service, server.port), self, window)


@dataclass(frozen=True)
class Window:
    """Seconds that are measured, and seconds before that are not."""
    seconds: float
    warmup: float


@functools.cache
def softirq_threads(cpus):
    """
    The kernel threads to which softirq work goes when there is too much of it for the moment. What a server causes
    there is charged to nobody, so every sample tells how much it was.
    """
    wanted, found = {f"ksoftirqd/{cpu}" for cpu in cpus}, []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "comm").read_text().strip() in wanted:
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def run_echo(contest, server, port, load, window):
    """ccpp_client once. It reads the server's CPU clocks itself, at the moments it begins and ends to count."""
    server.refresh()
    command = [contest.program("ccpp_client"), *load.arguments(), "--warmup", window.warmup, "--json", "-",
               "--cpu-of", ",".join(map(str, server.pids)),
               "127.0.0.1", port, load.threads, load.frames, load.sessions, window.seconds]
    kernel = softirq_threads(frozenset(contest.server_cpus))
    kernel_before, split_before = servers.cpu_seconds(kernel), servers.cpu_split(server.pids)
    figures = run_client(server, command, contest.client_cpus, window.seconds + window.warmup + DEADLINE_EXTRA)
    if not server.is_unchanged():
        raise RunError(f"{server.name}: its processes are not the same after the run")
    split = [after - before for after, before in zip(servers.cpu_split(server.pids), split_before)]
    return sample_of(figures, load, split, servers.cpu_seconds(kernel) - kernel_before)


def run_client(server, command, cpus, deadline):
    """ccpp_client's figures, when all went well."""
    process = servers.start_process(command, cpus, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE)
    try:
        out, err = process.communicate(timeout=deadline)
    except subprocess.TimeoutExpired:
        raise RunError(f"{server.name}: the client did not come to an end") from None
    finally:
        servers.end_process(process)
    figures = parse_client(out)
    if process.returncode or not figures or figures["errors"]:
        said = err.decode(errors="replace").strip() or f"exit code {process.returncode}"
        raise RunError(f"{server.name}: client: {said[-300:]}")
    return figures


def parse_client(out):
    """The JSON object in the client's output, which may come after its five lines for people."""
    text = out.decode(errors="replace")
    start = text.find("{")
    try:
        return json.loads(text[start:]) if start >= 0 else None
    except json.JSONDecodeError:
        return None


def sample_of(figures, load, split, kernel_s):
    """The client's figures in the units of the report."""
    count = figures["batches"] if load.connect else figures["messages"]
    if not count or not figures["elapsed_s"]:
        raise RunError("the client counted no message")
    if load.rate and figures["unfinished"] > UNFINISHED * figures["batches"] + load.sessions:
        raise Unanswered(f"{figures['unfinished']} batches that were due were not answered: their latency is unknown")
    user, system = split
    elapsed = figures["elapsed_s"]
    return {
        "cpu_us": figures["server_cpu_s"] / count * 1e6,
        "msg_per_s": count / elapsed,
        "mib_per_s": figures["mib_per_s"],
        "latency": figures["latency"],
        "p50": figures["latency"]["p50"],
        "p99": figures["latency"]["p99"],
        "messages": count,
        "batches": figures["batches"],
        "reads": figures["reads"],
        "elapsed_s": elapsed,
        "server_busy": figures["server_cpu_s"] / elapsed,
        "client_busy": (figures["cpu_user_s"] + figures["cpu_sys_s"]) / elapsed,
        "user_share": user / (user + system) if user + system else None,
        "ksoftirqd_us": kernel_s / count * 1e6,
    }


# ---- Redis ----

class Redis:
    """Just enough of the protocol to ask for a counter."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 5)

    def ask(self, *words):
        """The reply to a command that is answered with one line or one bulk string."""
        self.socket.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
        data = b""
        while True:
            part = self.socket.recv(65536)
            if not part:
                raise RunError("redis closed the connection")
            data += part
            head, end, rest = data.partition(b"\r\n")
            if end and (not head.startswith(b"$") or len(rest) >= int(head[1:]) + 2):
                return rest if head.startswith(b"$") else head

    def commands(self):
        """How many commands Redis has executed."""
        for line in self.ask(b"INFO", b"stats").splitlines():
            if line.startswith(b"total_commands_processed:"):
                return int(line.split(b":")[1])
        raise RunError("redis tells no total_commands_processed")

    def close(self):
        """Hang up."""
        self.socket.close()


def snapshot(redis, server, behind):
    """
    Commands so far, the CPU of the server and of Redis, and the time, as of one moment: the reply is bracketed by two
    readings.
    """
    before, before_behind, start = server.cpu(), behind.cpu(), time.monotonic()
    commands = redis.commands()
    after, after_behind, end = server.cpu(), behind.cpu(), time.monotonic()
    return commands, (before + after) / 2, (before_behind + after_behind) / 2, (start + end) / 2


def run_redis(contest, server, port, load, window):
    """
    redis-benchmark, stopped (SIGSTOP) while others have their turn: connecting 500 clients each time would take longer
    than measuring. Requests are counted by Redis itself between two moments, so connecting is not charged to requests.
    In a closed loop the mean latency is clients x pipeline / throughput and nothing more; it is not listed again.
    """
    behind = contest.server("redis")
    redis = Redis(behind.port)
    kernel = softirq_threads(frozenset(contest.server_cpus))
    server.refresh()
    process = None
    try:
        process = benchmark_process(contest, server, port, load, redis)
        process.send_signal(signal.SIGCONT)
        time.sleep(window.warmup)
        kernel_before, client_before = servers.cpu_seconds(kernel), servers.cpu_seconds([process.pid])
        first = snapshot(redis, server, behind)
        time.sleep(window.seconds)
        last = snapshot(redis, server, behind)
        kernel_s = servers.cpu_seconds(kernel) - kernel_before
        client_s = servers.cpu_seconds([process.pid]) - client_before
        if process.poll() is not None:
            raise RunError(f"{server.name}: redis-benchmark ended with {process.returncode}")
        if not server.is_unchanged():
            raise RunError(f"{server.name}: its processes are not the same after the run")
    finally:
        if process:
            process.send_signal(signal.SIGSTOP)
        redis.close()
    commands, cpu, cpu_behind, elapsed = (b - a for a, b in zip(first, last))
    if commands <= 1:
        raise RunError(f"{server.name}: no request went through")
    both = cpu_behind if server is behind else cpu + cpu_behind
    return {"cpu_us": cpu / commands * 1e6, "msg_per_s": commands / elapsed, "messages": commands,
            "redis_us": cpu_behind / commands * 1e6, "sum_us": both / commands * 1e6,
            "elapsed_s": elapsed, "server_busy": cpu / elapsed, "client_busy": client_s / elapsed,
            "ksoftirqd_us": kernel_s / commands * 1e6}


def benchmark_process(contest, server, port, load, redis):
    """The redis-benchmark that belongs to a server: connected, with requests on their way."""
    process = contest.background.get(server.name)
    if process:
        return process
    redis.ask(b"SET", REDIS_KEY.encode(), b"abc")
    command = [contest.program("redis-benchmark"), "-h", "127.0.0.1", "-p", port, "-c", load.clients, "-P", load.pipeline,
               "-n", 10**9, "-t", "get", "-q", "-k", int(not load.connect)]
    start = redis.commands()
    process = servers.start_process(command, contest.client_cpus, "KILL", stdin=subprocess.DEVNULL,
                                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    contest.background[server.name] = process
    wait_for_traffic(redis, start + 10 * load.clients * load.pipeline, process)
    return process


def wait_for_traffic(redis, commands, process):
    """Until the connections stand and requests flow."""
    end = time.monotonic() + 20
    while redis.commands() < commands:
        if process.poll() is not None or time.monotonic() > end:
            raise RunError("redis-benchmark does not get going")
        time.sleep(0.02)
