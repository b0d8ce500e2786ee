"""Some columns of a shard, as Arrow tables or as dictionaries, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmpr.errors import OutputError

_ROWS_AT_ONCE = 64
_TOKENS = frozenset(("token_ids", "logprobs", "logprob"))


def read_columns(path: Path, columns: Sequence[str]) -> pa.Table:
    """Some columns of a shard, all rows at once.

    Raises:
        OutputError: the file is missing or damaged, or lacks a column.
    """
    try:
        with pq.ParquetFile(path) as file:
            return file.read(columns=_leaves(file, columns), use_threads=False)
    except (pa.ArrowException, OSError, KeyError) as error:
        raise _unreadable(path, error) from None


def read_batches(path: Path, columns: Sequence[str], rows: int = _ROWS_AT_ONCE) -> Iterator[list[dict[str, Any]]]:
    """The rows of a shard, ``rows`` at a time; memory holds a few pages of each column, pictures included.

    Raises:
        OutputError: the file is missing or damaged, or lacks a column.
    """
    for batch in _batches(path, columns, rows):
        yield batch.to_pylist()


def read_selected(path: Path, columns: Sequence[str], ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The rows of a shard that have one of these ids, by id. ``columns`` must hold ``id``; memory as ``read_batches``.

    Raises:
        OutputError: the file is missing or damaged, or lacks a column.
    """
    wanted = pa.array(ids, type=pa.string())
    return {
        row["id"]: row
        for batch in _batches(path, columns, _ROWS_AT_ONCE)
        for row in batch.filter(pc.is_in(batch.column("id"), value_set=wanted)).to_pylist()
    }


def column_of(table: pa.Table, name: str) -> pa.Array:
    """A column of a table as one array."""
    column = table.column(name)
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks or [_empty(column.type)])


def _batches(path: Path, columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
    try:
        with pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
            yield from file.iter_batches(rows, columns=_leaves(file, columns), use_threads=False)
    except (pa.ArrowException, OSError, KeyError) as error:
        raise _unreadable(path, error) from None


def without_tokens(kind: pa.DataType) -> pa.DataType:
    """The type of a column as it is read here, which is that of shards of format 1, too."""
    if pa.types.is_list(kind):
        return pa.list_(without_tokens(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, without_tokens(field.type)) for field in kind if field.name not in _TOKENS])
    return kind


def _leaves(file: pq.ParquetFile, columns: Sequence[str]) -> list[str]:
    """What to read of some columns: all of them but the tokens within responses, which only training looks at."""
    paths = [file.schema.column(place).path for place in range(len(file.schema))]
    return [path for path in paths if path.split(".")[0] in columns and _TOKENS.isdisjoint(path.split("."))]


def _unreadable(path: Path, error: Exception) -> OutputError:
    return OutputError(f"{path}: cannot be read ({error}); delete it and run the build again")


def _empty(kind: pa.DataType) -> pa.Array:
    return pa.array([], type=kind)
