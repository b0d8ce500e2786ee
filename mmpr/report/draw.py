"""What is drawn by the seed: the same build and seed give the same choice, however the build is cut into units."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mmpr.report.read import Ints
from mmpr.report.texts import Keys, keys, mix

AUDITED = 200
"""Verdicts that are shown to a person; 200 of which all but a few are right give a 95 % interval of some 5 points."""

_SAMPLES = 1 << 12  # more than a question has samples


def draw(seed: int, numbers: Ints) -> Keys:
    """A random number (N,) for each of some numbers, the same for the same seed."""
    return mix(mix(numbers.astype(np.uint64)) ^ keys([f"report {seed}"])[0])


class VerdictDraw:
    """A uniform sample of verdicts of each comparator, in bounded memory: those with the smallest random numbers."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._kept: dict[str, npt.NDArray[np.uint64]] = {}  # (n, 2): random number, question and sample

    def add(self, labels: Sequence[str], codes: Ints, questions: Ints, samples: Ints) -> None:
        """Take verdicts (N,): their comparator's number in ``labels``, their question's number, their sample."""
        places = questions * _SAMPLES + samples
        drawn = np.stack([draw(self._seed, places), places.astype(np.uint64)], axis=1)
        for code, label in enumerate(labels):
            both = np.concatenate([self._kept.get(label, drawn[:0]), drawn[codes == code]])
            self._kept[label] = both[np.argsort(both[:, 0], kind="stable")[:AUDITED]]

    def chosen(self) -> list[tuple[int, int]]:
        """(question, sample) of at most ``AUDITED`` verdicts, as evenly over comparators as there are, shuffled."""
        ranked = sorted(
            (rank, int(number), int(place)) for kept in self._kept.values() for rank, (number, place) in enumerate(kept)
        )[:AUDITED]
        return [divmod(place, _SAMPLES) for _, _, place in sorted(ranked, key=lambda item: item[1])]
