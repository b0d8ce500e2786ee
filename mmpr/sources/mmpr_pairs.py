"""MMPR's public releases as preference pairs: ``meta.json`` with JSONL of ``question``, ``chosen``, ``rejected``.

    release = Release(path, on_reject)       one pass over the text; 34 bytes of memory a pair
    release[3], len(release)                 a question with all its pairs, pictures not opened yet
    release.load(release[3])                 the same with its pictures
    read_pairs(path, on_reject)              all of that, one after the other

A release repeats question and picture with every pair. Pairs of an entry that ask the same question about the same
pictures are one row here, wherever they stand in the file, and each distinct response stands in it once.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np

from mmpr.config import ImagesSpec
from mmpr.errors import RowError
from mmpr.schema import Method, Pair, PairedResponse, PreferenceRow, Reject, SourceRow, Status, TokenIds, question_id
from mmpr.sources import jsonl
from mmpr.sources.ingest import check_text, check_words, with_marks
from mmpr.sources.mmpr_json import question_row
from mmpr.sources.mmpr_meta import Meta
from mmpr.sources.values import Number
from mmpr.storage.images import clean_image

OnReject = Callable[[Reject], None]

_INT32, _INT64 = 2**31, 2**63


@dataclass(frozen=True, slots=True)
class LazyRow:
    """A question with its pairs whose pictures are still files: ``row.images`` is empty, ``refs`` names them.

    ``source`` of the row is the entry's name. ``where`` is the first of its ``lines`` lines, of which those that repeat
    a pair are no pairs.
    """

    row: PreferenceRow
    refs: tuple[str, ...]
    where: str
    lines: int


class Release:
    """The pairs of a ``meta.json``, a sequence of questions in the order in which the files first ask them.

    What a release does not tell stays empty: ``tokens`` and ``seed`` are 0, ``finish_reason`` and ``status`` ``""``,
    unless ``chosen_meta`` and ``rejected_meta`` hold them, as exports of a build do.
    """

    def __init__(
        self,
        path: Path,
        on_reject: OnReject,
        *,
        entries: tuple[str, ...] = (),
        limits: ImagesSpec | None = None,
    ) -> None:
        """Go through the text once.

        Args:
            path: ``meta.json``, or the folder that holds it.
            on_reject: told of every line that is no pair (``missing_field``, ``same_text``, ...), and of questions
                whose pictures cannot be had when they are loaded by ``rows``.
            entries: names in ``meta.json``; empty: all.
            limits: of pictures; None: those of a recipe.

        Raises:
            SourceError: a file is missing or holds something else.
        """
        self._limits = limits or ImagesSpec()
        meta = path / "meta.json" if path.is_dir() else path
        self._meta = Meta(meta, entries, self._limits.max_bytes)
        self._names = list(self._meta.entries)
        self._on_reject = on_reject
        self._read_index()

    def __len__(self) -> int:
        """The number of questions."""
        return len(self._starts)

    def __getitem__(self, place: int) -> LazyRow:
        """A question with all its pairs; opens no picture."""
        if not 0 <= place < len(self):
            raise IndexError(place)
        return self._assemble(place)[0]

    def repeat_time(self, source: str) -> float:
        """The weight that ``meta.json`` gives to an entry: a share below 1, or how often its pairs are seen."""
        return self._meta.entries[source].repeat_time

    @property
    def pairs(self) -> int:
        """The number of pairs, equal ones counted each time."""
        return len(self._offsets)

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of the entries."""
        return tuple(self._names)

    @property
    def lines(self) -> Mapping[str, int]:
        """How many lines each entry's file has, those that are no pairs too and blank ones not."""
        return self._lines

    def told_lines(self, source: str) -> int | None:
        """How many lines ``meta.json`` says that an entry has (its ``length``); None where it does not say."""
        return self._meta.entries[source].length

    def load(self, lazy: LazyRow) -> PreferenceRow:
        """The row with its pictures, cleaned as a build's are (a clean file stays as it is, byte for byte).

        Raises:
            RowError: a picture is missing, lies outside its root, or is none (``image_missing``, ...).
        """
        return replace(lazy.row, images=tuple(self.picture(ref) for ref in lazy.refs))

    def picture(self, ref: str) -> bytes:
        """One of a row's pictures, cleaned.

        Raises:
            RowError: see ``load``.
        """
        return clean_image(self._meta.load(ref), self._limits)

    def rows(self, start: int = 0, end: int | None = None) -> Iterator[PreferenceRow]:
        """The questions from ``start`` to before ``end``, with pictures; one that cannot be loaded is rejected."""
        for place in range(start, len(self) if end is None else min(end, len(self))):
            lazy, rejects = self._assemble(place)
            for reject in rejects:
                self._on_reject(reject)
            try:
                yield self.load(lazy)
            except RowError as error:
                self._on_reject(Reject("read", lazy.row.source, lazy.where, error.reason, error.detail))

    def _read_index(self) -> None:
        """Find the lines of every question: sort them by their question's id, which costs 16 bytes a pair."""
        ids, entries, offsets = bytearray(), array("H"), array("Q")
        self._lines = dict.fromkeys(self._names, 0)
        for number, name in enumerate(self._names):
            path = self._meta.entries[name].annotation
            for where, offset, record in jsonl.read_records(path, self._meta.label(name)):
                self._lines[name] += 1
                try:
                    if isinstance(record, RowError):
                        raise record
                    question = self._question(name, record, where)
                    _texts(record)
                except RowError as error:
                    self._on_reject(Reject("read", name, where, error.reason, error.detail))
                    continue
                ids += bytes.fromhex(question_id(name, question))
                entries.append(number)
                offsets.append(offset)
        keys = np.frombuffer(bytes(ids), dtype=[("high", ">u8"), ("low", ">u8")])
        order = np.lexsort((keys["low"], keys["high"]))  # stable: the lines of a question stay in order
        first = np.flatnonzero(np.concatenate([[True], keys[order][1:] != keys[order][:-1]])) if len(order) else order
        ends = np.append(first[1:], len(order))
        by_line = np.argsort(order[first], kind="stable")
        self._order, self._starts, self._ends = order, first[by_line], ends[by_line]
        self._entries, self._offsets = entries, offsets

    def _assemble(self, place: int) -> tuple[LazyRow, list[Reject]]:
        """A question of all its lines, and the lines that repeat an earlier one."""
        lines = self._order[self._starts[place] : self._ends[place]]
        name = self._names[self._entries[lines[0]]]
        path, label = self._meta.entries[name].annotation, self._meta.label(name)
        responses: dict[str, PairedResponse] = {}
        pairs: dict[tuple[str, str], tuple[Method, str]] = {}
        rejects = []
        for line in lines:
            offset = self._offsets[line]
            where = f"{label} at byte {offset}"
            record = jsonl.read_record_at(path, offset)
            if line == lines[0]:
                question, first = self._question(name, record, where), where
            texts = _texts(record)
            if texts in pairs:
                rejects.append(Reject("read", name, where, "duplicate", "repeats an earlier pair"))
                continue
            for text, side in zip(texts, ("chosen_meta", "rejected_meta"), strict=True):
                if text not in responses:
                    responses[text] = _response(text, record.get(side), len(responses))
            pairs[texts] = _how(name, record, question.answer)
        position = {text: place for place, text in enumerate(responses)}
        row = PreferenceRow(
            id=question_id(name, question),
            source=name,
            kind="",
            images=(),
            question=with_marks(question.question, len(question.images)),
            prompt=with_marks(question.question, len(question.images)),
            answer=question.answer,
            pass_rate=None,
            responses=tuple(responses.values()),
            pairs=tuple(
                Pair(position[chosen], position[rejected], method, reason)
                for (chosen, rejected), (method, reason) in pairs.items()
            ),
            answers=question.answers,
        )
        return LazyRow(row, question.images, first, len(lines)), rejects

    def _question(self, name: str, record: Mapping[str, Any], where: str) -> SourceRow:
        """What a line asks, checked as far as that goes without opening a picture."""
        row = question_row(self._meta, name, record, where)
        check_text(row)
        if len(row.images) > self._limits.max_per_question:
            most = self._limits.max_per_question
            raise RowError("too_many_images", f"{len(row.images)} pictures, the limit is {most}")
        with_marks(row.question, len(row.images))
        return row


def read_pairs(
    path: Path, on_reject: OnReject, *, entries: tuple[str, ...] = (), limits: ImagesSpec | None = None
) -> Iterator[PreferenceRow]:
    """The pairs of a release as rows of a build, one question after the other, in bounded memory (see ``Release``).

    Raises:
        SourceError: a file is missing or holds something else.
    """
    return Release(path, on_reject, entries=entries, limits=limits).rows()


def is_release(path: Path) -> bool:
    """Whether a path looks like a release: a JSON file, or a folder that holds ``meta.json``."""
    return (path / "meta.json").is_file() or (path.suffix == ".json" and path.is_file())


def _texts(record: Mapping[str, Any]) -> tuple[str, str]:
    """The chosen and the rejected response of a line.

    Raises:
        RowError: missing_field, wrong_type, bad_text, empty_response, same_text.
    """
    texts = []
    for name in ("chosen", "rejected"):
        if record.get(name) is None:
            raise RowError("missing_field", f"no {name!r}; prompts without responses are read by a recipe's type: mmpr")
        text = record[name]
        if type(text) is not str:
            raise RowError("wrong_type", f"{name!r} is no text")
        check_words(name, text)
        if not text.strip():
            raise RowError("empty_response", f"{name!r} is empty")
        texts.append(text)
    if texts[0] == texts[1]:
        raise RowError("same_text", "chosen and rejected are the same")
    return texts[0], texts[1]


def _how(name: str, record: Mapping[str, Any], answer: str | None) -> tuple[Method, str]:
    """How a pair was made: as its line says, or else as the entry's name and the truth suggest."""
    reason = _words(record.get("reason"))
    for known in get_args(Method):
        if record.get("method") == known:
            return known, reason
    if answer is None:
        return "dropout", reason
    return ("format" if "format" in name else "correctness"), reason


def _response(text: str, meta: Any, place: int) -> PairedResponse:
    """A response with what its meta tells of it; whatever is not of the expected type is not taken."""
    told: Mapping[str, Any] = meta if isinstance(meta, Mapping) else {}

    def number(name: str, otherwise: int = 0) -> int:
        value = told.get(name)
        digits = str(value) if isinstance(value, Number) else ""
        return int(digits) if digits.isdigit() and len(digits) < 20 and int(digits) < _INT64 else otherwise

    return PairedResponse(
        text=text,
        tokens=number("tokens"),
        finish_reason=_words(told.get("finish_reason")),
        seed=number("seed"),
        sample=number("sample", place),
        continued=told.get("continued") is True,
        prefix_chars=min(number("prefix_chars"), len(text)),
        status=status if (status := _words(told.get("status"))) in get_args(Status) else "",
        answer=_words(told.get("answer")) or None,
        token_ids=_token_ids(told.get("token_ids")),
        logprob=_logprob(told.get("logprob")),
    )


def _token_ids(value: Any) -> TokenIds:
    """The tokens of a response; none unless all are whole numbers of 31 bits."""
    digits = [str(item) if isinstance(item, Number) else "" for item in value] if isinstance(value, list) else []
    numbers = [int(item) for item in digits if item.isdigit() and len(item) < 11 and int(item) < _INT32]
    return tuple(numbers) if len(numbers) == len(digits) else ()


def _logprob(value: Any) -> float | None:
    number = float(value) if isinstance(value, Number) and len(value) < 40 else math.nan
    return number if math.isfinite(number) else None


def _words(value: Any) -> str:
    """A text that a shard can hold; ``""`` for anything else."""
    try:
        check_words("", value if type(value) is str else "")
    except RowError:
        return ""
    return str(value) if type(value) is str else ""
