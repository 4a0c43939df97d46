"""Thirty seconds of everything at once; tests/chaos/chaos.py says what, and judges."""
import os
import subprocess
import time

from harness import ROOT

SECONDS = 30


def test_thirty_seconds_of_chaos():
    seed = os.environ.get("CHAOS_SEED") or str(int(time.time()) % 1_000_000)
    driver = ["/usr/bin/python3", ROOT / "tests/chaos/chaos.py", "--seconds", str(SECONDS), "--seed", seed]
    done = subprocess.run(driver, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=10 * SECONDS)
    assert done.returncode == 0, f"seed {seed}\n{done.stdout}"
