"""MMPR's ``meta.json`` with its JSONL files, as questions.

Rows of pairs hold ``question``, ``chosen``, ``rejected``, ``answer_gt``, rows of prompts ``question`` and ``answer``.
Only questions are read here: the responses of another model are not this one's, and a question with many pairs is one.
``mmpr.sources.mmpr_pairs`` reads the pairs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mmpr.config import Columns, MmprSource, Recipe
from mmpr.schema import Reject, SourceRow
from mmpr.sources import cells, jsonl
from mmpr.sources.mmpr_meta import Meta

_PROMPTS = Columns(answer="answer")
_PAIRS = Columns(answer="answer_gt")


class MmprJson:
    """The questions of a ``meta.json``; the name of a row's entry is its ``kind``."""

    def __init__(self, spec: MmprSource, recipe: Recipe) -> None:
        """Raises SourceError when a file is missing or holds something else."""
        self._name = spec.name
        self._meta = Meta(recipe.resolve(spec.path), spec.entries, recipe.images.max_bytes)

    def rows(self) -> Iterator[SourceRow | Reject]:
        """Every row, entry by entry (see ``mmpr.sources.Source``)."""
        for name, entry in self._meta.entries.items():

            def build(record: Mapping[str, Any], where: str, offset: int, name: str = name) -> SourceRow:
                return question_row(self._meta, name, record, where)

            yield from cells.make_rows(jsonl.read_records(entry.annotation, self._meta.label(name)), build, self._name)

    def load(self, ref: str) -> bytes:
        """The picture that a row refers to (see ``mmpr.sources.Source``)."""
        return self._meta.load(ref)

    def repeat_time(self, row: SourceRow) -> float:
        """The weight that ``meta.json`` gives to the row's entry."""
        return self._meta.entries[row.kind].repeat_time


def question_row(meta: Meta, name: str, record: Mapping[str, Any], where: str) -> SourceRow:
    """The question that a record of an entry asks, be it of pairs or of prompts.

    Raises:
        RowError: missing_field, wrong_type, empty_question.
    """
    columns = _PAIRS if "answer_gt" in record else _PROMPTS
    row = cells.make_row(record, columns, where, question=None, refer=lambda _, picture: meta.refer(name, picture))
    return SourceRow(row.where, row.question, row.answer, images=row.images, kind=name, answers=row.answers)
