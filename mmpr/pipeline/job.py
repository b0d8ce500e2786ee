"""What the stages of a build share: what a worker is told, the questions of a unit, its counts, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mmpr.config import Recipe
from mmpr.errors import RowError
from mmpr.prompts import Template
from mmpr.schema import Adjudications, Question, Reject
from mmpr.storage.shards import STAGES, Stage, Unit, add_counts, earlier_shard, shard, write_rejects, write_shard
from mmpr.storage.tables import Row, read_rows

Counts = dict[str, int]
UNADJUDICATED: tuple[Stage, ...] = tuple(stage for stage in STAGES if stage != "adjudicate")
"""The stages of a build without a verifier."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker must know: the recipe, where the build lies, and which model it is (its revision).

    ``questions`` is where the questions lie when others ask them too, in the folder of a build that has ingested them.
    ``stages`` are those that are done; ingest and verify always are. ``templates`` are those of all sources, by
    name.
    """

    recipe: Recipe
    out: Path
    model_revision: str
    templates: Mapping[str, Template]
    questions: Path | None = None
    stages: tuple[Stage, ...] = UNADJUDICATED

    def asked(self, unit: Unit) -> Path:
        """The shard of a unit's questions."""
        return shard(self.questions or self.out, "ingest", unit)

    def template(self, question: Question) -> Template:
        """The template that a question is asked with."""
        spec = self.recipe.source(question.source)
        return self.templates[spec.open_template if question.answer is None else spec.template]


@dataclass(slots=True)
class Tally:
    """Counts and rejects of a unit while it is worked on."""

    stage: Stage
    counts: Counts = field(default_factory=dict)
    rejects: list[Reject] = field(default_factory=list)

    def count(self, source: str, what: str, by: int = 1) -> None:
        """Count ``what`` of a source."""
        add_counts(self.counts, {f"{source}/{what}": by})

    def reject(self, source: str, id: str, error: RowError) -> None:
        """Note a row, question or response that was refused, and count it."""
        self.rejects.append(Reject(self.stage, source, id, error.reason, error.detail))
        self.count(source, f"rejected/{error.reason}")


def read_adjudications(out: Path, unit: Unit) -> dict[str, Adjudications]:
    """A verifier's words on a unit, by the question's id; none where nothing was put to one."""
    path = shard(out, "adjudicate", unit)
    return {row.id: row for row in read_rows(path, Adjudications)} if path.exists() else {}


def max_pairs_of(recipe: Recipe, source: str, default: int) -> int:
    """The most pairs of a question of a source; ``default`` is the recipe's, and 0 turns them off for all."""
    return default if default == 0 else recipe.source(source).max_pairs or default


def read_questions(job: Job, unit: Unit, pictures: bool = True) -> Iterator[Question]:
    """The questions of a unit, without their pictures if they are not needed."""
    return read_rows(job.asked(unit), Question, without=() if pictures else ("images",))


async def gather(work: Iterable[Awaitable[Row | None]]) -> list[Row]:
    """All results that are not None, in order. When one fails the others are cancelled, not left running."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_await(item)) for item in work]
    except BaseExceptionGroup as group_error:
        raise group_error.exceptions[0] from None
    return [result for task in tasks if (result := task.result()) is not None]


async def _await(item: Awaitable[Row]) -> Row:
    return await item


def finish(job: Job, unit: Unit, tally: Tally, noun: type[Row], rows: list[Row]) -> Counts:
    """Write the unit's rejects, then its shard, which says that both are there."""
    write_rejects(job.out, tally.stage, unit, tally.rejects)
    write_shard(shard(job.out, tally.stage, unit), noun, rows, tally.counts)
    earlier_shard(job.out, tally.stage, unit).unlink(missing_ok=True)
    return tally.counts
