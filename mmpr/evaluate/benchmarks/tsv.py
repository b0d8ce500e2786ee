"""VLMEvalKit's TSV: a table with its pictures in base64, or with the index of another row that has the picture.

The file is searched for tabs, quotes and line breaks, and a cell is copied only when it is needed, so that cells of
many megabytes take no memory until their picture is loaded. (Python's csv module would hold each row in memory, and
reads such files only after raising a limit of the whole process.)
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mmpr.config import ImagesSpec
from mmpr.errors import RowError, SourceError
from mmpr.evaluate.benchmarks.readers import Broken, Record
from mmpr.sources import cells, files

INDEX_CHARS = 64
"""A picture's cell of at most this length is the index of another row (VLMEvalKit's rule)."""

MAX_TEXT_BYTES = 1 << 20
_MAX_COLUMNS = 1_000


class Span(NamedTuple):
    """The position of a cell in the file, without its quotes."""

    start: int
    end: int
    quoted: bool

    @property
    def size(self) -> int:
        """Bytes."""
        return self.end - self.start


class TsvRows:
    """One TSV file. A picture's reference is ``@start#end``, its place in the file."""

    def __init__(self, path: Path, base: Path, pictures: str, limits: ImagesSpec) -> None:
        """Raises SourceError when the file cannot be read or has no such column of pictures."""
        self._path, self._name = path, files.label(path, base)
        self._max_bytes = limits.max_bytes
        self._indices: dict[str, Span] | None = None
        try:
            with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                fields, self._first = _record(data, 0, _MAX_COLUMNS)
                self._header = [_text(data, field).removeprefix("\ufeff") for field in fields]
        except (OSError, ValueError) as error:  # ValueError: an empty file cannot be mapped
            raise SourceError(f"{path}: cannot be read as TSV: {getattr(error, 'strerror', None) or error}") from None
        except (RowError, _BrokenRowError) as error:
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
                        name: _text(data, field) or None
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
                fields, place = _record(data, place, len(self._header))
                if len(fields) == 1 and not fields[0].size:
                    continue
                if len(fields) != len(self._header):
                    raise _BrokenRowError(f"{len(fields)} cells, the first line has {len(self._header)}", place)
                yield number, fields
            except _BrokenRowError as error:
                place = error.next
                yield number, RowError("bad_tsv", str(error))
            number += 1

    def _ref(self, data: mmap.mmap, field: Span) -> str:
        if field.size <= INDEX_CHARS:
            index = _text(data, field)
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
                    yield _text(data, fields[self._index]), fields[self._picture]
                except RowError:
                    continue  # the row itself tells of it


class _BrokenRowError(Exception):
    """A malformed row; ``next`` is where the next row begins."""

    def __init__(self, detail: str, next: int) -> None:
        super().__init__(detail)
        self.next = next


def _record(data: mmap.mmap, place: int, most: int) -> tuple[list[Span], int]:
    """The cells of the row that begins at ``place``, and where the next row begins.

    A cell that begins with a quote goes to the quote that closes it, over tabs and line breaks; ``""`` stands for one.
    Raises _BrokenRowError, which goes on after the row's first line.
    """
    line_end = first_end = _line_end(data, place)
    fields: list[Span] = []
    while True:
        if len(fields) == most:
            raise _BrokenRowError(f"more than {most} cells", first_end + 1)
        if data[place : place + 1] == b'"':
            close = _closing_quote(data, place + 1)
            if close < 0:
                raise _BrokenRowError("a quote is never closed", first_end + 1)
            fields.append(Span(place + 1, close, True))
            end = close + 1
            if end > line_end:
                line_end = _line_end(data, end)
            if data[end : end + 1] == b"\r" and end + 1 == line_end:
                end += 1
            if end < line_end and data[end : end + 1] != b"\t":
                raise _BrokenRowError("text behind a closing quote", first_end + 1)
        else:
            end = data.find(b"\t", place, line_end)
            end = line_end if end < 0 else end
            stop = end - 1 if end == line_end and end > place and data[end - 1 : end] == b"\r" else end
            fields.append(Span(place, stop, False))
        if end >= line_end:
            return fields, line_end + 1
        place = end + 1


def _closing_quote(data: mmap.mmap, place: int) -> int:
    while (place := data.find(b'"', place)) >= 0 and data[place + 1 : place + 2] == b'"':
        place += 2
    return place


def _line_end(data: mmap.mmap, place: int) -> int:
    end = data.find(b"\n", place)
    return len(data) if end < 0 else end


def _text(data: mmap.mmap, field: Span) -> str:
    if field.size > MAX_TEXT_BYTES:
        raise RowError("cell_too_long", f"{field.size} bytes of text, the limit is {MAX_TEXT_BYTES}")
    try:
        text = data[field.start : field.end].decode()
    except UnicodeDecodeError as error:
        raise RowError("not_utf8", f"byte {field.start + error.start}: {error.reason}") from None
    return text.replace('""', '"') if field.quoted else text
