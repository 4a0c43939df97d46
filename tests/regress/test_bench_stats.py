"""The arithmetic of the benchmarks: a wrong interval would turn noise into a win."""
import math
import pathlib
import random
import statistics
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench"))

import measure  # noqa: E402
import rows  # noqa: E402
import run  # noqa: E402
import stats  # noqa: E402
import syscalls  # noqa: E402


def interval(low, high):
    return stats.Estimate((low + high) / 2, low, high, 9)


def test_ratios_are_taken_pair_by_pair():
    assert stats.paired_ratios([2, 9], [1, 3]) == [2, 3]


@pytest.mark.parametrize("ours, theirs", [([1], [1, 2]), ([1, 0], [1, 1]), ([1], [-1])])
def test_what_is_no_pair_is_refused(ours, theirs):
    with pytest.raises(ValueError):
        stats.paired_ratios(ours, theirs)


def test_pairing_removes_a_drift_that_hits_both():
    drift = [1, 2, 4, 8, 16, 32]
    ratios = stats.paired_ratios([1.1 * d for d in drift], drift)
    found = stats.estimate(ratios)
    assert found.low == pytest.approx(1.1) and found.high == pytest.approx(1.1)


@pytest.mark.parametrize("fraction, value", [(0, 1), (0.5, 2.5), (1, 4), (0.25, 1.75)])
def test_percentile_interpolates(fraction, value):
    assert stats.percentile([1, 2, 3, 4], fraction) == pytest.approx(value)


def test_one_outlier_does_not_move_the_median():
    found = stats.estimate([1.0] * 8 + [50.0])
    assert (found.value, found.low, found.high, found.count) == (1.0, 1.0, 1.0, 9)


def test_same_samples_same_interval_other_seed_other_interval():
    samples = [random.Random(3).gauss(1, 0.1) for _ in range(7)]
    noisy = [random.Random(seed).gauss(1, 0.1) for seed in range(40)]
    assert stats.estimate(samples) == stats.estimate(samples)
    assert stats.estimate(noisy, resamples=50, seed=1) != stats.estimate(noisy, resamples=50, seed=2)


def test_interval_lies_within_the_samples_around_the_median():
    samples = [0.9, 1.0, 1.0, 1.01, 1.02, 1.02, 1.3]
    found = stats.estimate(samples)
    assert 0.9 <= found.low < found.value == 1.01 < found.high <= 1.3


def test_the_interval_covers_the_true_median_about_as_often_as_it_says():
    chance, hits, trials = random.Random(5), 0, 300
    for trial in range(trials):
        found = stats.estimate([chance.gauss(10, 1) for _ in range(15)], resamples=300, seed=trial)
        hits += found.low <= 10 <= found.high
    assert 0.88 <= hits / trials <= 0.99, f"{hits} of {trials}"


def test_more_samples_narrow_the_interval():
    chance = random.Random(7)
    few = stats.estimate([chance.gauss(1, 0.1) for _ in range(8)])
    many = stats.estimate([chance.gauss(1, 0.1) for _ in range(200)])
    assert many.high - many.low < (few.high - few.low) / 2


def test_level_widens_the_interval():
    samples = [random.Random(seed).gauss(1, 0.1) for seed in range(30)]
    half, nearly_all = stats.estimate(samples, level=0.5), stats.estimate(samples, level=0.99)
    assert nearly_all.low < half.low < half.high < nearly_all.high


def test_too_few_samples_have_no_interval_and_give_no_verdict():
    found = stats.estimate([0.5, 0.5])
    assert not found.known() and found.low == -math.inf
    assert stats.verdict(found, "<=", 1.0) == stats.LIKELY_PASS
    with pytest.raises(ValueError):
        stats.estimate([])


@pytest.mark.parametrize("number", [3, 5])
def test_of_few_samples_the_interval_is_their_range(number):
    samples = [1.0 + k / 10 for k in range(number)]
    found = stats.estimate(samples)
    assert (found.low, found.high) == (samples[0], samples[-1])


def test_another_statistic():
    assert stats.estimate([1, 2, 6], statistic=statistics.mean).value == 3


@pytest.mark.parametrize("low, high, op, target, word", [
    (0.98, 1.02, "<=", 1.05, stats.PASS),
    (0.98, 1.05, "<=", 1.05, stats.PASS),
    (1.00, 1.06, "<=", 1.05, stats.LIKELY_PASS),
    (1.05, 1.06, "<=", 1.05, stats.LIKELY_MISS),
    (1.06, 1.07, "<=", 1.05, stats.MISS),
    (0.90, 1.00, "<", 1.00, stats.LIKELY_PASS),
    (0.90, 0.99, "<", 1.00, stats.PASS),
    (1.00, 1.01, "<", 1.00, stats.MISS),
    (2.20, 2.50, ">=", 2.2, stats.PASS),
    (2.10, 2.50, ">=", 2.2, stats.LIKELY_PASS),
    (2.00, 2.30, ">=", 2.2, stats.LIKELY_MISS),
    (2.00, 2.10, ">=", 2.2, stats.MISS),
    (0.10, 9.00, None, None, stats.INFORM),
])
def test_verdict(low, high, op, target, word):
    assert stats.verdict(interval(low, high), op, target) == word


def test_verdict_refuses_what_it_does_not_know():
    with pytest.raises(ValueError):
        stats.verdict(interval(1, 2), "==", 1)


@pytest.mark.parametrize("words, word", [
    ([stats.PASS, stats.MISS, stats.LIKELY_MISS], stats.MISS),
    ([stats.PASS, stats.LIKELY_MISS, stats.NOT_AVAILABLE], stats.LIKELY_MISS),
    ([stats.PASS, stats.LIKELY_PASS, stats.NOT_AVAILABLE], stats.NOT_AVAILABLE),
    ([stats.PASS, stats.LIKELY_PASS], stats.LIKELY_PASS),
    ([stats.PASS, stats.NOT_AVAILABLE], stats.NOT_AVAILABLE),
    ([stats.PASS, stats.INFORM], stats.PASS),
    ([stats.INFORM], stats.INFORM),
    ([], stats.INFORM),
])
def test_worst(words, word):
    assert stats.worst(words) == word


def test_a_win_needs_its_whole_interval():
    assert stats.below_unity(interval(0.8, 0.9), 0.1)
    assert not stats.below_unity(interval(0.8, 0.91), 0.1)
    assert not stats.below_unity(stats.estimate([0.5]), 0.1)


# ---- what feeds the arithmetic ----

@pytest.mark.parametrize("round_number", range(7))
def test_turns_are_a_palindrome_in_which_everybody_runs_twice(round_number):
    order = measure.turns(tuple("abc"), round_number)
    assert order == order[::-1]
    assert sorted(order) == list("aabbcc")


def test_two_contestants_take_turns_abba_and_baab():
    assert ["".join(measure.turns(("A", "B"), number)) for number in range(2)] == ["ABBA", "BAAB"]


def test_the_table_of_strace_is_read_whole():
    table = """% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 51.97    0.016742           8      2000           sendto
 40.10    0.012918           6      2001         1 recvfrom
  7.93    0.002555          63        40           epoll_wait
------ ----------- ----------- --------- --------- ----------------
100.00    0.032215           7      4041         1 total
"""
    assert syscalls.parse(table) == {"sendto": 2000, "recvfrom": 2001, "epoll_wait": 40}


def test_every_row_of_the_table_is_there_and_every_goal_names_a_contestant():
    mode = run.QUICK
    table = rows.all_rows(mode)
    assert [row.number for row in table if row.number.isdigit()] == [str(n) for n in range(1, 14)]
    for row in table:
        for cell in row.cells:
            names = [contestant.name for contestant in cell.contestants]
            assert len(set(names)) == len(names)
            assert all(goal.ours in names and goal.theirs in names for goal in cell.goals), cell.title
