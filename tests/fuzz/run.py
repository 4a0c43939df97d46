#!/usr/bin/env python3
"""Run every fuzzer of a build for a while, from the seeds that the tests have anyway. Fails when one finds something."""
import argparse
import os
import pathlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

ROOT = pathlib.Path(__file__).resolve().parents[2]


def vectors():
    """The bytes of tests/vectors/frames.tsv."""
    for line in (ROOT / "tests/vectors/frames.tsv").read_text().splitlines():
        if line and not line.startswith("#"):
            yield bytes.fromhex(line.split("\t")[2])


def resp():
    """The requests and replies of a file of vectors, and replies of RESP3. The first byte chooses the parser."""
    for line in (ROOT / "tests/vectors/resp_requests.tsv").read_text().splitlines():
        for number, text in enumerate([] if line.startswith("#") else line.split("\t")[1:]):
            yield bytes([number, 5]) + text.encode().decode("unicode_escape").encode("latin-1")
    for reply in (b"%2\r\n:0\r\n#f\r\n_\r\n,3.141\r\n", b"|1\r\n+a\r\n*1\r\n(12\r\n=5\r\ntxt:x\r\n",
                  b">1\r\n~1\r\n!3\r\nERR\r\n"):
        yield b"\1\5" + reply


def seeds(fuzzer):
    """What to begin with: the vectors, streams of them, the good and the bad configurations."""
    if fuzzer == "fuzz_frame":
        return list(vectors())
    if fuzzer == "fuzz_framing":
        lines = bytes([1, 60, 9]) + b"one\r\ntwo\n\r\n" + b"x" * 70 + b"\n"
        return [bytes([0, 255, 50]) + frame * 2 for frame in vectors()] + [lines]
    if fuzzer == "fuzz_resp":
        return list(resp())
    if fuzzer == "fuzz_core":
        return [bytes(range(256)) * 4, b"\x07" * 64 + bytes(reversed(range(256))) * 2]
    return [path.read_bytes() for path in (ROOT / "tests/conf").rglob("*.conf")]


def run(program, seconds):
    """One fuzzer, in a folder of its own; its exit code."""
    corpus = program.parent / f"corpus-{program.name}"
    corpus.mkdir(exist_ok=True)
    for number, seed in enumerate(seeds(program.name)):
        (corpus / f"seed-{number}").write_bytes(seed)
    command = [program, f"-max_total_time={seconds}", "-print_final_stats=1", "-max_len=8192", "-verbosity=0",
               f"-artifact_prefix={program.parent}/{program.name}-", corpus]
    return subprocess.run(command, check=False).returncode


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("build", type=pathlib.Path)
    options = parser.parse_args()
    programs = sorted(path for path in (options.build / "fuzz").glob("fuzz_*") if path.is_file() and not path.suffix)
    if not programs:
        sys.exit(f"no fuzzers in {options.build}/fuzz")
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # as many at a time as there are CPUs
        codes = list(pool.map(lambda program: run(program.absolute(), options.seconds), programs))
    failed = [program.name for program, code in zip(programs, codes) if code != 0]
    print(f"{len(programs)} fuzzers, {options.seconds} s each; found something: {', '.join(failed) or 'none'}")
    return 1 if failed else 0


sys.exit(main())
