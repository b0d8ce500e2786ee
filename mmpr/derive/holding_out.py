"""A held-out split that is taken of a build later: by picture, so that nothing of it is trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from mmpr.derive.columns import Stored, letters_of
from mmpr.derive.copying import Given, Making, read_unit
from mmpr.schema import IndexedRow, Question, content_id
from mmpr.sources.ids import Seen
from mmpr.storage.shards import Unit, add_counts, index_shard, shard, write_shard
from mmpr.storage.tables import read_rows

SUFFIX = "-heldout"
"""Behind the name of a source, for what is held out of it."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What is held out: a question ``is_drawn``, or may not be trained on (``touches``) since it shares a picture.

    ``units`` are the training units that have questions to hold out, ``sources`` those that they come from.
    """

    is_drawn: Callable[[Question], bool]
    marks: Seen
    units: frozenset[Unit]
    sources: frozenset[str]

    def touches(self, question: Question) -> bool:
        """Whether a question has a picture of a held-out one or, without pictures, the letters of one."""
        return any(mark in self.marks for mark in marks_of(question))


def marks_of(question: Question) -> list[str]:
    """What must not be both trained on and evaluated with: the pictures, or without any the letters of the text."""
    if question.images:
        return [content_id("picture", picture) for picture in question.images]
    return [content_id("text", letters_of(question))]


def draw(given: Given, share: float, keep: Callable[[Stored], object]) -> HeldOut:
    """Draw this share of the pictures of a build, and hold out the questions with a truth that have one of them.

    Only questions that are kept anyway (``keep`` is not None) are held out. A picture is drawn by its bytes alone.
    """
    seed = str(given.build.manifest["recipe"]["seed"])

    def is_drawn(question: Question) -> bool:
        ranks = (int(content_id("heldout", seed, mark), 16) for mark in marks_of(question))
        return question.answer is not None and any(rank < share * 2**128 for rank in ranks)

    marks, units, sources = Seen(), set[Unit](), set[str]()
    for unit in given.plan.of("train"):
        drawn = [one.question for one in read_unit(given, unit) if is_drawn(one.question) and keep(one) is not None]
        for mark in (mark for question in drawn for mark in marks_of(question)):
            marks.add(mark)
        sources |= {question.source for question in drawn}
        units |= {unit} if drawn else set()
    return HeldOut(is_drawn, marks, frozenset(units), frozenset(sources))


def write_heldout(given: Given, made: Making, unit: Unit, number: int, is_held: Callable[[Question], bool]) -> None:
    """Write the questions of a training unit that are held out as the held-out unit of this number."""
    to = made.unit("heldout", number)
    questions = [
        replace(question, source=question.source + SUFFIX)
        for question in read_rows(shard(given.folder, "ingest", unit), Question)
        if is_held(question)
    ]
    ids, counts = {question.id for question in questions}, dict[str, int]()
    for question in questions:
        add_counts(counts, {f"{question.source}/questions": 1})
        add_counts(made.index, {f"{question.source}/selected": 1})
    indexed = (row for row in read_rows(index_shard(given.folder, unit), IndexedRow) if row.id in ids)
    rows = [replace(row, source=row.source + SUFFIX) for row in indexed]
    write_shard(index_shard(made.folder, to), IndexedRow, rows, {})
    write_shard(shard(made.folder, "ingest", to), Question, questions, counts)


def specs_of(recipe: Mapping[str, Any], sources: frozenset[str]) -> Iterator[dict[str, Any]]:
    """The entries of ``heldout`` in a recipe, for what is held out of these sources."""
    for spec in recipe["sources"]:
        if spec["name"] in sources:
            yield {**spec, "name": spec["name"] + SUFFIX}
