"""
Numbers a sceptic accepts: paired ratios, medians, bootstrap intervals, and verdicts drawn from the interval.

Two servers are never compared by two averages taken at different times: the machine's mood would be in the ratio.
They are run back to back, each pair gives one ratio, and only ratios are summarised.
"""
import math
import random
import statistics
from dataclasses import dataclass

LEVEL = 0.95
RESAMPLES = 2000
MIN_SAMPLES = 3  # fewer say nothing about their own spread

PASS, NOISE, MISS, NOT_AVAILABLE, INFORM = "pass", "noise", "miss", "not available", "-"


@dataclass(frozen=True)
class Estimate:
    """A median and the interval that holds it with 95 % probability, from `count` samples."""
    value: float
    low: float
    high: float
    count: int

    def known(self):
        """False when there were too few samples for an interval."""
        return math.isfinite(self.low) and math.isfinite(self.high)


def paired_ratios(ours, theirs):
    """ours[i] / theirs[i]; lists of different lengths are no pairs, and a zero is a broken measurement."""
    if len(ours) != len(theirs):
        raise ValueError(f"{len(ours)} and {len(theirs)} values are no pairs")
    if any(value <= 0 for value in list(ours) + list(theirs)):
        raise ValueError("a measured value is not positive")
    return [a / b for a, b in zip(ours, theirs)]


def percentile(ordered, fraction):
    """The value at `fraction` (0..1) of a sorted list, interpolated."""
    if not ordered:
        raise ValueError("no values")
    position = fraction * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def estimate(samples, statistic=statistics.median, level=LEVEL, resamples=RESAMPLES, seed=1):
    """
    The statistic of `samples` with its percentile-bootstrap interval. The seed is fixed: the same samples always give
    the same interval, so that a report can be recomputed from its raw data. Too few samples: an infinite interval,
    because no interval would look like a sure result.
    """
    samples = list(samples)
    if not samples:
        raise ValueError("no samples")
    value = statistic(samples)
    if len(samples) < MIN_SAMPLES:
        return Estimate(value, -math.inf, math.inf, len(samples))
    chance = random.Random(seed)
    again = sorted(statistic(chance.choices(samples, k=len(samples))) for _ in range(resamples))
    tail = (1 - level) / 2
    return Estimate(value, percentile(again, tail), percentile(again, 1 - tail), len(samples))


def verdict(interval, op, target):
    """
    pass: the whole interval meets the target; miss: none of it does; noise: it straddles the target, and this run
    cannot tell. `op` is "<=", "<" or ">="; None: there is no target, the figure only informs.
    """
    if op is None:
        return INFORM
    if op in ("<=", "<"):
        near, far = interval.low, interval.high
    elif op == ">=":
        near, far = -interval.high, -interval.low
        target = -target
    else:
        raise ValueError(f"unknown comparison {op!r}")
    strict = op == "<"
    if far < target or (far == target and not strict):
        return PASS
    if near > target or (near == target and strict):
        return MISS
    return NOISE


def worst(verdicts):
    """One word for several comparisons: a single miss is a miss, whatever else passed."""
    verdicts = list(verdicts)
    for word in (MISS, NOISE, NOT_AVAILABLE, PASS):
        if word in verdicts:
            return word
    return INFORM


def below_unity(interval, margin):
    """True when the whole interval lies at least `margin` below 1: a win that is not luck."""
    return interval.known() and interval.high <= 1 - margin
