"""Seeded samples: the same build and seed give the same choice, however the build is cut into units."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mmpr.report.load.units import Bools, Ints
from mmpr.report.measure.text_checks import Hashes, mix_bits, text_hashes

AUDITED = 200
"""Verdicts shown to a person; with 200, nearly all of them right, the 95 % interval is some 5 points wide."""

_SAMPLES = 1 << 12  # more than a question has samples


def random_numbers(seed: int, numbers: Ints) -> Hashes:
    """A random number for each of ``numbers`` (N,), the same for the same seed."""
    return mix_bits(mix_bits(numbers.astype(np.uint64)) ^ text_hashes([f"report {seed}"])[0])


class VerdictSample:
    """A uniform sample of each comparator's verdicts: those with the smallest random numbers, in bounded memory.

    With ``unsure_first`` the unsure ones are drawn before all others, as many as fit.
    """

    def __init__(self, seed: int, unsure_first: bool = False) -> None:
        self._seed, self._unsure_first = seed, unsure_first
        self._kept: dict[str, npt.NDArray[np.uint64]] = {}  # (n, 2): random number, question and sample
        self._unsure: npt.NDArray[np.uint64] = np.zeros((0, 2), dtype=np.uint64)

    def add(
        self, labels: Sequence[str], codes: Ints, questions: Ints, samples: Ints, unsure: Bools | None = None
    ) -> None:
        """Add verdicts (N,): their comparator's position in ``labels``, their question's number, their sample.

        ``unsure`` (N,) says which are; None: none.
        """
        places = questions * _SAMPLES + samples
        drawn = np.stack([random_numbers(self._seed, places), places.astype(np.uint64)], axis=1)
        if self._unsure_first and unsure is not None:
            self._unsure = _smallest(self._unsure, drawn[unsure])
            drawn, codes = drawn[~unsure], codes[~unsure]
        for code, label in enumerate(labels):
            self._kept[label] = _smallest(self._kept.get(label, drawn[:0]), drawn[codes == code])

    def chosen(self) -> list[tuple[int, int]]:
        """(question, sample) of at most ``AUDITED`` verdicts in random order, as even as possible over comparators."""
        ranked = [(-1, int(number), int(place)) for number, place in self._unsure] + sorted(
            (rank, int(number), int(place)) for kept in self._kept.values() for rank, (number, place) in enumerate(kept)
        )
        ranked = ranked[:AUDITED]
        return [divmod(place, _SAMPLES) for _, _, place in sorted(ranked, key=lambda item: item[1])]


def _smallest(kept: npt.NDArray[np.uint64], more: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The ``AUDITED`` rows with the smallest random numbers of both."""
    merged = np.concatenate([kept, more])
    return merged[np.argsort(merged[:, 0], kind="stable")[:AUDITED]]
