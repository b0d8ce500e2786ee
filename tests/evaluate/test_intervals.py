"""Intervals, pass@k and McNemar against enumeration, hand calculation and other implementations."""

from __future__ import annotations

import itertools
from fractions import Fraction
from math import comb

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from mmpr.evaluate import intervals
from mmpr.evaluate.intervals import interval, mcnemar, pass_at
from tests.helpers import known


def counts(*pairs: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([n for n, _ in pairs], dtype=np.int64), np.array([c for _, c in pairs], dtype=np.int64)


def chance_by_enumeration(n: int, c: int, k: int) -> Fraction:
    """The share of all sets of k of n samples (the first c of them right) that hold a right one."""
    sets = list(itertools.combinations(range(n), k))
    return Fraction(sum(min(chosen) < c for chosen in sets), len(sets))


@given(st.integers(1, 8).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_pass_at_k_is_the_share_of_sets_with_a_right_sample(case: tuple[int, int, int]) -> None:
    n, c, k = case
    assert pass_at(*counts((n, c)), k) == pytest.approx(float(chance_by_enumeration(n, c, k)), abs=1e-12)


def test_pass_at_k_by_hand() -> None:
    # 1 of 4 right: one sample finds it with 1/4, two with 1/2; 0 of 4 never; 4 of 4 always
    several = counts((4, 1), (4, 0), (4, 4))
    assert pass_at(*several, 1) == pytest.approx((0.25 + 0 + 1) / 3)
    assert pass_at(*several, 2) == pytest.approx((0.5 + 0 + 1) / 3)
    assert pass_at(*several, 4) == pytest.approx(2 / 3)
    assert pass_at(*counts(), 1) is None


@given(st.lists(st.integers(0, 6), min_size=1, max_size=12))
def test_pass_at_1_is_the_mean_and_more_samples_never_hurt(correct: list[int]) -> None:
    asked = counts(*((6, c) for c in correct))
    chances = [known(pass_at(*asked, k)) for k in range(1, 7)]
    assert chances[0] == pytest.approx(sum(correct) / (6 * len(correct)))
    assert chances[-1] == pytest.approx(sum(c > 0 for c in correct) / len(correct))
    assert all(a <= b + 1e-12 for a, b in itertools.pairwise(chances))


def test_pass_at_k_is_unbiased() -> None:
    # over all outcomes of 5 tosses with chance p, its mean is the chance that one of 2 tosses succeeds
    p = 0.3
    mean = sum(comb(5, c) * p**c * (1 - p) ** (5 - c) * known(pass_at(*counts((5, c)), 2)) for c in range(6))
    assert mean == pytest.approx(1 - (1 - p) ** 2)


def test_too_few_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="pass@3 wants at least 3 samples"):
        pass_at(*counts((4, 1), (2, 1)), 3)


@pytest.mark.parametrize(
    ("only_first", "only_second", "p"),
    [
        (0, 0, 1.0),
        (1, 0, 1.0),
        (0, 5, 2 / 2**5),
        (2, 8, 2 * (1 + 10 + 45) / 2**10),
        (5, 5, 1.0),
    ],
)
def test_mcnemar_by_hand(only_first: int, only_second: int, p: float) -> None:
    assert mcnemar(only_first, only_second) == pytest.approx(p)
    assert mcnemar(only_second, only_first) == pytest.approx(p)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_two_sided_sign_test(b: int, c: int) -> None:
    n, few = b + c, min(b, c)
    tail = sum(comb(n, i) for i in range(few + 1)) / 2**n
    assert mcnemar(b, c) == pytest.approx(min(1.0, 2 * tail))
    if n:
        assert mcnemar(b, c) == pytest.approx(scipy.stats.binomtest(few, n, 0.5).pvalue)


def test_an_interval_is_that_of_all_possible_draws() -> None:
    values = np.array([0.0, 0.25, 1.0, 1.0])
    means = sorted(sum(drawn) / 4 for drawn in itertools.product(values, repeat=4))
    low, high = known(interval(values))
    # the 2.5 % and 97.5 % points of the 256 equally likely means
    assert low == pytest.approx(means[6], abs=0.07)
    assert high == pytest.approx(means[249], abs=0.07)


def test_an_interval_is_that_of_scipy() -> None:
    values = np.random.default_rng(3).choice([0.0, 0.25, 0.5, 1.0], 300)
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    low, high = known(interval(values))
    assert low == pytest.approx(theirs.low, abs=0.004)
    assert high == pytest.approx(theirs.high, abs=0.004)
    assert interval(values) == (low, high)
    assert interval(np.arange(300, dtype=np.float64), seed=1) != interval(np.arange(300, dtype=np.float64))


def test_an_interval_covers_as_often_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "RESAMPLES", 1000)
    rng = np.random.default_rng(5)
    tries = 200
    hits = 0
    for _ in range(tries):
        low, high = known(interval((rng.random(150) < 0.6).astype(float)))
        hits += low <= 0.6 <= high
    # the binomial chance of fewer than 180 or all of 200 at 95 % is below 1 %
    assert 180 <= hits < 200


def test_repeated_samples_of_a_question_make_no_interval_narrower() -> None:
    # A question's K samples are one cluster: K equal samples say no more than one of them.
    once = (np.random.default_rng(2).random(80) < 0.5).astype(float)
    assert interval((8 * once) / 8) == interval(once)


@given(st.lists(st.integers(0, 4), min_size=2, max_size=30))
def test_an_interval_lies_within_the_values(correct: list[int]) -> None:
    values = np.array(correct) / 4
    low, high = known(interval(values))
    assert values.min() <= low <= high <= values.max()
    assert low - 1e-12 <= values.mean() <= high + 1e-12 or len(correct) < 8


def test_one_question_has_no_interval() -> None:
    assert interval(np.array([1.0])) is None
    assert interval(np.array([])) is None
    assert interval(np.array([0.5, 0.5])) == (0.5, 0.5)


def test_many_questions_are_drawn_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).random(500)
    whole = interval(values)
    monkeypatch.setattr(intervals, "_DRAWN_AT_ONCE", 40_000)
    assert interval(values) == pytest.approx(whole, abs=1e-12)
