"""The example services as a whole: small, made of nothing but session.h, libc and their library, and found by `make`."""
import re
import subprocess

import pytest
from harness import ROOT, listen

EXAMPLES = sorted((ROOT / "tests/services").glob("*.c"))
NAMES = ["chat", "delay", "fanout", "http", "memcached", "notes", "websocket"]
LINES_MAX = 220  # counted as tests/lint/core-size does


def test_they_are_all_here():
    assert [path.stem for path in EXAMPLES] == NAMES


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_small_and_stands_alone(path):
    stripped = subprocess.run(["gcc", "-fpreprocessed", "-dD", "-E", "-P", path], capture_output=True, text=True,
                              check=True).stdout
    assert len([line for line in stripped.splitlines() if line.strip()]) <= LINES_MAX
    assert re.findall(r'#include "(.*)"', path.read_text()) == ["worker/session.h"]


def test_the_program_knows_their_keys(examples_binary, tmp_path):
    config = tmp_path / "conf"
    config.write_text("[server]\nworkers = 1\n" + listen("delay", max_delay="5s") + listen("http") +
                      listen("fanout", first="127.0.0.1:1", second="127.0.0.1:2"))
    shown = subprocess.run([examples_binary, "-T", "-c", config], capture_output=True, text=True, check=True).stdout
    assert "max_delay = 5s" in shown and "timeout = 500ms" in shown
