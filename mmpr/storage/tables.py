"""Dataclasses to Arrow and back: the columns of every shard follow from the fields of ``mmpr.schema``.

``str``, ``int``, ``float`` and ``bool`` become Arrow's types of these names (``Annotated[int, "int32"]`` the one that
it names), ``tuple[T, ...]`` a list, a dataclass a struct. ``bytes`` are always an encoded picture and become the struct
that ``datasets`` shows as an image.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import pyarrow as pa
import pyarrow.parquet as pq

from mmpr.errors import OutputError

Row = TypeVar("Row")

ROW_GROUP_BYTES = 64 << 20
"""The size of a row group, roughly; the hub's viewer fails above 300 MB."""

_SCALARS = {
    str: ("string", pa.string()),
    int: ("int64", pa.int64()),
    float: ("float64", pa.float64()),
    bool: ("bool", pa.bool_()),
    "int32": ("int32", pa.int32()),
    "float32": ("float32", pa.float32()),
}


def arrow_schema(noun: type) -> pa.Schema:
    """The Arrow schema of a dataclass, with the features that ``datasets`` reads in its metadata."""
    struct = _arrow_type(noun)
    features = json.dumps({"info": {"features": hub_features(noun)}})
    return pa.schema(list(struct), metadata={"huggingface": features})


def hub_features(noun: type) -> dict[str, Any]:
    """The features of a dataclass, as ``datasets`` stores them in a file's metadata."""
    features = _feature(noun)
    assert isinstance(features, dict)
    return features


def write_parquet(path: Path, noun: type[Row], rows: Iterable[Row], counts: dict[str, int]) -> None:
    """Write rows to a new file, and ``counts`` into its footer. ``mmpr.storage.shards`` writes whole shards with it."""
    schema = arrow_schema(noun)
    schema = schema.with_metadata({**schema.metadata, "mmpr": json.dumps(counts, sort_keys=True)})
    encode = _encoder(noun)  # type: ignore[arg-type]
    write_records(path, schema, (encode(row) for row in rows))


def write_records(path: Path, schema: pa.Schema, records: Iterable[dict[str, Any]]) -> None:
    """Write rows that are dictionaries of what the schema's columns hold to a new file."""
    with pq.ParquetWriter(path, schema, compression="zstd", write_page_index=True) as file:
        for group in _groups(records):
            file.write_table(pa.Table.from_pylist(group, schema=schema), row_group_size=len(group))


def read_rows(path: Path, noun: type[Row], without: Sequence[str] = ()) -> Iterator[Row]:
    """The rows of a shard, a row group at a time.

    Columns of lists named in ``without`` are not read and are empty in the rows: pictures are most of a file. A field
    that is younger than the file (``SINCE_2``) has its default.

    Raises:
        OutputError: the file is damaged or holds something else.
    """
    decode = _decoder(noun)  # type: ignore[arg-type]
    wanted = [field for field in dataclasses.fields(noun) if field.name not in without]  # type: ignore[arg-type]
    unread: dict[str, list[Any]] = {name: [] for name in without}
    try:
        with pq.ParquetFile(path) as file:
            there = set(file.schema_arrow.names)
            columns = [field.name for field in wanted if field.name in there or "since" not in field.metadata]
            for group in range(file.num_row_groups):
                for row in file.read_row_group(group, columns=columns).to_pylist():
                    yield decode({**row, **unread})
    except (pa.ArrowException, OSError, KeyError, TypeError) as error:
        raise OutputError(
            f"{path}: cannot be read as {noun.__name__} rows ({error}); delete it and run again"
        ) from error


def read_counts(path: Path) -> dict[str, int]:
    """The counts in a shard's footer (a few kilobytes are read, whatever the shard's size)."""
    try:
        metadata = pq.read_metadata(path).metadata or {}
        return dict(json.loads(metadata.get(b"mmpr", b"{}")))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise OutputError(f"{path}: is damaged ({error}); delete it and run the same command again") from error


def _groups(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Consecutive rows as row groups, each of at most ``ROW_GROUP_BYTES``, or of one row."""
    group: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        more = _size(row)
        if group and size + more > ROW_GROUP_BYTES:
            yield group
            group, size = [], 0
        group.append(row)
        size += more
    if group:
        yield group


def _size(value: Any) -> int:
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_size, value.values()))
    return sum(map(_size, value)) if isinstance(value, list) else 8


def _strip(hint: Any) -> tuple[Any, bool]:
    """A type without its ``| None``, and whether it had one; an annotated number is its annotation."""
    if get_origin(hint) in (Union, types.UnionType):
        (kind,) = [arg for arg in get_args(hint) if arg is not type(None)]
        return kind, True
    if get_origin(hint) is Annotated:
        return hint.__metadata__[0], False
    return (str if get_origin(hint) is Literal else hint), False


@functools.cache
def _hints(noun: type) -> dict[str, Any]:
    return get_type_hints(noun, include_extras=True)


def _arrow_type(hint: Any) -> pa.DataType:
    hint, _ = _strip(hint)
    if hint is bytes:
        return pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    if get_origin(hint) is tuple:
        return pa.list_(_arrow_type(get_args(hint)[0]))
    if dataclasses.is_dataclass(hint):
        return pa.struct([(name, _arrow_type(kind)) for name, kind in _hints(hint).items()])  # type: ignore[arg-type]
    return _SCALARS[hint][1]


def _feature(hint: Any) -> dict[str, Any]:
    hint, _ = _strip(hint)
    if hint is bytes:
        return {"_type": "Image"}
    if get_origin(hint) is tuple:
        return {"feature": _feature(get_args(hint)[0]), "_type": "List"}
    if dataclasses.is_dataclass(hint):
        return {name: _feature(kind) for name, kind in _hints(hint).items()}  # type: ignore[arg-type]
    return {"dtype": _SCALARS[hint][0], "_type": "Value"}


@functools.cache
def _encoder(hint: Any) -> Callable[[Any], Any]:
    """A function from a value of this type to what Arrow takes."""
    hint, _ = _strip(hint)
    if hint is bytes:
        return lambda value: {"bytes": value, "path": None}
    if get_origin(hint) is tuple:
        item = _encoder(get_args(hint)[0])
        return lambda value: [item(part) for part in value]
    if dataclasses.is_dataclass(hint):
        parts = [(name, _encoder(kind)) for name, kind in _hints(hint).items()]  # type: ignore[arg-type]
        return lambda value: {name: part(getattr(value, name)) for name, part in parts}
    return lambda value: value


@functools.cache
def _decoder(hint: Any) -> Callable[[Any], Any]:
    """A function from what Arrow gives to a value of this type."""
    hint, _ = _strip(hint)
    if hint is bytes:
        return lambda value: value["bytes"]
    if get_origin(hint) is tuple:
        item = _decoder(get_args(hint)[0])
        return lambda value: tuple(item(part) for part in value)
    if dataclasses.is_dataclass(hint):
        young = {field.name for field in dataclasses.fields(hint) if "since" in field.metadata}
        parts = [(name, _decoder(kind), name in young) for name, kind in _hints(hint).items()]  # type: ignore[arg-type]
        make: Any = hint
        return lambda value: make(
            **{name: part(value[name]) for name, part, may_lack in parts if not may_lack or name in value}
        )
    return lambda value: value
