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
MIN_SAMPLES = 3        # fewer say nothing about their own spread
BOOTSTRAP_SAMPLES = 6  # of fewer the bootstrap's interval is too narrow: their whole range is told instead

PASS, LIKELY_PASS, LIKELY_MISS, MISS = "pass", "pass?", "miss?", "miss"
NOT_AVAILABLE, INFORM = "not available", "-"
UNSURE = (LIKELY_PASS, LIKELY_MISS)


@dataclass(frozen=True)
class Estimate:
    """A median and its interval, from `count` samples."""
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
    the same interval, so that a report can be recomputed from its raw data. Few samples: their range. Too few: an
    infinite interval, because no interval would look like a sure result.
    """
    samples = list(samples)
    if not samples:
        raise ValueError("no samples")
    value = statistic(samples)
    if len(samples) < MIN_SAMPLES:
        return Estimate(value, -math.inf, math.inf, len(samples))
    if len(samples) < BOOTSTRAP_SAMPLES:
        return Estimate(value, min(samples), max(samples), len(samples))
    chance = random.Random(seed)
    again = sorted(statistic(chance.choices(samples, k=len(samples))) for _ in range(resamples))
    tail = (1 - level) / 2
    return Estimate(value, percentile(again, tail), percentile(again, 1 - tail), len(samples))


def meets(value, op, target):
    """Whether a value is as it should be."""
    if op not in ("<=", "<", ">="):
        raise ValueError(f"unknown comparison {op!r}")
    return value <= target if op == "<=" else value < target if op == "<" else value >= target


def verdict(interval, op, target):
    """
    pass: the whole interval meets the target; miss: none of it does. Where it straddles the target the median decides,
    and a question mark tells so. `op` is "<=", "<" or ">="; None: there is no target, the figure only informs.
    """
    if op is None:
        return INFORM
    ends = meets(interval.low, op, target), meets(interval.high, op, target)
    if all(ends) or not any(ends):
        return PASS if all(ends) else MISS
    return LIKELY_PASS if meets(interval.value, op, target) else LIKELY_MISS


def worst(verdicts):
    """One word for several comparisons: a single miss is a miss, whatever else passed."""
    verdicts = list(verdicts)
    for word in (MISS, LIKELY_MISS, NOT_AVAILABLE, LIKELY_PASS, PASS):
        if word in verdicts:
            return word
    return INFORM


def below_unity(interval, margin):
    """True when the whole interval lies at least `margin` below 1: a win that is not luck."""
    return interval.known() and interval.high <= 1 - margin
