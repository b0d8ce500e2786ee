"""Readers of public benchmarks' files: Parquet, JSONL, a JSON list. ``tsv.py`` reads VLMEvalKit's TSV.

A reader gives each row as a mapping of its columns with references to its pictures; ``load`` reads a picture when it is
needed. No file outside the benchmark's folder is opened. A wrong row is given as ``Broken``, and reading continues.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from mmpr.config import Columns, ImagesSpec, ModelSpec, Recipe, TableSource
from mmpr.errors import RowError, SourceError
from mmpr.sources import cells, files, jsonl
from mmpr.sources.arrow_values import READ_ERRORS
from mmpr.sources.tables import Parquet
from mmpr.storage.memory import bounded_memory, too_large

MAX_JSON_BYTES = 64 << 20
_TEXT_ROWS, _PICTURE_ROWS = 512, 8
_BUFFER_BYTES = 1 << 20
_LONGEST_PATH, _MOST_SKIPPED = 4_096, 16


class Record(NamedTuple):
    """A row: file and row for messages, its columns, and references to its pictures."""

    where: str
    cells: Mapping[str, Any]
    images: tuple[str, ...]


class Broken(NamedTuple):
    """A row that is wrong: its file and row, and why."""

    where: str
    error: RowError


class Reader(Protocol):
    """One file of a benchmark."""

    def records(self) -> Iterator[Record | Broken]:
        """Every row, in order."""
        ...

    def load(self, ref: str) -> bytes:
        """The encoded picture of a reference that this reader gave (RowError when it cannot be had)."""
        ...


def find_benchmark_files(path: Path, patterns: Sequence[str]) -> tuple[Path, list[Path]]:
    """The folder of the benchmark, and the files to read, sorted.

    ``path`` is a file, or a folder: then the files at any depth count whose lower-case names match the first pattern
    that matches any, since folders from the hub also hold other splits, and the same rows in two formats.

    Raises:
        SourceError: there is none.
    """
    if path.is_file():
        return path.parent, [path]
    found = sorted(
        item
        for item in path.rglob("*")
        if item.is_file() and not any(part.startswith(".") for part in item.relative_to(path).parts)
    )
    for pattern in patterns:
        if matching := [item for item in found if fnmatch.fnmatchcase(item.name.lower(), pattern)]:
            return path, matching
    raise SourceError(f"{path}: no file is named {' or '.join(patterns)}; name the file itself")


def path_ref(base: Path, folder: Path, written: str) -> str:
    """A reference under ``base`` to a picture whose path starts at the file's ``folder``, or at ``base``.

    When there is no such file, the longest end of the path that exists is taken: ``./Geo170K/images/test/0.png`` is
    also found in a folder that holds ``images/``. A path that leads out of ``base`` is kept, and ``load`` refuses it.

    Raises:
        RowError: image_missing, for what is too long to be a path.
    """
    if len(written) > _LONGEST_PATH:  # resolving such a path takes time by the square of its length
        raise RowError("image_missing", f"a path of {len(written)} characters")
    parts = PurePosixPath(written).parts
    if ".." in parts or written.startswith("/") or "\0" in written or "://" in written[:12]:
        return written
    for skip in range(min(len(parts), _MOST_SKIPPED)):
        for start in dict.fromkeys((folder, base)):
            place = start.joinpath(*parts[skip:])
            if _is_file(place):
                return f"./{place.relative_to(base).as_posix()}"
    return f"./{written}"


class JsonRows:
    """A JSONL file, or a file that is one JSON list; pictures are paths."""

    def __init__(self, path: Path, base: Path, pictures: str, limits: ImagesSpec) -> None:
        """Raises SourceError when a file cannot be read, or is a list that is none."""
        self._path, self._base, self._pictures = path, base, pictures
        self._max_bytes = limits.max_bytes
        self._list = _json_list(path)

    def records(self) -> Iterator[Record | Broken]:
        """Every object (see ``Reader``)."""
        name = files.label(self._path, self._base)
        for where, value in self._values(name):
            try:
                if isinstance(value, RowError):
                    raise value
                if not isinstance(value, Mapping):
                    raise RowError("not_an_object", f"a {type(value).__name__}, not an object with columns")
                yield Record(where, value, tuple(map(self._ref, self._items(value))))
            except RowError as error:
                yield Broken(where, error)

    def load(self, ref: str) -> bytes:
        """The file that a reference names (see ``Reader``)."""
        return files.read_inside(self._base, ref, self._max_bytes)

    def _values(self, name: str) -> Iterator[tuple[str, Any]]:
        if self._list is not None:
            yield from ((f"{name}[{place}]", value) for place, value in enumerate(self._list))
        else:
            yield from ((where, value) for where, _, value in jsonl.read_records(self._path, name))

    def _items(self, value: Mapping[str, Any]) -> list[cells.Picture]:
        return cells.picture_items(cells.column(value, self._pictures), self._pictures)

    def _ref(self, picture: cells.Picture) -> str:
        if isinstance(picture, bytes) or cells.is_inline(picture):
            raise RowError("wrong_type", f"a picture in {self._pictures!r} is no path")
        return path_ref(self._base, self._path.parent, picture)


class ParquetRows:
    """A Parquet file that holds its pictures: rows of the other columns, with references into the pictures' column."""

    def __init__(self, path: Path, base: Path, pictures: str, limits: ImagesSpec) -> None:
        """Raises SourceError when the file is missing, is no Parquet or has no such column of pictures."""
        columns = Columns(question=None, answer=None, images=pictures)
        spec = TableSource(name="pictures", type="parquet", path=str(path), columns=columns, question="-")
        recipe = Recipe(name="benchmark", model=ModelSpec(path="none"), images=limits, sources=(spec,))
        self._source = Parquet(spec, recipe)
        self._path, self._name, self._pictures = path, files.label(path, base), pictures
        self._label = files.label(path, path.parent)
        with pq.ParquetFile(path) as file:
            if pictures not in file.schema_arrow.names:
                there = ", ".join(file.schema_arrow.names)
                raise SourceError(f"{path}: there is no column {pictures!r}; it has: {there}")

    def records(self) -> Iterator[Record | Broken]:
        """Every row, group by group (see ``Reader``)."""
        start = 0
        with pq.ParquetFile(self._path, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file:
            for group in range(file.num_row_groups):
                try:
                    yield from self._group(file, group, start)
                except READ_ERRORS as error:
                    why = too_large() if isinstance(error, MemoryError) else str(error)[:300]
                    yield Broken(f"{self._name}[{start}:]", RowError("file_unreadable", why))
                start += file.metadata.row_group(group).num_rows

    def load(self, ref: str) -> bytes:
        """The picture in a row (see ``Reader``)."""
        try:
            return self._source.load(ref)
        except LookupError:
            raise RowError("image_missing", f"the row has no picture in {self._pictures!r}") from None

    def _group(self, file: pq.ParquetFile, group: int, start: int) -> Iterator[Record | Broken]:
        several = pa.types.is_nested(kind := file.schema_arrow.field(self._pictures).type) and not pa.types.is_struct(
            kind
        )
        leaves = [file.schema.column(place).path for place in range(len(file.schema))]
        ours = [leaf for leaf in leaves if leaf == self._pictures or leaf.startswith(f"{self._pictures}.")]
        light = [leaf for leaf in ours if leaf.endswith(".path")]
        # The number of pictures in a list can be counted in their paths, without reading their bytes.
        counted = (light or ours) if several else []
        size = _PICTURE_ROWS if counted and not light else _TEXT_ROWS
        wanted = [leaf for leaf in leaves if leaf not in ours] + counted
        row = 0
        batches = file.iter_batches(size, row_groups=[group], columns=wanted, use_threads=False)
        while True:
            with bounded_memory():
                batch = next(batches, None)
            if batch is None:
                return
            for part in (batch.slice(at, 1) for at in range(batch.num_rows)):
                where = f"{self._name}[{start + row}]"
                try:
                    with bounded_memory():
                        part.validate(full=True)
                        [values] = part.to_pylist()
                    many = len(values.pop(self._pictures) or ()) if counted else 1
                    refs = tuple(f"@{self._label}#{group}#{row}#{k}" for k in range(many))
                    yield Record(where, values, refs)
                except (ValueError, OverflowError, TypeError, pa.ArrowException) as error:
                    yield Broken(where, RowError("bad_value", str(error)[:300]))
                row += 1


def _json_list(path: Path) -> list[Any] | None:
    """The JSON list in a file; None when it does not begin like one and may be JSONL."""
    try:
        with path.open("rb") as file:
            head = file.read(512).lstrip(b"\xef\xbb\xbf \t\r\n")
            if not head.startswith(b"["):
                return None
            file.seek(0)
            data = file.read(MAX_JSON_BYTES + 1)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from None
    if len(data) > MAX_JSON_BYTES:
        raise SourceError(f"{path}: a JSON list of more than {MAX_JSON_BYTES >> 20} MiB; write one object a line")
    try:
        tree = jsonl.parse_object(b'{"rows":' + data.removeprefix(b"\xef\xbb\xbf") + b"}")
    except RowError as error:
        raise SourceError(f"{path}: is no JSON list: {error}") from None
    if list(tree) != ["rows"] or not isinstance(tree["rows"], list):
        raise SourceError(f"{path}: is no JSON list: something follows it")
    return tree["rows"]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False  # a name too long for the file system
