"""A unit as columns: every shard of the unit but its pictures, joined by the questions' ids."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmpr.errors import OutputError
from mmpr.schema import Completions, PreferenceRow, Question, Rollout, Verdicts
from mmpr.storage.shards import Stage, Unit, shard
from mmpr.storage.tables import arrow_schema

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_COLUMNS: dict[Stage, tuple[type, tuple[str, ...]]] = {
    "ingest": (Question, ("id", "source", "question", "answer", "choices", "kind")),
    "sample": (Rollout, ("id", "source", "prompt_tokens", "responses")),
    "complete": (Completions, ("id", "completions")),
    "verify": (Verdicts, ("id", "pass_rate", "verdicts")),
    "pair": (PreferenceRow, ("id", "source", "prompt", "responses", "pairs")),
}


@dataclass(frozen=True, slots=True)
class UnitColumns:
    """Some questions as Arrow tables, one row a question (not every question is in every table)."""

    questions: pa.Table
    rollouts: pa.Table
    completions: pa.Table
    verdicts: pa.Table
    pairs: pa.Table


@dataclass(frozen=True, slots=True)
class Nested:
    """A column of lists, flat: ``items`` of all rows one after the other, row i has ``lengths[i]`` of them."""

    items: pa.StructArray
    lengths: Ints

    @property
    def starts(self) -> Ints:
        """Where each row's items begin."""
        return np.concatenate([[0], np.cumsum(self.lengths)[:-1]]).astype(np.int64) if len(self.lengths) else _NONE

    @property
    def rows(self) -> Ints:
        """The row of each item."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    def texts(self, name: str) -> pa.Array:
        """A field of all items as it is."""
        return self.items.field(name)

    def numbers(self, name: str) -> Ints:
        """A field of whole numbers."""
        return np.asarray(self.items.field(name).to_numpy(zero_copy_only=False), dtype=np.int64)

    def flags(self, name: str) -> Bools:
        """A field of truth values."""
        return np.asarray(self.items.field(name).to_numpy(zero_copy_only=False), dtype=np.bool_)


_ROWS_AT_ONCE = 64
_NONE = np.zeros(0, dtype=np.int64)


def read_unit(out: Path, unit: Unit) -> UnitColumns:
    """The columns of a unit. A unit's text lies in memory at once, as it did when it was built.

    Raises:
        OutputError: a shard is missing, damaged or of another layout.
    """
    tables = {stage: _read(shard(out, stage, unit), *_COLUMNS[stage]) for stage in _COLUMNS}
    return UnitColumns(tables["ingest"], tables["sample"], tables["complete"], tables["verify"], tables["pair"])


def table_of(stage: Stage, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows as the columns that ``read_unit`` has of a stage; what is not known may be None."""
    noun, names = _COLUMNS[stage]
    schema = arrow_schema(noun)
    return pa.Table.from_pylist(
        [{name: row[name] for name in names} for row in rows],
        schema=pa.schema([pa.field(name, schema.field(name).type) for name in names]),
    )


def read_columns(path: Path, columns: Sequence[str]) -> pa.Table:
    """Some columns of a shard.

    Raises:
        OutputError: it is missing, damaged or of another layout.
    """
    try:
        with pq.ParquetFile(path) as file:
            return file.read(columns=list(columns), use_threads=False)
    except (pa.ArrowException, OSError, KeyError) as error:
        raise OutputError(f"{path}: cannot be read ({error}); delete it and run the build again") from None


def read_batches(path: Path, columns: Sequence[str], rows: int) -> Iterator[list[dict[str, Any]]]:
    """The rows of a shard, a few at a time; memory holds a few pages of each column, pictures too.

    Raises:
        OutputError: it is missing, damaged or of another layout.
    """
    for batch in _batches(path, columns, rows):
        yield batch.to_pylist()


def _batches(path: Path, columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
    try:
        with pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
            yield from file.iter_batches(rows, columns=list(columns), use_threads=False)
    except (pa.ArrowException, OSError, KeyError) as error:
        raise OutputError(f"{path}: cannot be read ({error}); delete it and run the build again") from None


def read_selected(path: Path, columns: Sequence[str], ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The rows of a shard that have these ids, by id; ``columns`` includes ``id``. Memory as for ``read_batches``.

    Raises:
        OutputError: it is missing, damaged or of another layout.
    """
    wanted = pa.array(ids, type=pa.string())
    return {
        row["id"]: row
        for batch in _batches(path, columns, _ROWS_AT_ONCE)
        for row in batch.filter(pc.is_in(batch.column("id"), value_set=wanted)).to_pylist()
    }


def nested(table: pa.Table, name: str) -> Nested:
    """A column of lists of structs."""
    column = one(table, name)
    lengths = np.asarray(pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False), dtype=np.int64)
    return Nested(column.flatten(), lengths)


def one(table: pa.Table, name: str) -> pa.Array:
    """A column as one array."""
    column = table.column(name)
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks or [_empty(column.type)])


def places(values: pa.Array, among: pa.Array) -> Ints:
    """For each value its position in ``among``, -1 when it is not there."""
    found = pc.fill_null(pc.index_in(values, value_set=among), -1)
    return np.asarray(found.to_numpy(zero_copy_only=False), dtype=np.int64)


def truths(values: pa.Array) -> Bools:
    """A boolean array; null is false."""
    return np.asarray(pc.fill_null(values, False).to_numpy(zero_copy_only=False), dtype=np.bool_)


def _read(path: Path, noun: type, columns: tuple[str, ...]) -> pa.Table:
    table = read_columns(path, columns)
    schema = arrow_schema(noun)
    for name in columns:
        if name not in table.column_names or table.schema.field(name).type != schema.field(name).type:
            raise OutputError(f"{path}: column {name!r} is missing or of another type; build it again")
    return table


def _empty(kind: pa.DataType) -> pa.Array:
    return pa.array([], type=kind)
