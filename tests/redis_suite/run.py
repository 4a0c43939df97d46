#!/usr/bin/env python3
"""
Redis' own test suite, in its mode for external servers: directly against a redis-server, and through ccserver. Prints the
cases that end otherwise than directly, and fails when one of them is not in known.tsv, with its reason.

    run.py [--ways relay-1,shared-2] [--only unit/type/list,unit/multi]
"""
import argparse
import collections
import contextlib
import fnmatch
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/regress"))
from redis_server import free_port  # noqa: E402

SUITE = ROOT / "build/redis-suite/suite"
BINARY = os.environ.get("CCSERVER", str(ROOT / "build/ccserver"))
WAYS = {"relay-1": ("off", 1), "relay-2": ("off", 2), "shared-1": ("on", 1), "shared-2": ("on", 2)}
UNIT_SECONDS = 300
# Without one of these: what the suite asks of a server that it can start and configure itself is left out by it.
# Cases that would wait for ever, see known.tsv.
SKIPPED = {"unit/type/list": "BRPOPLPUSH with multiple blocked clients", "unit/type/stream-cgroups": "/^Blocking XREAD"}
OPTIONS = ["--clients", "1", "--durable", "--no-latency", "--tags", "-slow", "--timeout", str(UNIT_SECONDS - 30)]
RESULT = re.compile(r"^\[(ok|err|exception|ignore|skip)\]:? ?(.*?)(?: \(\d+ ms\))?$")


def start(*command):
    """A process of its own group, so that all of it can be ended."""
    return subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
                            stdin=subprocess.DEVNULL, text=True, errors="replace", cwd=SUITE)


def end(process):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    process.stdout.close()


def await_line(process, text):
    for line in process.stdout:
        if text in line:
            return
    raise SystemExit(f"{process.args[0]} did not start")


@contextlib.contextmanager
def server(way):
    """The port that the suite is to talk to."""
    with tempfile.TemporaryDirectory(prefix="ccs-suite-") as folder, contextlib.ExitStack() as stack:
        port = free_port()
        redis = start("redis-server", "--port", port, "--dir", folder, "--save", "", "--appendonly", "no", "--enable-debug-command",
                      "yes", "--logfile", "")
        stack.callback(end, redis)
        await_line(redis, "eady to accept connections")
        drain(redis)
        if way != "direct":
            multiplex, workers = WAYS[way]
            front = free_port()
            conf = pathlib.Path(folder, "ccserver.conf")
            conf.write_text(f"[server]\nworkers = {workers}\nlog_level = warn\nruntime_dir = {folder}\n[listen redis]\nservice = redis\n"
                            f"bind = 127.0.0.1:{front}\nupstream = 127.0.0.1:{port}\nmultiplex = {multiplex}\nidle_timeout = 10m\n")
            ours = start(BINARY, "-c", conf)
            stack.callback(end, ours)
            await_port(front)
            drain(ours)
            port = front
        yield port


def drain(process):
    """Nobody reads what it says from now on, and it must not wait for that."""
    subprocess.Popen(["cat"], stdin=process.stdout, stdout=subprocess.DEVNULL, start_new_session=True)


def await_port(port):
    import socket
    limit = time.monotonic() + 10
    while time.monotonic() < limit:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        time.sleep(0.02)
    raise SystemExit("ccserver did not start")


def run_unit(unit, way):
    """{(name, how often before): how it ended}"""
    results, seen = {}, collections.Counter()
    with server(way) as port:
        skipped = ["--skiptest", SKIPPED[unit]] if way.startswith("shared") and unit in SKIPPED else []
        words = ["./runtest", "--host", "127.0.0.1", "--port", port, "--single", unit, *OPTIONS, *skipped]
        # With a terminal it says how a case has ended when it has: also of a unit that does not end.
        process = start("script", "-qefc", shlex.join(map(str, words)), "/dev/null")
        try:
            text, _ = process.communicate(timeout=UNIT_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            text, _ = process.communicate()
            text += f"\n[exception]: the unit did not end within {UNIT_SECONDS} s\n"
    for line in re.sub(r"\x1b\[[0-9;]*m|\r", "", text).splitlines():
        match = RESULT.match(line)
        if not match:
            continue
        kind, name = match[1], re.sub(r" in tests/.*| - .*$", "", match[2]) if match[1] == "err" else match[2]
        seen[name] += 1
        results[name, seen[name]] = "failed" if kind in ("err", "exception") else kind
    return results


def known_reasons():
    """[(ways, unit, name, reason)], each but the last as a shell pattern."""
    lines = (pathlib.Path(__file__).parent / "known.tsv").read_text().splitlines()
    return [line.split("\t") for line in lines if line and not line.startswith("#")]


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # and nothing is left running
    parser = argparse.ArgumentParser()
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    if not SUITE.is_dir():
        raise SystemExit("the suite is not there: make setup-redis-suite")
    listed = subprocess.run(["./runtest", "--list-tests"], cwd=SUITE, capture_output=True, text=True, check=True).stdout.split()
    units = arguments.only.split(",") if arguments.only else [each for each in listed if each.startswith("unit/")]
    reasons, unknown = known_reasons(), 0
    totals = collections.defaultdict(collections.Counter)
    for unit in units:
        direct = run_unit(unit, "direct")
        totals["direct"].update(direct.values())
        for way in arguments.ways.split(","):
            through = run_unit(unit, way)
            totals[way].update(through.values())
            for key in sorted(direct.keys() | through.keys()):
                one, other = direct.get(key, "not run"), through.get(key, "not run")
                if one == other:
                    continue
                reason = next((why for ways, where, name, why in reasons if fnmatch.fnmatchcase(way, ways)
                               and fnmatch.fnmatchcase(unit, where) and fnmatch.fnmatchcase(key[0], name)), None)
                unknown += reason is None
                print(f"{way}\t{unit}\t{key[0]}\t{one} directly, {other} through it: {reason or 'WHY?'}", flush=True)
    for way, counts in totals.items():
        print(f"{way}: " + ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())))
    return unknown > 0


if __name__ == "__main__":
    sys.exit(main())
