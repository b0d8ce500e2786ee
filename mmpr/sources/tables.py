"""Arrow tables: Parquet files, and the folders that ``datasets.Dataset.save_to_disk`` writes.

Text is read in small batches, in Parquet without the pictures beside it; a picture is read when it is asked for, and
the place in the file is kept, so that pictures in order cost one pass. The files are data from anywhere: Arrow buffers
are validated before a value is taken from them, no type or code that a file names is loaded, and memory is bounded
whatever a file unpacks to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmpr.config import Columns, HubSource, Recipe, TableSource
from mmpr.config.small_files import read_small
from mmpr.errors import RowError, SourceError
from mmpr.schema import Reject, SourceRow
from mmpr.sources import cells, files
from mmpr.sources.arrow_values import READ_ERRORS, HasColumn, as_written, features_of, names_in
from mmpr.sources.file_rows import path_ref
from mmpr.sources.jsonl import parse_object
from mmpr.sources.pictures import load_picture
from mmpr.storage.memory import bounded_memory, too_large

_TEXT_ROWS = 512
_PICTURE_ROWS = 32
_BUFFER_BYTES = 1 << 20
_REMEDY = "write the file again, in row groups of at most 100 rows"


_UNREAD = b"unread"
"""Stands for the bytes of a picture where only its presence counts."""


class _Batch(NamedTuple):
    """Rows ``first`` and following of a group of rows."""

    first: int
    data: pa.RecordBatch


class _Held(NamedTuple):
    """Where the last picture was read: its batch, and the batches after it."""

    name: str
    group: int
    batch: _Batch
    rest: Iterator[_Batch]


class _Tables:
    """Tables with a column map; a subclass knows how its files are opened.

    A picture's reference is its path under the root, or ``@file#group#row#k`` when the table itself holds picture k.
    """

    def __init__(self, spec: TableSource | HubSource, recipe: Recipe, base: Path, paths: Sequence[Path]) -> None:
        self._base = base
        self._files = {files.label(path, base): path for path in paths}
        self._root = recipe.resolve(spec.images_root) if spec.images_root else None
        self._spec = spec
        self._limits = recipe.images
        self._held: _Held | None = None
        self.known: set[str] = set()
        for path in paths:
            try:
                schema = self._schema(path)
                names = schema.names
                self.known |= names_in(schema)
            except READ_ERRORS as error:
                raise SourceError(f"{path}: cannot be read as {self.layout}: {error}") from None
            asks = spec.question is not None
            cells.check_columns(spec.columns, HasColumn(schema), names, str(path), asks)

    layout = "a table"

    def _schema(self, path: Path) -> pa.Schema:
        raise NotImplementedError

    def _group_sizes(self, path: Path) -> Sequence[int]:
        """Rows in each group that can be read on its own."""
        raise NotImplementedError

    def _read(self, path: Path, group: int, *, pictures: bool, most_rows: int) -> Iterator[_Batch]:
        """The columns of the map, or only that of the pictures, in batches of at most so many rows."""
        raise NotImplementedError

    def _bytes_unread(self, path: Path) -> bool:
        """Whether ``_read`` leaves the bytes of pictures out when it is not asked for pictures."""
        return False

    def rows(self) -> Iterator[SourceRow | Reject]:
        """Every row, file by file (see ``mmpr.sources.Source``)."""
        for name, path in self._files.items():
            start = 0
            for group, size in enumerate(self._group_sizes(path)):
                read = 0
                try:
                    for row in self._group_rows(name, path, group, start):
                        read += 1
                        yield row
                except READ_ERRORS as error:
                    where = f"{name}[{start + read}:{start + size if size else ''}]"
                    reason, detail = "file_unreadable", str(error)[:300]
                    if isinstance(error, MemoryError):
                        reason, detail = "rows_too_large", f"the next row {too_large()}: {_REMEDY}"
                    yield Reject("ingest", self._spec.name, where, reason, detail)
                start += size

    def load(self, ref: str) -> bytes:
        """The picture that a row refers to (see ``mmpr.sources.Source``)."""
        if not ref.startswith("@"):
            return load_picture(self._root or self._base, ref, self._limits)
        name, group, row, k = ref[1:].rsplit("#", 3)
        try:
            record = self._record(name, int(group), int(row))
        except MemoryError:
            raise RowError("image_too_large", f"{name}: row {row} of group {group} {too_large()}") from None
        except READ_ERRORS as error:
            raise RowError("image_unreadable", f"{name}: {error}"[:300]) from None
        _, picture = cells.pictures_of(record, self._spec.columns.images)[int(k)]
        if cells.is_inline(picture):
            return cells.decode_inline(picture, self._limits.max_bytes)
        return load_picture(self._root or self._base, self._path_ref(name, str(picture)), self._limits)

    def _group_rows(self, name: str, path: Path, group: int, start: int) -> Iterator[SourceRow | Reject]:
        unread = self._bytes_unread(path)
        images = self._spec.columns.names("images")

        def build(record: Mapping[str, Any], where: str, row: int) -> SourceRow:
            def refer(k: int, picture: cells.Picture) -> str:
                inline = unread or cells.is_inline(picture)
                return f"@{name}#{group}#{row}#{k}" if inline else self._path_ref(name, str(picture))

            if unread:
                record = {**record, **{image: _mark_unread(cells.column(record, image)) for image in images}}
            return cells.table_row(record, self._spec, where, refer)

        for first, data in self._batches(path, group, pictures=False):
            for image in images:
                data = _bytes_as_marks(data, image)
            found = ((f"{name}[{start + row}]", row, record) for row, record in enumerate(_records(data), start=first))
            yield from cells.make_rows(found, build, self._spec.name)

    def _batches(self, path: Path, group: int, *, pictures: bool) -> Iterator[_Batch]:
        """``_read`` in bounded memory: when rows do not fit together they are read one by one.

        Raises:
            MemoryError: nor does a single row.
        """
        done = 0
        for most_rows in (_TEXT_ROWS, 1):
            batches = self._read(path, group, pictures=pictures, most_rows=most_rows)
            try:
                while True:
                    with bounded_memory():
                        batch = next(batches, None)
                    if batch is None:
                        return
                    if batch.first >= done:  # else it was read before, with others
                        yield batch
                        done = batch.first + batch.data.num_rows
            except MemoryError:
                if most_rows == 1:
                    raise

    def _path_ref(self, name: str, path: str) -> str:
        return path_ref(path, self._root, self._files[name].parent, self._base)

    def _record(self, name: str, group: int, row: int) -> Mapping[str, Any]:
        held = self._held
        if held is None or (held.name, held.group) != (name, group) or held.batch.first > row:
            rest = self._batches(self._files[name], group, pictures=True)
            held = _Held(name, group, next(rest, _Batch(0, pa.record_batch({}))), rest)
        while row >= held.batch.first + held.batch.data.num_rows:
            batch = next(held.rest, None)
            if batch is None:
                raise LookupError(f"group {group} has no row {row}; has the file changed?")
            held = held._replace(batch=batch)
        self._held = held
        [record] = _records(held.batch.data.slice(row - held.batch.first, 1))
        if isinstance(record, RowError):
            raise record
        return record


class Parquet(_Tables):
    """Parquet files with a column map."""

    layout = "Parquet"

    def __init__(self, spec: TableSource, recipe: Recipe, *, suffix: str = ".parquet") -> None:
        """Raises SourceError when a file is missing, is no Parquet or lacks a column."""
        base, paths = files.find_files(recipe.resolve(spec.path), suffix)
        super().__init__(spec, recipe, base, paths)

    def _open(self, path: Path) -> pq.ParquetFile:
        # Buffered reading keeps memory at a page of each column, however large a row group is.
        return pq.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False)

    def _schema(self, path: Path) -> pa.Schema:
        with self._open(path) as file:
            return file.schema_arrow

    def _group_sizes(self, path: Path) -> Sequence[int]:
        with self._open(path) as file:
            return [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]

    def _bytes_unread(self, path: Path) -> bool:
        with self._open(path) as file:
            return _image_leaves(file, self._spec.columns)[1]

    def _read(self, path: Path, group: int, *, pictures: bool, most_rows: int) -> Iterator[_Batch]:
        with self._open(path) as file:
            columns = self._spec.columns
            few = pictures
            if pictures:
                leaves = _leaves(file, columns.names("images"))
            else:
                leaves = _leaves(file, columns.names("question", "answer", "choices", "id", "kind"))
                images, unread = _image_leaves(file, columns)
                leaves += [leaf for leaf in images if leaf not in leaves]
                few = bool(images) and not unread  # they may hold pictures as bytes or base64
            size = min(_PICTURE_ROWS if few else _TEXT_ROWS, most_rows)
            first = 0
            if not leaves:  # a question for every row, and nothing of the row itself
                for first in range(0, file.metadata.row_group(group).num_rows, size):
                    rows = min(size, file.metadata.row_group(group).num_rows - first)
                    yield _Batch(first, pa.record_batch({"": pa.nulls(rows)}))
                return
            for data in file.iter_batches(size, row_groups=[group], columns=leaves, use_threads=False):
                yield _Batch(first, data)
                first += data.num_rows


class ArrowFiles(_Tables):
    """Arrow streams, as ``datasets`` writes them."""

    layout = "an Arrow stream of datasets"

    def _schema(self, path: Path) -> pa.Schema:
        with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as stream:
            return stream.schema

    def _group_sizes(self, path: Path) -> Sequence[int]:
        return [0]

    def _read(self, path: Path, group: int, *, pictures: bool, most_rows: int) -> Iterator[_Batch]:
        size = min(_PICTURE_ROWS, most_rows)
        names = self._spec.columns.names(*(("images",) if pictures else ()))
        first = 0
        with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as stream:
            wanted = [name for name in stream.schema.names if any(_below(name, of) or _below(of, name) for of in names)]
            for batch in stream:
                batch.validate()
                chosen = batch.select(wanted) if wanted else pa.record_batch({"": pa.nulls(batch.num_rows)})
                for at in range(0, chosen.num_rows, size):
                    yield _Batch(first + at, chosen.slice(at, size))
                first += batch.num_rows


class SavedDataset(ArrowFiles):
    """A folder written by ``datasets.Dataset.save_to_disk``, read as the Arrow streams that it is."""

    def __init__(self, spec: TableSource, recipe: Recipe) -> None:
        """Raises SourceError when the folder is missing, is another layout or lacks a column."""
        folder = recipe.resolve(spec.path)
        super().__init__(spec, recipe, folder, saved_files(folder))


def _leaves(file: pq.ParquetFile, names: Sequence[str]) -> list[str]:
    """Paths of the file's leaf columns that lie in these columns or fields."""
    paths = [file.schema.column(place).path for place in range(len(file.schema))]
    return [path for path in paths if any(_below(_LIST_PARTS.sub("", path), name) for name in names)]


_LIST_PARTS = re.compile(r"\.list\.(?:element|item)(?=\.|$)")
"""What Parquet puts into the path of a column of lists."""


def _below(leaf: str, name: str) -> bool:
    return leaf == name or leaf.startswith(f"{name}.")


def _image_leaves(file: pq.ParquetFile, columns: Columns) -> tuple[list[str], bool]:
    """The leaves of the pictures' columns that tell how many pictures a row has, and whether bytes were left out.

    Bytes are left out only where there are paths, or lengths of lists, beside them in every one of these columns.
    """
    by_path = {file.schema.column(place).path: file.schema.column(place) for place in range(len(file.schema))}
    found: list[str] = []
    unread = []
    for name in columns.names("images"):
        paths = _leaves(file, (name,))
        light = [path for path in paths if not _is_binary(by_path[path])]
        unread.append(0 < len(light) < len(paths))
        found += light if unread[-1] else paths
    if unread and all(unread):
        return found, True
    return _leaves(file, columns.names("images")), False


def _is_binary(leaf: Any) -> bool:
    return bool(leaf.physical_type == "BYTE_ARRAY" and leaf.logical_type.type == "NONE")


def _mark_unread(cell: Any) -> Any:
    """Stands for pictures whose bytes were not read; nulls stay nulls."""
    if isinstance(cell, list):
        return [_mark_unread(item) for item in cell]
    return None if cell is None else _UNREAD


def _bytes_as_marks(batch: pa.RecordBatch, name: str) -> pa.RecordBatch:
    """The batch with marks in place of pictures that a column holds as bytes: only where one is counts."""
    place = batch.schema.get_field_index(name)
    if place < 0:
        return batch
    column = batch.column(place)
    repeated = pa.types.is_dictionary(column.type)
    values = column.dictionary if repeated else column
    if not (pa.types.is_binary(values.type) or pa.types.is_large_binary(values.type)):
        return batch
    there = pc.greater(pc.binary_length(values), 0)
    if repeated:
        there = there.take(column.indices)
    return batch.set_column(place, name, pc.if_else(there, pa.scalar(_UNREAD), pa.scalar(None, pa.binary())))


def _records(batch: pa.RecordBatch) -> Iterator[dict[str, Any] | RowError]:
    """Rows as dictionaries; a row with a value that is not valid, or too large, is an error of its own."""
    try:
        with bounded_memory():
            records = _pylist(batch)
    except (MemoryError, ValueError, OverflowError, pa.ArrowException) as error:
        if batch.num_rows > 1:
            yield from (record for row in range(batch.num_rows) for record in _records(batch.slice(row, 1)))
        elif isinstance(error, MemoryError):
            yield RowError("row_too_large", too_large())
        else:
            yield RowError("bad_value", str(error)[:300])
    else:
        yield from records


def _pylist(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    batch.validate(full=True)
    records = batch.to_pylist()
    classes = features_of((batch.schema.metadata or {}).get(b"huggingface", b""))
    for field in batch.schema:
        written = as_written(field.type, classes.get(field.name))
        if written is not None:
            for record in records:
                record[field.name] = written(record[field.name])
    return list(records)


def saved_files(folder: Path) -> list[Path]:
    """The Arrow files that ``state.json`` of a saved dataset names.

    Raises:
        SourceError: the folder is not one saved dataset.
    """
    if not files.is_folder(folder):
        raise SourceError(f"{folder}: no such folder; it is what Dataset.save_to_disk wrote")
    if (folder / "dataset_dict.json").exists():
        splits = ", ".join(sorted(item.parent.name for item in folder.glob("*/state.json"))) or "none"
        raise SourceError(f"{folder}: holds several splits ({splits}); name one, as in {folder.name}/train")
    try:
        state = parse_object(read_small(folder / "state.json", 16 << 20))
    except (OSError, RowError) as error:
        raise SourceError(f"{folder}: no readable state.json, so not what save_to_disk wrote ({error})") from None
    names = [item.get("filename") if isinstance(item, dict) else None for item in state.get("_data_files") or []]
    for name in names:
        if type(name) is not str or "/" in name or not (folder / name).is_file():
            raise SourceError(f"{folder}: state.json names the file {name!r}, which is not in the folder")
    return [folder / str(name) for name in names]
