"""The seeded sample of verdicts."""

from __future__ import annotations

import numpy as np

from mmpr.report.measure.sampling import VerdictSample, random_numbers


def test_verdicts_are_drawn_evenly_and_whatever_the_units() -> None:
    def drawn(cuts: int) -> list[tuple[int, int]]:
        sample = VerdictSample(7)
        for part in np.array_split(np.arange(9_000), cuts):
            sample.add(["rare", "often"], (part % 30 > 0).astype(np.int64), part // 8, part % 8)
        return sample.chosen()

    chosen = drawn(1)
    assert chosen == drawn(13)
    assert len(set(chosen)) == 200
    assert sum((question * 8 + at) % 30 == 0 for question, at in chosen) == 100
    assert len(np.unique(random_numbers(1, np.arange(10_000)))) == 10_000
