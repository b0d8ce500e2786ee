"""Distributions that are counted while rows stream by."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpr.report.measure.histograms import COUNTS, SHARES, SIGNED, Categories, Histogram


@given(st.lists(st.integers(-5_000, 5_000), min_size=1, max_size=200))
def test_histograms_agree_with_numpy(values: list[int]) -> None:
    numbers = np.array(values)
    for edges, some in ((SIGNED, numbers), (COUNTS, np.abs(numbers)), (SHARES, np.abs(numbers) / 5_000)):
        counted = Histogram("k", "t", "u", "things", edges, ("a", "b"), methods=False)
        half = len(some) // 2
        counted.add(some[:half], np.zeros(half, dtype=np.int64))
        counted.add(some[half:], np.ones(len(some) - half, dtype=np.int64))
        shown = counted.distribution()
        whole = shown.groups[0]
        assert whole.total == len(some) == sum(whole.counts)
        assert sum(group.total for group in shown.groups[1:]) == len(some)
        assert list(shown.edges) == sorted(set(shown.edges))
        slack = 1e-9 if edges is SHARES else 0
        expected = [
            int(((some >= low - slack) & (some < high - slack)).sum())
            for low, high in zip(shown.edges, [*shown.edges[1:-1], np.inf], strict=False)
        ]
        assert list(whole.counts) == expected
        assert whole.summary is not None
        assert (whole.summary.least, whole.summary.most) == (some.min(), some.max())
        assert whole.summary.mean == pytest.approx(some.mean())
        exact = np.quantile(some, [0.05, 0.5, 0.95], method="inverted_cdf")
        found = [whole.summary.p05, whole.summary.p50, whole.summary.p95]
        assert found == pytest.approx(exact, rel=0.011, abs=0.0011)


def test_rare_labels_are_shown_together() -> None:
    counted = Categories("k", "t", "things", ("a",))
    for number in range(40):
        counted.count(f"label {number:02}", 0, by=100 - number)
    shown = counted.distribution()
    assert len(shown.labels) == 21
    assert shown.labels[-1] == "other"
    assert sum(shown.groups[0].counts) == sum(100 - number for number in range(40))
