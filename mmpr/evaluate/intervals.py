"""The statistics of an evaluation: bootstrap intervals, pass@k, and McNemar's test.

All take one number a question. The K samples of a question are not independent, so the bootstrap resamples whole
questions.
"""

from __future__ import annotations

from math import comb

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

RESAMPLES = 10_000
CONFIDENCE = 0.95
_DRAWN_AT_ONCE = 1 << 22  # numbers, 32 MiB


def interval(values: Floats, seed: int = 0) -> tuple[float, float] | None:
    """The 95 % percentile bootstrap interval of the mean of one value a question (N,); None of fewer than two.

    Questions are drawn with replacement ``RESAMPLES`` times. The same values and seed give the same interval.
    """
    size = len(values)
    if size < 2:
        return None
    if np.all(values == values[0]):
        return float(values[0]), float(values[0])
    rng = np.random.default_rng(seed)
    means = np.empty(RESAMPLES)
    step = max(1, _DRAWN_AT_ONCE // size)
    for start in range(0, RESAMPLES, step):
        many = min(step, RESAMPLES - start)
        means[start : start + many] = values[rng.integers(0, size, (many, size), dtype=np.int64)].mean(axis=1)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, (tail, 1 - tail))
    return float(low), float(high)


def pass_at(samples: Ints, correct: Ints, k: int) -> float | None:
    """The mean over questions (N,) of the chance that at least one of k samples is right; None without questions.

    The unbiased estimate from ``correct`` of ``samples`` drawn: 1 - C(n - c, k) / C(n, k) (Chen et al. 2021, arXiv
    2107.03374).

    Raises:
        ValueError: a question has fewer than k samples.
    """
    if not len(samples):
        return None
    if k < 1 or np.any(samples < k):
        raise ValueError(f"pass@{k} wants at least {k} samples of every question")
    pairs = zip(samples.tolist(), correct.tolist(), strict=True)
    return sum(1 - comb(n - c, k) / comb(n, k) for n, c in pairs) / len(samples)


def mcnemar(only_first: int, only_second: int) -> float:
    """The exact two-sided p-value of McNemar's test that two models are right equally often.

    ``only_first`` and ``only_second`` count the questions that only one of them got right; without any, it is 1.
    """
    differing = only_first + only_second
    if not differing:
        return 1.0
    from scipy.stats import binomtest  # a second of import, for a command that may have nothing to compare

    return float(binomtest(only_first, differing, 0.5).pvalue)
