"""A unit of questions as a report reads it: text as columns, pictures as fingerprints, and whole rows to show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mmpr.errors import OutputError
from mmpr.pipeline.audited import read_judgements
from mmpr.report.load.fingerprints import Fingerprint
from mmpr.schema import Adjudications, Completions, Judgements, PreferenceRow, Question, Rollout, Verdicts
from mmpr.storage.columns import column_of, read_columns, without_tokens
from mmpr.storage.shards import Stage, Unit, shard
from mmpr.storage.tables import arrow_schema

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

StoredRow = dict[Stage, Mapping[str, Any]]
"""Everything that is stored of a question, by stage; a stage that wrote nothing of it is missing."""

_COLUMNS: dict[Stage, tuple[type, tuple[str, ...]]] = {
    "ingest": (Question, ("id", "source", "question", "answer", "choices", "kind")),
    "sample": (Rollout, ("id", "source", "prompt_tokens", "responses")),
    "complete": (Completions, ("id", "completions")),
    "verify": (Verdicts, ("id", "pass_rate", "verdicts")),
    "adjudicate": (Adjudications, ("id", "words")),
    "pair": (PreferenceRow, ("id", "source", "prompt", "responses", "pairs")),
}
_NONE = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class UnitColumns:
    """A unit's text as Arrow tables, one row a question; not every question is in every table.

    ``judgements`` are what people say of the verdicts, of the few questions that somebody looked at.
    """

    questions: pa.Table
    rollouts: pa.Table
    completions: pa.Table
    verdicts: pa.Table
    adjudications: pa.Table
    pairs: pa.Table
    judgements: Sequence[Judgements] = ()


@dataclass(frozen=True, slots=True)
class HashedQuestion:
    """A question with the fingerprints of its pictures, to look for it in other sets of questions."""

    id: str
    source: str
    question: str
    prints: Sequence[Fingerprint]


@dataclass(frozen=True, slots=True)
class LoadedUnit:
    """A unit: its text as columns, and its questions in the same order, in batches that are to be used up at once."""

    columns: UnitColumns
    questions: Iterable[list[HashedQuestion]]


@dataclass(frozen=True, slots=True)
class Nested:
    """A column of lists of structs, flattened: row i has ``lengths[i]`` of ``items``, one row after the other."""

    items: pa.StructArray
    lengths: Ints

    @property
    def starts(self) -> Ints:
        """The position in ``items`` of each row's first item (N,)."""
        return np.concatenate([[0], np.cumsum(self.lengths)[:-1]]).astype(np.int64) if len(self.lengths) else _NONE

    @property
    def rows(self) -> Ints:
        """The row of each item."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    def texts(self, name: str) -> pa.Array:
        """A field of all items, as Arrow has it."""
        return self.items.field(name)

    def numbers(self, name: str) -> Ints:
        """A field of whole numbers."""
        return np.asarray(self.items.field(name).to_numpy(zero_copy_only=False), dtype=np.int64)

    def flags(self, name: str) -> Bools:
        """A field of booleans."""
        return np.asarray(self.items.field(name).to_numpy(zero_copy_only=False), dtype=np.bool_)


def read_unit(out: Path, unit: Unit) -> UnitColumns:
    """The text columns of a unit of a build, all of it in memory at once.

    Raises:
        OutputError: a shard is missing or damaged, or its columns have other types.
    """
    tables = {stage: _read(shard(out, stage, unit), *_COLUMNS[stage]) for stage in _COLUMNS if stage != "adjudicate"}
    words = shard(out, "adjudicate", unit)  # most units have none
    adjudications = _read(words, *_COLUMNS["adjudicate"]) if words.exists() else table_of("adjudicate", [])
    return UnitColumns(
        questions=tables["ingest"],
        rollouts=tables["sample"],
        completions=tables["complete"],
        verdicts=tables["verify"],
        adjudications=adjudications,
        pairs=tables["pair"],
        judgements=tuple(read_judgements(out, unit).values()),
    )


def table_of(stage: Stage, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows as the columns that ``read_unit`` gives of a stage; unknown values may be None."""
    row_type, names = _COLUMNS[stage]
    schema = arrow_schema(row_type)
    return pa.Table.from_pylist(
        [{name: row[name] for name in names} for row in rows],
        schema=pa.schema([pa.field(name, schema.field(name).type) for name in names]),
    )


def nested(table: pa.Table, name: str) -> Nested:
    """A column of lists of structs, flattened."""
    column = column_of(table, name)
    lengths = np.asarray(pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False), dtype=np.int64)
    return Nested(column.flatten(), lengths)


def positions(values: pa.Array, among: pa.Array) -> Ints:
    """The position in ``among`` of each value, -1 where it is not there."""
    found = pc.fill_null(pc.index_in(values, value_set=among), -1)
    return np.asarray(found.to_numpy(zero_copy_only=False), dtype=np.int64)


def booleans(values: pa.Array) -> Bools:
    """A boolean array as NumPy's; null is False."""
    return np.asarray(pc.fill_null(values, False).to_numpy(zero_copy_only=False), dtype=np.bool_)


def value_codes(values: pa.Array) -> tuple[list[str], Ints]:
    """The distinct texts, and for each value its position among them (-1 for null)."""
    encoded = pc.dictionary_encode(values)
    codes = np.asarray(pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False), dtype=np.int64)
    return [str(value) for value in encoded.dictionary.to_pylist()], codes


def _read(path: Path, row_type: type, columns: tuple[str, ...]) -> pa.Table:
    table = read_columns(path, columns)
    schema = arrow_schema(row_type)
    for name in columns:
        if name not in table.column_names or table.schema.field(name).type != without_tokens(schema.field(name).type):
            raise OutputError(f"{path}: column {name!r} is missing or of another type; build it again")
    return table
