#!/usr/bin/env python3
"""
Change one thing in the program at a time, and see whether the unit programs notice: an operator, or a statement less.

    mutants.py COUNT SEED [--only FILE] [ID ...]

COUNT changes are chosen at random from all that are possible in FILES, or in one of them; with ids those of that choice
alone. Each is made in a copy of the tree, where the unit programs are built, with sanitizers, and run until one of them fails.
What nobody notices is printed, as a diff of one line: it lacks a case, or means the same.
"""
import argparse
import concurrent.futures
import os
import pathlib
import queue
import random
import re
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES = sorted([*ROOT.glob("worker/core/*.c"), *ROOT.glob("common/*.c"),
                *(ROOT / "master" / name for name in ("supervisor.c", "handover.c", "endpoint.c"))])
PATIENCE_S = 10  # more than a unit program takes otherwise: a change may make it wait for ever
# What a change reads or writes beyond its memory, or loses of it, fails at once.
FLAGS = ["OPTIMISE=-O1", "FLAVOUR=-fsanitize=address,undefined -fno-sanitize-recover=undefined"]
REQUIRED = 0.92
COPIED = ["Makefile", "master", "worker", "common", "proto", "etc", "bench", "tests", "docs"]

OPERATORS = {"==": "!=", "!=": "==", "<": "<=", "<=": "<", ">": ">=", ">=": ">", "&&": "||", "||": "&&", "+": "-", "-": "+",
             "+=": "-=", "-=": "+=", "++": "--", "--": "++", "!": ""}
# What is no code, then what is: the first alternative that matches decides.
TOKEN = re.compile(r"""(?P<other> /\*.*?\*/ | "(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*' | ^[ ]*\#(?:\\\n|[^\n])* )
                     | (?P<operator> -> | <<=? | >>=? | [=!<>]=? | && | \|\| | \+[+=]? | -[-=]? | \w+ )""",
                   re.VERBOSE | re.DOTALL | re.MULTILINE)
STATEMENT = re.compile(r"^[ ]{4,}(?:[\w>.\[\]*&-]+(?: [-+*/|&^]?= |\()[^;{}\n]*|[\w>.\[\]-]+(?:\+\+|--)|(?:\+\+|--)[\w>.\[\]*-]+|break"
                       r"|continue);(?: /\*[^\n]*\*/)?$", re.MULTILINE)
# Lines of the log are for people, and what they say is tested with the whole server; va_end() does nothing here.
NO_STATEMENT = re.compile(r"^\s*(?:log_\w+\(|va_end\(|return\b|goto\b|else\b)")


def mutants_of(path):
    """(file, from, to, text): all changes that can be made in a file."""
    text = path.read_text()
    code = list(text)
    for match in TOKEN.finditer(text):
        word = match["operator"]
        if match["other"]:
            code[match.start():match.end()] = " " * (match.end() - match.start())
        elif word in OPERATORS and not is_sign(text, match):
            # Most numbers below 0 are errors, and 0 cannot come: the change that means something is the opposite.
            is_error = word == "<" and text.startswith(" 0", match.end())
            yield path, match.start(), match.end(), ">=" if is_error else OPERATORS[word]
    code = "".join(code)
    for match in STATEMENT.finditer(text):
        if not NO_STATEMENT.match(match[0]) and code[match.start():match.end()].strip():
            yield path, match.start(), match.end(), re.match(r" *", match[0])[0] + ";"


def is_sign(text, match):
    """A plus or minus of a number, not between two values."""
    before = text[:match.start()].rstrip()
    is_value = before and (before[-1].isalnum() or before[-1] in "_)]") and not before.endswith("return")
    return match["operator"] in ("+", "-") and not is_value


class Tree:
    """A copy of what the unit programs are built from, with its own build folder; of `first`, which has been built already."""

    def __init__(self, number, first=None):
        self.path = ROOT / "build" / "mutants" / str(number)
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir(parents=True)
        for name in [*COPIED, "build"] if first else COPIED:
            source = (first.path if first else ROOT) / name
            if source.is_dir():
                shutil.copytree(source, self.path / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(source, self.path / name)
        self.make(check=True)
        programs = [path for path in (self.path / "build/unit").iterdir() if os.access(path, os.X_OK) and path.is_file()]
        self.seconds = {path: self.run(path, 60) for path in programs}
        failed = [path.name for path, seconds in self.seconds.items() if seconds is None]
        if failed:
            sys.exit(f"fails without any change: {', '.join(failed)}")
        self.symbols = {path: self.defined(path) for path in programs}

    def make(self, target="unit-programs", check=False):
        jobs = f"-j{len(os.sched_getaffinity(0)) if check else 1}"  # the other trees have the other CPUs
        return subprocess.run(["make", "-s", jobs, *FLAGS, target], cwd=self.path, check=check, stdout=subprocess.DEVNULL,
                              stderr=None if check else subprocess.DEVNULL).returncode == 0

    def defined(self, path):
        """The global symbols that an object or a program defines."""
        lines = subprocess.run(["nm", "-g", "--defined-only", path], check=True, capture_output=True, text=True).stdout.splitlines()
        return {line.split()[-1] for line in lines}

    def linked(self, target):
        """The programs that an object of the library is linked into: likely ones first, then the quick ones."""
        symbols = self.defined(self.path / "build" / target.with_suffix(".o"))
        programs = [each for each in self.seconds if symbols & self.symbols[each]]
        return sorted(programs, key=lambda each: (target.stem not in each.name, self.seconds[each]))

    def notices(self, program):
        """Whether a program fails with what the library is now; what cannot be linked is not a change that lives."""
        return not self.make(f"build/unit/{program.name}") or \
            self.run(program, PATIENCE_S + self.seconds[program]) is None

    def run(self, path, patience_s):
        """Seconds that the program has taken; None: it has failed."""
        begun = time.monotonic()
        with subprocess.Popen([path], cwd=self.path, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, start_new_session=True) as process:
            try:
                code = process.wait(patience_s)
            except subprocess.TimeoutExpired:
                code = 1
            try:
                os.killpg(process.pid, 9)  # its children, too, whatever has become of it
            except ProcessLookupError:
                pass
        return None if code else time.monotonic() - begun

    def try_out(self, mutant):
        """Who notices; "" when nobody does, None when it cannot be built."""
        path, start, end, replacement = mutant
        target = self.path / path.relative_to(ROOT)
        text = path.read_text()
        target.write_text(text[:start] + replacement + text[end:])
        try:
            if not self.make("build/libccserver.a"):
                return None
            return next((each.name for each in self.linked(path.relative_to(ROOT)) if self.notices(each)), "")
        finally:
            target.write_text(text)


def show(mutant):
    path, start, end, replacement = mutant
    text = path.read_text()
    first, last = text.rfind("\n", 0, start) + 1, text.find("\n", end)
    number = text.count("\n", 0, start) + 1
    return (f"{path.relative_to(ROOT)}:{number}\n    - {text[first:last].strip()}\n"
            f"    + {(text[first:start] + replacement + text[end:last]).strip()}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", action="append")
    parser.add_argument("count", type=int)
    parser.add_argument("seed", type=int)
    parser.add_argument("ids", type=int, nargs="*")
    options = parser.parse_args()
    count, seed, ids = options.count, options.seed, options.ids
    files = [ROOT / path for path in options.only] if options.only else FILES
    possible = [mutant for path in files for mutant in mutants_of(path)]
    chosen = list(enumerate(random.Random(seed).sample(possible, min(count, len(possible)))))
    chosen = [each for each in chosen if not ids or each[0] in ids]
    trees, first = queue.Queue(), Tree(0)
    workers = min(len(os.sched_getaffinity(0)), len(chosen))
    for number in range(workers):
        trees.put(Tree(number, first) if number else first)

    def judge(numbered):
        number, mutant = numbered
        tree = trees.get()
        try:
            noticed = tree.try_out(mutant)
        finally:
            trees.put(tree)
        if noticed == "":
            print(f"{number} {show(mutant)}", flush=True)
        return noticed

    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        results = list(pool.map(judge, chosen))
    built = [each for each in results if each is not None]
    noticed = sum(1 for each in built if each)
    print(f"{noticed} of {len(built)} changes noticed ({100 * noticed / max(1, len(built)):.1f} %; {len(possible)} are possible, "
          f"{len(results) - len(built)} of those chosen cannot be built); seed {seed}")
    return 0 if noticed >= REQUIRED * len(built) else 1


sys.exit(main())
