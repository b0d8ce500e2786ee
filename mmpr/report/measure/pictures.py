"""What can be wrong with the pictures of a dataset: too small, dark, without detail, or there more than once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mmpr.report.load.fingerprints import Fingerprint
from mmpr.report.load.units import Bools, Ints

SMALL_PX = 32
"""The longer side of a picture that is too small: about one patch of the usual encoders (28 pixels for Qwen2.5-VL)."""
DARK_LEVEL = 12.0
"""The mean of 0 to 255 below which a picture is black to the eye."""
LITTLE_DETAIL = 4.0
"""The variance of the Laplacian at 64 pixels below which nothing can be made out in a picture; a sharp photograph or a
chart has hundreds to thousands."""
ALIKE_BITS, ALIKE_LEVELS = 6, 24
"""Pictures look alike when their perceptual hashes (64 bits) differ in at most so many bits (the same picture,
compressed again or made smaller, differs in 0 to 4), and no part of them in colour by more (of 255): the hashes see
neither colours nor small details."""

POOR = ("tiny_pictures", "dark_pictures", "blurred_pictures")
_BANDS = 4  # of 16 bits of a perceptual hash: pictures that agree in one are compared
_NEIGHBOURS = (1, 2, 4, 8)


def poor(picture: Fingerprint) -> list[str]:
    """The findings (of ``POOR``) that a picture is an example of."""
    wrong = (
        max(picture.width, picture.height) < SMALL_PX,
        float(picture.thumb.mean()) < DARK_LEVEL,
        picture.detail < LITTLE_DETAIL,
    )
    return [name for name, is_so in zip(POOR, wrong, strict=True) if is_so]


class Pictures:
    """Counts the pictures that questions show; keeps 30 bytes for each."""

    def __init__(self) -> None:
        self.shown: Counter[int] = Counter()
        self.poor: Counter[tuple[str, int]] = Counter()
        self._rows: list[npt.NDArray[np.uint64]] = []
        self._thumbs: list[npt.NDArray[np.uint8]] = []

    def add(self, pictures: Sequence[Fingerprint], sources: Ints) -> list[list[str]]:
        """Count pictures (N,) and their sources (N,); returns what is wrong with each (see ``poor``)."""
        wrong = [poor(picture) for picture in pictures]
        if not pictures:
            return wrong
        for names, source in zip(wrong, sources.tolist(), strict=True):
            self.shown[source] += 1
            self.poor.update((name, source) for name in names)
        rows = [(one.key, one.perceptual, source) for one, source in zip(pictures, sources.tolist(), strict=True)]
        thumbs = np.stack([picture.thumb for picture in pictures]).reshape(-1, 2, 4, 2, 4, 3).mean(axis=(2, 4))
        self._rows.append(np.array(rows, dtype=np.uint64))
        self._thumbs.append(thumbs.astype(np.uint8).reshape(-1, 12))
        return wrong

    def repeated(self) -> tuple[int, int, int]:
        """How many distinct pictures there are, how many look like another, and how many stand in several sources."""
        if not self._rows:
            return 0, 0, 0
        rows, thumbs = np.concatenate(self._rows), np.concatenate(self._thumbs)
        _, first, which = np.unique(rows[:, 0], return_index=True, return_inverse=True)
        pairs = np.unique(np.stack([which.astype(np.uint64), rows[:, 2]], axis=1), axis=0)
        several = np.bincount(pairs[:, 0].astype(np.int64), minlength=len(first)) > 1
        alike = _alike(rows[first, 1], thumbs[first].astype(np.int16))
        return len(first), int(alike.sum()), int(several.sum())


def _alike(hashes: npt.NDArray[np.uint64], thumbs: npt.NDArray[np.int16]) -> Bools:
    """Whether each picture (N,) looks like another one: perceptual hashes (N,), 2 × 2 RGB pixels (N, 12).

    Pictures that agree in 16 bits of the hash are sorted and compared with some neighbours, so a few members of a very
    large group may be missed.
    """
    found = np.zeros(len(hashes), dtype=np.bool_)
    for band in range(_BANDS):
        key = hashes >> np.uint64(16 * band) & np.uint64(0xFFFF)
        order = np.lexsort((hashes, key))
        for apart in _NEIGHBOURS:
            left, right = order[:-apart], order[apart:]
            same = key[left] == key[right]
            left, right = left[same], right[same]
            near = np.bitwise_count(hashes[left] ^ hashes[right]) <= ALIKE_BITS
            near &= np.abs(thumbs[left] - thumbs[right]).max(axis=1, initial=0) <= ALIKE_LEVELS
            found[left[near]] = found[right[near]] = True
    return found
