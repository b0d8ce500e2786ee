"""Copies units of builds into another build, with some of their questions and pairs, and finishes what it made.

What is made lies in a folder beside the wanted one until it is whole, so a stop leaves nothing half.
"""

from __future__ import annotations

import contextlib
import shutil
from array import array
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmpr.derive.columns import Stored
from mmpr.errors import OutputError
from mmpr.inputs.build import FinishedBuild, open_build, read_plan
from mmpr.pipeline.pairing import only_pairs, sides_of, why_unpaired
from mmpr.pipeline.plan import Build
from mmpr.pipeline.work import WORK
from mmpr.schema import (
    Completions,
    IndexedRow,
    Pair,
    PreferenceRow,
    Question,
    Reject,
    Rollout,
    Verdicts,
)
from mmpr.storage.integrity import check_files
from mmpr.storage.manifest import write_manifest
from mmpr.storage.shards import (
    PLAN,
    STAGES,
    Split,
    Stage,
    Unit,
    Units,
    add_counts,
    index_shard,
    locked,
    rejects_shard,
    shard,
    stage_counts,
    write_json,
    write_rejects,
    write_shard,
)
from mmpr.storage.tables import read_rows

Keep = Callable[[Stored], Collection[int] | None]
"""Which pairs of a question are kept, by their numbers; None: the question is not kept at all."""


@dataclass(frozen=True, slots=True)
class Given:
    """A finished build that another one is made of."""

    build: FinishedBuild
    plan: Build
    format_pairs: bool

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self.build.folder


def open_given(folder: Path) -> Given:
    """A finished build, every byte of which is as it was written.

    Raises:
        OutputError: it is not finished, or damaged.
    """
    build = open_build(folder)
    for problem in check_files(folder):
        raise OutputError(f"{folder}: {problem} (mmpr check {folder} tells all)")
    try:
        return Given(build, read_plan(folder), bool(build.manifest["recipe"]["pairing"]["format_pairs"]))
    except (KeyError, TypeError) as error:
        raise OutputError(f"{folder}: its manifest is damaged ({error!r}); restore it from a copy") from None


@dataclass(slots=True)
class Making:
    """A build that is being made in ``folder``; ``units`` says how many it will have."""

    folder: Path
    units: Mapping[Split, int]
    index: dict[str, int] = field(default_factory=dict)
    work: dict[str, array[int]] = field(default_factory=lambda: {name: array("I") for name in WORK})

    def unit(self, split: Split, number: int) -> Unit:
        """A unit of it."""
        return Unit(split, number, self.units[split])


@contextlib.contextmanager
def making(out: Path, units: Mapping[Split, int]) -> Iterator[Making]:
    """A folder beside ``out`` that becomes ``out`` when all went well.

    Raises:
        OutputError: ``out`` is there already, or cannot be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"{out}: is there already; use another --out")
    folder = out.absolute().parent / f".{out.name}.making"
    with locked(folder):
        for path in folder.iterdir():
            if path.name != ".lock":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        yield Making(folder, units)
        if out.exists():
            out.rmdir()
        folder.rename(out)


def read_unit(given: Given, unit: Unit, pictures: bool = True) -> Iterator[Stored]:
    """What a build stores of the questions of a training unit, in order. Questions lack pictures unless asked for."""

    def by_id(stage: Stage, noun: type[Any], without: tuple[str, ...] = ()) -> dict[str, Any]:
        return {row.id: row for row in read_rows(shard(given.folder, stage, unit), noun, without)}

    rollouts, verdicts = by_id("sample", Rollout), by_id("verify", Verdicts)
    completions, pairs = by_id("complete", Completions), by_id("pair", PreferenceRow, ("images",))
    without = () if pictures else ("images",)
    for question in read_rows(shard(given.folder, "ingest", unit), Question, without):
        of = question.id
        yield Stored(question, rollouts.get(of), completions.get(of), verdicts.get(of), pairs.get(of))


def copy_unit(given: Given, unit: Unit, made: Making, number: int, keep: Keep) -> None:
    """Write what is kept of a training unit as unit ``number`` of the new build, with its counts.

    A row that is kept is kept as it is, but for the pairs that are not.
    """
    to = made.unit("train", number)
    kept: list[Stored] = []
    counts: dict[Stage, dict[str, int]] = {stage: {} for stage in STAGES}
    for stored in read_unit(given, unit):
        numbers = keep(stored)
        if numbers is not None:
            one = _with_pairs(stored, numbers)
            kept.append(one)
            _count(counts, stored, one, given.format_pairs)
    ids = {stored.question.id for stored in kept}
    to_judge = sum(len(one.rollout.responses) for one in kept if one.verdicts and one.rollout)
    made.work["questions"].append(len(kept))
    made.work["to_judge"].append(to_judge)
    _copy_index(given, unit, made, to, ids)
    parts: tuple[tuple[Stage, type[Any], list[Any]], ...] = (
        ("ingest", Question, [one.question for one in kept]),
        ("sample", Rollout, [one.rollout for one in kept if one.rollout]),
        ("complete", Completions, [one.completions for one in kept if one.completions]),
        ("verify", Verdicts, [one.verdicts for one in kept if one.verdicts]),
        ("pair", PreferenceRow, [one.row for one in kept if one.row]),
    )
    for stage, noun, rows in parts:
        rejects = _rejects(given.folder, stage, unit, ids)
        for reject in rejects:
            add_counts(counts[stage], {f"{reject.source}/rejected/{reject.reason}": 1})
        write_rejects(made.folder, stage, to, rejects)
        write_shard(shard(made.folder, stage, to), noun, rows, counts[stage])


def copy_heldout(given: Given, unit: Unit, made: Making, number: int, is_new: Callable[[Question], bool]) -> None:
    """Write the held-out questions of a unit that are new as unit ``number`` of the new build."""
    to = made.unit("heldout", number)
    rows = [question for question in read_rows(shard(given.folder, "ingest", unit), Question) if is_new(question)]
    counts: dict[str, int] = {}
    for question in rows:
        add_counts(counts, {f"{question.source}/questions": 1})
    _copy_index(given, unit, made, to, {question.id for question in rows})
    write_shard(shard(made.folder, "ingest", to), Question, rows, counts)


def lineage(given: Given) -> dict[str, Any]:
    """What the manifest of a new build says of one that it was made of."""
    manifest = given.build.manifest
    names = ("seal", "mmpr", "model_revision", "lineage")
    told = {name: manifest[name] for name in names if name in manifest}
    return {"name": manifest["recipe"]["name"], "model": manifest["recipe"]["model"]["path"], **told}


def finish(made: Making, about: dict[str, Any]) -> dict[str, Any]:
    """Write plan, card and manifest; returns the manifest without ``files``.

    Raises:
        OutputError: nothing was kept.
    """
    if not sum(made.work["questions"]):
        raise OutputError("no question is left, so no build was made")
    work = {name: list(numbers) for name, numbers in made.work.items()}
    write_json(made.folder / PLAN, {**about, "units": dict(made.units), "counts": made.index, "work": work})
    train, heldout = Units("train", made.units["train"]), Units("heldout", made.units["heldout"])
    counts = {"index": made.index, "heldout": stage_counts(made.folder, "ingest", heldout)}
    counts |= {stage: stage_counts(made.folder, stage, train) for stage in STAGES}
    return write_manifest(made.folder, about, counts)


def _with_pairs(stored: Stored, numbers: Collection[int]) -> Stored:
    """The same with only these pairs, and the row of pairs with its pictures again."""
    if stored.row is None:
        return stored
    pairs: list[Pair] = [pair for number, pair in enumerate(stored.row.pairs) if number in numbers]
    if not pairs:
        return Stored(stored.question, stored.rollout, stored.completions, stored.verdicts)
    row = stored.row
    responses, moved = (row.responses, row.pairs) if len(pairs) == len(row.pairs) else only_pairs(row.responses, pairs)
    fields = {name: getattr(row, name) for name in PreferenceRow.__slots__}
    new = PreferenceRow(**{**fields, "images": stored.question.images, "responses": responses, "pairs": moved})
    return Stored(stored.question, stored.rollout, stored.completions, stored.verdicts, new)


def _count(counts: Mapping[Stage, dict[str, int]], before: Stored, now: Stored, format_pairs: bool) -> None:
    """Add what the stages would have counted of a question; pairs that are not there are counted in two sums."""
    source = now.question.source

    def count(stage: Stage, what: str, by: int = 1) -> None:
        if by:
            add_counts(counts[stage], {f"{source}/{what}": by})

    count("ingest", "questions")
    if now.rollout is None:
        return
    count("sample", "responses", len(now.rollout.responses))
    count("sample", "tokens", sum(response.tokens for response in now.rollout.responses))
    count("sample", "prompt_tokens", now.rollout.prompt_tokens)
    for response in now.rollout.responses:
        count("sample", f"finish/{response.finish_reason}")
    done = now.completions.completions if now.completions else ()
    count("complete", "continuations", len(done))
    count("complete", "tokens", sum(item.continuation.tokens for item in done))
    verdicts = now.verdicts.verdicts if now.verdicts else None
    for verdict in verdicts or ():
        count("verify", verdict.status)
    pairs, were = now.row.pairs if now.row else (), before.row.pairs if before.row else ()
    count("pair", f"questions/{'paired' if pairs else why_unpaired(now.rollout, verdicts, format_pairs)}")
    for pair in pairs:
        count("pair", f"pairs/{pair.method}")
    possible = len(done) if verdicts is None else sides_of(now.rollout.responses, verdicts, format_pairs).possible
    count("pair", "skipped/not_selected", len(were) - len(pairs))
    count("pair", "skipped/left_out_before", possible - len(were))


def _copy_index(given: Given, unit: Unit, made: Making, to: Unit, ids: Collection[str]) -> None:
    rows = list(read_rows(index_shard(given.folder, unit), IndexedRow))
    kept = [row for row in rows if row.id in ids]
    for row in rows:
        add_counts(made.index, {f"{row.source}/{'selected' if row.id in ids else 'not_selected'}": 1})
    write_shard(index_shard(made.folder, to), IndexedRow, kept, {})


def _rejects(folder: Path, stage: Stage, unit: Unit, ids: Collection[str]) -> list[Reject]:
    """What a stage dropped of these questions."""
    path = rejects_shard(folder, stage, unit)
    return [reject for reject in read_rows(path, Reject) if reject.id in ids] if path.exists() else []
