"""Training questions that are also elsewhere: in the held-out split, or in a benchmark.

The other sets are read first and kept as hashes (about 400 bytes a picture, 200 a question); the training questions
then stream by once, pictures too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mmpr.report.inputs import Asked
from mmpr.report.nouns import Contamination, Hit, HitMethod, Overlap
from mmpr.report.pictures import Fingerprint
from mmpr.report.tally import BIT, Tally
from mmpr.report.texts import keys, plain_question

HELDOUT = "held-out split"
"""The name under which the held-out split is compared."""
PERCEPTUAL_BITS = 6
"""Perceptual hashes of 64 bits that differ in so many belong to pictures that look alike; the same picture compressed
again or made smaller differs in 0 to 4."""
THUMB_LEVELS = 24
"""And no spot may differ in colour by more (of 255): the hashes see no colours, nor where a small thing stands."""

_HITS_LISTED = 200
_TEXT_CHARS = 200
_METHODS: tuple[HitMethod, ...] = ("question", "image", "perceptual", "text")
_TEXT_NOTE = "the same words may ask about another picture; generated questions repeat by nature"


@dataclass(slots=True)
class Others:
    """A set of questions to compare with. ``add`` all of them, then ``match``."""

    name: str
    wheres: list[str] = field(default_factory=list)
    texts: list[int] = field(default_factory=list)
    bare: list[bool] = field(default_factory=list)
    pictures: dict[int, list[int]] = field(default_factory=dict)
    prints: list[Fingerprint] = field(default_factory=list)
    rejected: int = 0
    _by_text: dict[int, int] = field(default_factory=dict)
    _hashes: npt.NDArray[np.uint64] | None = None
    _thumbs: npt.NDArray[np.int16] | None = None

    def add(self, where: str, question: str | None, prints: Sequence[Fingerprint]) -> None:
        """Take a question; None when only its pictures are known."""
        row = len(self.wheres)
        self.wheres.append(where)
        text = 0 if question is None else text_key(question)
        self.texts.append(text)
        self.bare.append(not prints)
        if question is not None and (text not in self._by_text or (not prints and not self.bare[self._by_text[text]])):
            self._by_text[text] = row
        for item in prints:
            if item.key not in self.pictures:
                self.prints.append(item)
            self.pictures.setdefault(item.key, []).append(row)

    def match(self, text: int, prints: Sequence[Fingerprint]) -> dict[HitMethod, dict[int, int]]:
        """By each method that finds it: the rows here that a question equals, and the distance in bits."""
        found: dict[HitMethod, dict[int, int]] = {}
        for item in prints:
            same = self.pictures.get(item.key)
            method: HitMethod = "perceptual" if same is None else "image"
            for row, distance in self._alike(item) if same is None else ((row, 0) for row in same):
                found.setdefault(method, {})[row] = distance
                if self.texts[row] == text:
                    found.setdefault("question", {})[row] = distance
        if text in self._by_text:
            row = self._by_text[text]
            found["text"] = {row: 0}
            if not prints and self.bare[row]:
                found.setdefault("question", {})[row] = 0
        return found

    def _alike(self, item: Fingerprint) -> Iterator[tuple[int, int]]:
        if not self.prints:
            return
        if self._hashes is None or self._thumbs is None:
            self._hashes = np.array([other.perceptual for other in self.prints], dtype=np.uint64)
            self._thumbs = np.stack([other.thumb for other in self.prints]).astype(np.int16)
        distances = np.bitwise_count(self._hashes ^ np.uint64(item.perceptual))
        near = np.flatnonzero(distances <= PERCEPTUAL_BITS)
        apart = np.abs(self._thumbs[near] - item.thumb.astype(np.int16)).max(axis=(1, 2, 3), initial=0)
        for at in near[apart <= THUMB_LEVELS]:
            for row in self.pictures[self.prints[at].key]:
                yield row, int(distances[at])


@dataclass(slots=True)
class _Found:
    """What one method finds of one set."""

    questions: int = 0
    rows: set[int] = field(default_factory=set)
    listed: list[Hit] = field(default_factory=list)


def text_key(question: str) -> int:
    """64 bits of a question's text without marks, case, spaces and punctuation."""
    return int(keys([plain_question(question)])[0])


def heldout(asked: Iterable[list[Asked]]) -> Others:
    """The held-out split."""
    others = Others(HELDOUT)
    for batch in asked:
        for row in batch:
            others.add(row.id, row.question, row.prints)
    return others


class Overlaps:
    """What training questions have in common with other sets; those of a set called ``HELDOUT`` mark questions."""

    def __init__(self, others: Sequence[Others]) -> None:
        self._others = tuple(others)
        self._found = {(other.name, method): _Found() for other in others for method in _METHODS}
        self._ours = self._pictures = 0

    def add(self, asked: Iterable[list[Asked]], tally: Tally) -> None:
        """Take the unit that the tally has just counted; fills in its figures of pictures on the way."""
        number = {name: at for at, name in enumerate(tally.sources)}
        place = 0
        for batch in asked:
            sources = np.array([number[row.source] for row in batch], dtype=np.int64)
            counts = np.array([len(row.prints) for row in batch], dtype=np.int64)
            sides = [max(item.width, item.height) for row in batch for item in row.prints]
            tally.histograms["images_per_question"].add(counts, sources)
            tally.histograms["image_side"].add(np.array(sides, dtype=np.int64), np.repeat(sources, counts))
            self._ours, self._pictures = self._ours + len(batch), self._pictures + int(counts.sum())
            for row in batch:
                self._match(row, place, tally)
                place += 1

    def found(self) -> Contamination:
        """All overlaps."""
        overlaps = [
            _overlap(other, method, self._found[other.name, method], self._ours, self._pictures)
            for other in self._others
            for method in _METHODS
        ]
        hits = [hit for one in self._found.values() for hit in one.listed]
        rejected = tuple((other.name, other.rejected) for other in self._others if other.rejected)
        return Contamination(tuple(overlaps), tuple(hits), rejected)

    def _match(self, row: Asked, place: int, tally: Tally) -> None:
        text = text_key(row.question)
        for other in self._others:
            matches = other.match(text, row.prints)
            if other.name == HELDOUT:
                tally.flags[-1][place] |= _bits(matches)
            for method, rows in matches.items():
                _keep(self._found[other.name, method], other, method, row, rows)


def _keep(found: _Found, other: Others, method: HitMethod, row: Asked, rows: dict[int, int]) -> None:
    found.questions += 1
    found.rows.update(rows)
    at, distance = next(iter(rows.items()))
    if len(found.listed) < _HITS_LISTED:
        text = row.question[:_TEXT_CHARS]
        found.listed.append(Hit(other.name, method, row.id, row.source, other.wheres[at], distance, text))


def _overlap(other: Others, method: HitMethod, found: _Found, ours: int, pictures: int) -> Overlap:
    by_picture = method in ("image", "perceptual")
    theirs = sum(not bare for bare in other.bare) if by_picture else sum(text != 0 for text in other.texts)
    known = len(found.rows)
    if method == "text":  # the first of equal texts stands for all of them
        texts = {other.texts[row] for row in found.rows}
        known = sum(text in texts for text in other.texts)
    note = _TEXT_NOTE if method == "text" and found.questions else ""
    mine = pictures if by_picture else ours
    return Overlap(other.name, method, mine, theirs, found.questions, known / theirs if theirs else 0.0, note)


def _bits(matches: dict[HitMethod, dict[int, int]]) -> np.uint32:
    bits = BIT["shared_images"] if "image" in matches or "perceptual" in matches else 0
    return np.uint32(bits | (BIT["heldout_overlap"] if "question" in matches else 0))
