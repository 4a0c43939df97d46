#!/usr/bin/env python3
"""
What the gates count, and the baseline that instructions per message are held against.

    ./gates.py            count anew, show what has changed, write baseline.tsv (`make gates-baseline`)
    ./gates.py --dry      the same, without writing

The numbers come from the driver (driver.c), those of instructions under callgrind: nothing is timed, and a second run
on the same machine gives the same numbers to the last instruction. tests/regress/test_gates.py holds them to it.
"""
import os
import pathlib
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("CCSERVER", ROOT / "build/ccserver")).absolute()
DRIVER = BINARY.parent / "bench/gate_driver"
BASELINE = pathlib.Path(__file__).with_name("baseline.tsv")
SERVICES = ("pingpong", "echo", "bank", "proxy")
SLACK, SLACK_OTHER_VERSIONS = 0.02, 0.25
PATIENCE = 120

# libc has a strlen for every processor: all machines are to count the same one.
PROCESSOR = "AVX AVX2 AVX512F AVX512VL AVX512BW AVX_Fast_Unaligned_Load Fast_Unaligned_Load Fast_Unaligned_Copy " \
            "SSSE3 SSE4_1 SSE4_2 ERMS FSRM BMI1 BMI2 LZCNT RTM"
ENVIRONMENT = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C",
               "GLIBC_TUNABLES": "glibc.cpu.hwcaps=" + ",".join(f"-{word}" for word in PROCESSOR.split())}
CALLGRIND = ("valgrind", "-q", "--tool=callgrind", "--collect-atstart=no", "--toggle-collect=gate_turn",
             "--dump-after=gate_way_ends")

HEADER = """\
# User-space instructions per message, and what they were counted with. Written by `make gates-baseline`; the gates
# allow 2 % more, or 25 % where one of the versions is another. Ways: one message of one session per turn of the
# reactor; split: the same in two pieces; burst: 50 messages in one send; crowd: 100 sessions ready in the same turn.
"""


class GateError(Exception):
    """Something could not be counted."""


def run(command):
    """The standard output of a program that succeeds."""
    try:
        done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except FileNotFoundError as error:
        raise GateError(f"{error.filename} is missing: make gate-driver, apt-get install valgrind") from None
    if done.returncode != 0:
        raise GateError(f"{' '.join(map(str, command))}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


# ---- allocations ----

def parse_ways(text):
    """{way: {name: number}} of the driver's output."""
    names = ("sessions", "messages", "opening", "warming_up", "steady")
    rows = [line.split("\t") for line in text.splitlines()]
    return {way: dict(zip(names, map(int, numbers), strict=True)) for way, *numbers in rows}


def allocations(service):
    """{way: counts}, see parse_ways; no valgrind."""
    return parse_ways(run([DRIVER, service]))


# ---- instructions ----

def instructions(service):
    """{way: instructions per message}."""
    with tempfile.TemporaryDirectory(prefix="ccs-gates-") as folder:
        out = pathlib.Path(folder) / "out"
        ways = parse_ways(run([*CALLGRIND, f"--callgrind-out-file={out}", DRIVER, service]))
        counted = {}
        for part, (way, counts) in enumerate(ways.items(), 1):
            total = re.search(r"^totals: (\d+)", out.with_name(f"out.{part}").read_text(), re.M)
            counted[way] = round(int(total[1]) / counts["messages"], 2)
    if not all(counted.values()):
        raise GateError(f"callgrind counted nothing: {counted}")
    return counted


def versions():
    """What the instructions per message depend on, beside the server."""
    found = dict(line.split("\t") for line in run([DRIVER, "--versions"]).splitlines())
    found["valgrind"] = run(["valgrind", "--version"]).strip().removeprefix("valgrind-")
    found["machine"] = platform.machine()
    return found


def instrumented(flags):
    """True for a build whose instructions are not the server's own."""
    return "-fsanitize" in flags or "--coverage" in flags


# ---- the baseline ----

def read_baseline(path=BASELINE):
    """Versions, and {(service, way): instructions per message}."""
    rows = [line.split("\t") for line in path.read_text().splitlines() if line and not line.startswith("#")]
    known = {name: value for kind, name, value in rows if kind == "version"}
    return known, {(kind, name): float(value) for kind, name, value in rows if kind != "version"}


def write_baseline(known, counted, path=BASELINE):
    """The file that read_baseline reads."""
    lines = [f"version\t{name}\t{value}\n" for name, value in known.items()]
    lines += [f"{service}\t{way}\t{number:.2f}\n" for (service, way), number in counted.items()]
    path.write_text(HEADER + "".join(lines))


def differences(old, new):
    """What is not the same: "gcc 12.2.0 instead of 13.1.0", by name."""
    return [f"{name} {new.get(name, 'none')} instead of {old.get(name, 'none')}"
            for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]


# ---- system calls ----

class Strace:
    """with Strace(pid) as strace: ...; then strace.calls is {system call: how often} of that process meanwhile."""

    def __init__(self, pid):
        self.pid, self.calls = pid, {}
        self._folder = tempfile.TemporaryDirectory(prefix="ccs-gates-")
        self._table = pathlib.Path(self._folder.name) / "table"
        self._log = pathlib.Path(self._folder.name) / "log"

    def __enter__(self):
        command = ["strace", "-c", "-U", "calls,name", "-f", "-o", self._table, "-p", str(self.pid)]
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + PATIENCE
        while "attached" not in (text := self._log.read_text()):
            if self._process.poll() is not None or time.monotonic() > end:
                self._end(signal.SIGKILL)
                raise GateError(f"strace: {text}")
            time.sleep(0.005)
        return self

    def __exit__(self, *_):
        self._end(signal.SIGINT)

    def _end(self, number):
        if self._process.poll() is None:
            self._process.send_signal(number)
        self._process.wait(PATIENCE)
        if self._table.exists():
            rows = [line.split() for line in self._table.read_text().splitlines()]
            self.calls = {row[1]: int(row[0]) for row in rows if len(row) == 2 and row[0].isdigit()}
            self.calls.pop("total", None)
        self._folder.cleanup()


# ---- what a person types ----

def main():
    """Count, compare, write."""
    new_versions = versions()
    if instrumented(new_versions["flags"]):
        raise GateError(f"not a baseline: built with {new_versions['flags']}")
    counted = {(service, way): number for service in SERVICES for way, number in instructions(service).items()}
    old_versions, old = read_baseline() if BASELINE.exists() else ({}, {})
    for line in differences(old_versions, new_versions):
        print(line)
    print(f"{'service':<10}{'way':<8}{'was':>10}{'is':>10}{'change':>9}")
    for (service, way), number in counted.items():
        was = old.get((service, way))
        change = f"{number / was - 1:+9.1%}" if was else f"{'new':>9}"
        print(f"{service:<10}{way:<8}{was or 0:>10.2f}{number:>10.2f}{change}")
    if "--dry" not in sys.argv[1:]:
        write_baseline(new_versions, counted)
        print(f"written: {BASELINE.relative_to(ROOT)}")


if __name__ == "__main__":
    try:
        main()
    except GateError as error:
        sys.exit(f"gates: {error}")
