"""Delta debugging: the smallest program found that still differs."""
import time

from player import Barrier, Block, Settle

WEIGHT = {"": 0, "some": 1, "all": 2}


def without_idle_waits(program):
    """One barrier in place of several in a row; no waiting for who does not block."""
    tidy, blocked = [], set()
    for step in program:
        if isinstance(step, Block):
            blocked.add(step.client)
        if isinstance(step, Settle) and step.client not in blocked:
            continue
        if isinstance(step, Barrier) and not tidy:
            continue
        if isinstance(step, Barrier) and isinstance(tidy[-1], Barrier):
            step = max(step, tidy.pop(), key=lambda barrier: WEIGHT[barrier.mark])
        tidy.append(step)
    return tidy


def shrink(program, differs, seconds):
    """Drop steps while `differs(program)` and there is time. What makes programs wait stays."""
    end, size = time.monotonic() + seconds, max(1, len(program) // 2)
    while True:
        at, dropped = 0, False
        while at < len(program) and time.monotonic() < end:
            kept = [step for step in program[at:at + size] if isinstance(step, (Barrier, Settle))]
            fewer = program[:at] + kept + program[at + size:]
            if len(fewer) < len(program) and differs(fewer):
                program, dropped = fewer, True
                at += len(kept)
            else:
                at += size
        if time.monotonic() >= end or size == 1 and not dropped:
            tidy = without_idle_waits(program)
            return tidy if differs(tidy) else program
        size = max(1, size // 2)
