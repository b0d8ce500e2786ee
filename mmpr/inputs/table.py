"""Tables of rows: their type by the names of files, and the names of their columns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from mmpr.errors import SourceError
from mmpr.sources.files import find_files
from mmpr.sources.tables import saved_files

TableType = Literal["jsonl", "parquet", "datasets", "imagefolder"]
"""A table's type, as a recipe's source names it."""

_FIRST_LINE = 1 << 20


def table_type(path: Path) -> TableType | None:
    """The type of the table in a file or folder, or of the files of a glob; None when it is none of these.

    A folder that holds both Parquet and JSONL is read as Parquet, unless the JSONL is the ``metadata.jsonl`` of a
    folder of images.
    """
    if path.suffix in (".jsonl", ".parquet"):
        return "jsonl" if path.suffix == ".jsonl" else "parquet"
    if not path.is_dir():
        return None
    if (path / "state.json").is_file() or (path / "dataset_dict.json").is_file():
        return "datasets"
    if next(path.rglob("metadata.jsonl"), None):
        return "imagefolder"
    types: Sequence[TableType] = ("parquet", "jsonl")
    return next((kind for kind in types if next(path.rglob(f"*.{kind}"), None)), None)


def column_names(path: Path, kind: TableType) -> tuple[list[str], Path]:
    """The names of a table's columns (``column.field`` of nested ones), and the file that they were read from.

    Raises:
        SourceError: there is no such file, or it cannot be read.
    """
    if kind == "datasets":
        return _saved_names(path), path
    if kind == "imagefolder":
        first = next(path.rglob("metadata.jsonl"))
        return _json_names(first), first
    first = find_files(path, f".{kind}")[1][0]
    return (_json_names(first) if kind == "jsonl" else _parquet_names(first)), first


def _json_names(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            row = json.loads(file.readline(_FIRST_LINE))
    except (OSError, ValueError) as error:
        raise SourceError(f"{path}: the first line is no JSON object: {error}") from None
    if not isinstance(row, dict):
        raise SourceError(f"{path}: the first line is no JSON object")
    return [str(name) for name in row]


def _parquet_names(path: Path) -> list[str]:
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{path}: cannot be read as Parquet: {error}") from None
    nested = [f"{field.name}.{part.name}" for field in schema if pa.types.is_struct(field.type) for part in field.type]
    return [*schema.names, *nested]


def _saved_names(path: Path) -> list[str]:
    saved_files(path)
    try:
        info = json.loads((path / "dataset_info.json").read_text(encoding="utf-8"))
        return [str(name) for name in info["features"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{path}: dataset_info.json cannot be read: {error}") from None
