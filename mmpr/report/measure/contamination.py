"""Training questions that another set holds too: the held-out split, or a benchmark.

The other sets are read first and kept as hashes (about 400 bytes a picture, 200 a question); then the training
questions are compared one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mmpr.errors import SourceError
from mmpr.report.contents import Contamination, Hit, MatchMethod, Overlap
from mmpr.report.load.fingerprints import Fingerprint
from mmpr.report.load.question_sets import read_questions
from mmpr.report.load.units import HashedQuestion
from mmpr.report.measure.dataset_statistics import BIT, Statistics
from mmpr.report.measure.pictures import ALIKE_BITS, ALIKE_LEVELS
from mmpr.report.measure.text_checks import plain_question, text_hashes
from mmpr.schema import Reject

HELDOUT = "held-out split"
"""The name of the held-out split among the sets."""

_HITS_LISTED = 200
_TEXT_CHARS = 200
_METHODS: tuple[MatchMethod, ...] = ("question", "image", "perceptual", "text")
_TEXT_NOTE = "the same words may ask about another picture; generated questions repeat by nature"


@dataclass(slots=True)
class QuestionSet:
    """A set of questions to compare with: ``add`` all of them, then ``match``.

    Of each question, in the order of their being added: where it stands, the hash of its text (0 when only its pictures
    are known), and whether it is ``bare``, without pictures. ``pictures`` maps a picture's key to the questions that
    show it. ``rejected`` counts rows that could not be read.
    """

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
        """Add a question; its text is None when only its pictures are known."""
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

    def match(self, text: int, prints: Sequence[Fingerprint]) -> dict[MatchMethod, dict[int, int]]:
        """The questions of this set that match, with their distance in bits, by the method that finds them."""
        found: dict[MatchMethod, dict[int, int]] = {}
        for item in prints:
            same = self.pictures.get(item.key)
            method: MatchMethod = "perceptual" if same is None else "image"
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
        near = np.flatnonzero(distances <= ALIKE_BITS)
        apart = np.abs(self._thumbs[near] - item.thumb.astype(np.int16)).max(axis=(1, 2, 3), initial=0)
        for at in near[apart <= ALIKE_LEVELS]:
            for row in self.pictures[self.prints[at].key]:
                yield row, int(distances[at])


@dataclass(slots=True)
class _Found:
    """The matches with one set by one method: training questions, rows of the set, and those that are listed."""

    questions: int = 0
    rows: set[int] = field(default_factory=set)
    listed: list[Hit] = field(default_factory=list)


def text_key(question: str) -> int:
    """A 64-bit hash of a question's text without image marks, case, spaces and punctuation."""
    return int(text_hashes([plain_question(question)])[0])


def heldout_set(questions: Iterable[list[HashedQuestion]]) -> QuestionSet:
    """The held-out split as a set to compare with."""
    found = QuestionSet(HELDOUT)
    for batch in questions:
        for row in batch:
            found.add(row.id, row.question, row.prints)
    return found


def read_question_set(path: Path, taken: Sequence[str] = ()) -> QuestionSet:
    """The questions at a path (see ``read_questions``); rows that cannot be read are counted.

    The set is named by the last part of the path, or by all of it when that name is ``taken``.

    Raises:
        SourceError: there are no questions, or no column looks like one.
        OutputError: a shard of a build cannot be read.
    """
    found = QuestionSet(str(path) if not path.name or path.name in taken else path.name)
    for row in read_questions(path):
        if isinstance(row, Reject):
            found.rejected += 1
        else:
            found.add(*row)
    if not found.wheres:
        raise SourceError(f"{path}: holds no question or picture that can be read ({found.rejected} rows cannot)")
    return found


class Overlaps:
    """Compares training questions with other sets; a match with the set named ``HELDOUT`` flags the question."""

    def __init__(self, others: Sequence[QuestionSet]) -> None:
        self._others = tuple(others)
        self._found = {(other.name, method): _Found() for other in others for method in _METHODS}
        self._ours = self._pictures = 0

    def add(self, questions: Iterable[list[HashedQuestion]], stats: Statistics) -> None:
        """Compare the unit that ``stats`` has just counted; also adds the statistics of its pictures to ``stats``."""
        number = {name: at for at, name in enumerate(stats.sources)}
        place = 0
        for batch in questions:
            sources = np.array([number[row.source] for row in batch], dtype=np.int64)
            counts = np.array([len(row.prints) for row in batch], dtype=np.int64)
            sides = [max(item.width, item.height) for row in batch for item in row.prints]
            stats.histograms["images_per_question"].add(counts, sources)
            stats.histograms["image_side"].add(np.array(sides, dtype=np.int64), np.repeat(sources, counts))
            places = np.repeat(np.arange(place, place + len(batch)), counts)
            wrong = stats.pictures.add([item for row in batch for item in row.prints], np.repeat(sources, counts))
            for at, names in zip(places, wrong, strict=True):
                for name in names:
                    stats.flag(name, np.array([at]))
            self._ours, self._pictures = self._ours + len(batch), self._pictures + int(counts.sum())
            for row in batch:
                self._match(row, place, stats)
                place += 1

    def found(self) -> Contamination:
        """All overlaps, after the last unit."""
        overlaps = [
            _overlap(other, method, self._found[other.name, method], self._ours, self._pictures)
            for other in self._others
            for method in _METHODS
        ]
        hits = [hit for one in self._found.values() for hit in one.listed]
        rejected = tuple((other.name, other.rejected) for other in self._others if other.rejected)
        return Contamination(tuple(overlaps), tuple(hits), rejected)

    def _match(self, row: HashedQuestion, place: int, stats: Statistics) -> None:
        text = text_key(row.question)
        for other in self._others:
            matches = other.match(text, row.prints)
            if other.name == HELDOUT:
                stats.flags[-1][place] |= _bits(matches)
            for method, rows in matches.items():
                _keep(self._found[other.name, method], other, method, row, rows)


def _keep(found: _Found, other: QuestionSet, method: MatchMethod, row: HashedQuestion, rows: dict[int, int]) -> None:
    found.questions += 1
    found.rows.update(rows)
    at, distance = next(iter(rows.items()))
    if len(found.listed) < _HITS_LISTED:
        text = row.question[:_TEXT_CHARS]
        found.listed.append(Hit(other.name, method, row.id, row.source, other.wheres[at], distance, text))


def _overlap(other: QuestionSet, method: MatchMethod, found: _Found, ours: int, pictures: int) -> Overlap:
    by_picture = method in ("image", "perceptual")
    theirs = sum(not bare for bare in other.bare) if by_picture else sum(text != 0 for text in other.texts)
    known = len(found.rows)
    if method == "text":  # the first of equal texts stands for all of them
        texts = {other.texts[row] for row in found.rows}
        known = sum(text in texts for text in other.texts)
    note = _TEXT_NOTE if method == "text" and found.questions else ""
    mine = pictures if by_picture else ours
    return Overlap(other.name, method, mine, theirs, found.questions, known / theirs if theirs else 0.0, note)


def _bits(matches: dict[MatchMethod, dict[int, int]]) -> np.uint32:
    bits = BIT["shared_images"] if "image" in matches or "perceptual" in matches else 0
    return np.uint32(bits | (BIT["heldout_overlap"] if "question" in matches else 0))
