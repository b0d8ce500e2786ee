"""People's judgements on a build: read from ``audit.jsonl``, found again among its responses, and kept beside them.

    audit.jsonl ─▶ judgements/ (when pairs are made: --from pair) ─▶ pairs/
             └───▶ how often the judge is right (check, report, card)

Pairs read ``judgements/``, never the file itself: what a pair stands on is part of the build, without people's names.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from mmpr.audit.judgements import AUDIT, Line, read_lines
from mmpr.audit.precision import Audited, Judged, audited
from mmpr.errors import OutputError
from mmpr.pipeline.pairing import distinct
from mmpr.schema import Judgement, Judgements, Rollout, Verdicts
from mmpr.storage.columns import column_of, read_columns
from mmpr.storage.shards import JUDGEMENTS, Unit, judgements_shard, shard, write_shard
from mmpr.storage.tables import read_rows


def read_audit(out: Path, units: Sequence[Unit]) -> Audited | None:
    """What ``audit.jsonl`` says of a build's verdicts; None without such a file.

    Raises:
        OutputError: a line of it is no judgement, or on a response that the build does not have.
    """
    if not (out / AUDIT).exists():
        return None
    return audited([one for _, judged in _found(out, units) for one in judged])


def keep_judgements(out: Path, units: Sequence[Unit]) -> None:
    """Put what ``audit.jsonl`` says now into ``judgements/``, in place of what it said before.

    Raises:
        OutputError: as ``read_audit``; then nothing is changed.
    """
    rows = list(_rows(out, units)) if (out / AUDIT).exists() else []
    shutil.rmtree(out / JUDGEMENTS, ignore_errors=True)
    for unit, of_unit in rows:
        write_shard(judgements_shard(out, unit), Judgements, of_unit, {})


def are_kept(out: Path, units: Sequence[Unit]) -> bool:
    """Whether the pairs know what ``audit.jsonl`` says now."""
    told = dict(_rows(out, units)) if (out / AUDIT).exists() else {}
    return all(list(read_judgements(out, unit).values()) == told.get(unit, []) for unit in units)


def read_judgements(out: Path, unit: Unit) -> dict[str, Judgements]:
    """The judgements that the pairs of a unit know, by the question's id; most units have none."""
    path = judgements_shard(out, unit)
    return {row.id: row for row in read_rows(path, Judgements)} if path.exists() else {}


def _rows(out: Path, units: Sequence[Unit]) -> Iterator[tuple[Unit, list[Judgements]]]:
    """The rows of ``judgements/``, of each unit that has some; people are numbered by the order of their names.

    A judgement is filed under the response that stands for all of its text, which is the one that pairs have.
    """
    found = list(_found(out, units))
    people = sorted({one.line.who for _, judged in found for one in judged})
    for unit, judged in found:
        wanted = {one.line.id: one.source for one in judged}
        stands_for = {
            rollout.id: _stands_for(rollout)
            for rollout in read_rows(shard(out, "sample", unit), Rollout)
            if rollout.id in wanted
        }
        said: dict[str, list[Judgement]] = {id: [] for id in wanted}
        for line in (one.line for one in judged):
            place, person = stands_for[line.id][line.sample], people.index(line.who)
            said[line.id].append(Judgement(place, person, line.verdict, line.says, line.instead))
        yield unit, [Judgements(id, wanted[id], tuple(of)) for id, of in said.items()]


def _stands_for(rollout: Rollout) -> list[int]:
    """For each response the one that stands for its text in pairs."""
    texts = [response.text.strip() for response in rollout.responses]
    first = {texts[place]: place for place in distinct(rollout.responses)}
    return [first[text] for text in texts]


def _found(out: Path, units: Sequence[Unit]) -> Iterator[tuple[Unit, list[Judged]]]:
    """The judgements of ``audit.jsonl`` beside the verdicts that they are about, a unit at a time."""
    left: dict[str, list[Line]] = {}
    for line in read_lines(out / AUDIT):
        left.setdefault(line.id, []).append(line)
    for unit in units if left else ():
        path = shard(out, "verify", unit)
        if not path.exists():
            continue
        ids = column_of(read_columns(path, ["id"]), "id")
        wanted = set(ids.filter(pc.is_in(ids, value_set=pa.array(list(left), ids.type))).to_pylist())
        if not wanted:
            continue
        judged: list[Judged] = []
        for row in read_rows(path, Verdicts):
            if row.id in wanted:
                for line in left.pop(row.id):
                    judged.append(_judged(out, line, row))
        yield unit, judged
    if left:
        raise _unknown(out, min((lines[0] for lines in left.values()), key=lambda line: line.number))


def _judged(out: Path, line: Line, row: Verdicts) -> Judged:
    if line.sample >= len(row.verdicts):
        raise _unknown(out, line)
    verdict = row.verdicts[line.sample]
    return Judged(line, row.source, verdict.comparator, verdict.status)


def _unknown(out: Path, line: Line) -> OutputError:
    what = f"there is no judged response {line.id}/{line.sample} in this build"
    return OutputError(f"{out / AUDIT} line {line.number}: {what}; delete the line, or use the file of this build")
