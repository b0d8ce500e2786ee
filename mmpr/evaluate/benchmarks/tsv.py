"""VLMEvalKit's TSV: a table with its pictures in base64, or with the index of another row that has the picture.

Cells of many megabytes take no memory until their picture is loaded (``mmpr.sources.delimited``).
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from mmpr.config import ImagesSpec
from mmpr.errors import RowError, SourceError
from mmpr.evaluate.benchmarks.readers import Broken, Record
from mmpr.sources import cells, files
from mmpr.sources.csv_rows import INDEX_CHARS
from mmpr.sources.delimited import BrokenRowError, Span, cell_text, split_row

_MAX_COLUMNS = 1_000


class TsvRows:
    """One TSV file. A picture's reference is ``@start#end``, its place in the file."""

    def __init__(self, path: Path, base: Path, pictures: str, limits: ImagesSpec) -> None:
        """Raises SourceError when the file cannot be read or has no such column of pictures."""
        self._path, self._name = path, files.label(path, base)
        self._max_bytes = limits.max_bytes
        self._indices: dict[str, Span] | None = None
        try:
            with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                fields, self._first = split_row(data, 0, _MAX_COLUMNS)
                self._header = [cell_text(data, field).removeprefix("\ufeff") for field in fields]
        except (OSError, ValueError) as error:  # ValueError: an empty file cannot be mapped
            raise SourceError(f"{path}: cannot be read as TSV: {getattr(error, 'strerror', None) or error}") from None
        except (RowError, BrokenRowError) as error:
            raise SourceError(f"{path}: cannot be read as TSV: its first line: {error}") from None
        for name in ("index", "question", pictures):
            if name not in self._header:
                there = ", ".join(self._header)[:300]
                raise SourceError(f"{path}: there is no column {name!r}; it has: {there}")
        self._picture = self._header.index(pictures)
        self._index = self._header.index("index")

    def records(self) -> Iterator[Record | Broken]:
        """Every row (see ``readers.Reader``); an empty cell is None."""
        with self._path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            for number, fields in self._rows(data):
                where = f"{self._name}[{number}]"
                if isinstance(fields, RowError):
                    yield Broken(where, fields)
                    continue
                try:
                    texts = {
                        name: cell_text(data, field) or None
                        for place, (name, field) in enumerate(zip(self._header, fields, strict=True))
                        if place != self._picture
                    }
                    yield Record(where, texts, (self._ref(data, fields[self._picture]),))
                except RowError as error:
                    yield Broken(where, error)

    def load(self, ref: str) -> bytes:
        """The picture of a reference (see ``readers.Reader``)."""
        start, end = map(int, ref[1:].split("#"))
        if end - start > self._max_bytes * 3 // 2:
            raise RowError("image_too_large", f"more than {self._max_bytes} bytes (images.max_bytes)")
        try:
            with self._path.open("rb") as file:
                file.seek(start)
                text = file.read(end - start).decode("ascii", "replace")
        except OSError as error:
            raise RowError("image_unreadable", f"{self._name}: {error.strerror}") from None
        return cells.decode_inline(text, self._max_bytes)

    def _rows(self, data: mmap.mmap) -> Iterator[tuple[int, list[Span] | RowError]]:
        """Rows with their numbers from 0; blank lines are skipped."""
        place, number = self._first, 0
        while place < len(data):
            try:
                fields, place = split_row(data, place, len(self._header))
                if len(fields) == 1 and not fields[0].size:
                    continue
                if len(fields) != len(self._header):
                    raise BrokenRowError(f"{len(fields)} cells, the first line has {len(self._header)}", place)
                yield number, fields
            except BrokenRowError as error:
                place = error.next
                yield number, RowError("bad_tsv", str(error))
            number += 1

    def _ref(self, data: mmap.mmap, field: Span) -> str:
        if field.size <= INDEX_CHARS:
            index = cell_text(data, field)
            if not index:
                raise RowError("image_missing", "the cell of the picture is empty")
            if self._indices is None:
                self._indices = dict(self._long_cells(data))
            if index not in self._indices:
                raise RowError(
                    "image_missing", f"names the picture of row {index[:64]!a}, which is no row with a picture"
                )
            field = self._indices[index]
        if data[field.start : field.start + 1] == b"[":
            raise RowError("wrong_type", "a list of pictures; one is expected")
        return f"@{field.start}#{field.end}"

    def _long_cells(self, data: mmap.mmap) -> Iterator[tuple[str, Span]]:
        for _, fields in self._rows(data):
            if not isinstance(fields, RowError) and fields[self._picture].size > INDEX_CHARS:
                try:
                    yield cell_text(data, fields[self._index]), fields[self._picture]
                except RowError:
                    continue  # the row itself tells of it
