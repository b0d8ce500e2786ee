"""CSV and TSV: a first line of names, then rows of text; VLMEvalKit's TSV among them.

There a picture is base64 or, to show one picture in several rows, the ``index`` of the row that has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from mmpr.config import Recipe, TableSource
from mmpr.errors import RowError, SourceError
from mmpr.sources import cells
from mmpr.sources.delimited import BrokenRowError, Span, cell_text, split_row
from mmpr.sources.file_rows import FileRows, Found
from mmpr.sources.streams import open_text

MAX_ROW_BYTES = 128 << 20
INDEX_CHARS = 64
"""A picture's cell of at most this length may be the index of another row (VLMEvalKit's rule)."""
_MAX_COLUMNS = 10_000
_FIRST_LINE = 1 << 20


class Csv(FileRows):
    """Files of delimited text with a column map; a row's place is where it begins. An empty cell is nothing."""

    def __init__(self, spec: TableSource, recipe: Recipe, *, suffixes: tuple[str, ...] | None = None) -> None:
        """Raises SourceError when a file is missing, or has not these columns."""
        super().__init__(spec, recipe, suffixes or (f".{spec.type}",))
        self._delimiter = b"\t" if spec.type == "tsv" else b","
        self._headers = {name: self._header(path) for name, path in self.files.items()}
        self._indices: dict[str, dict[str, int]] = {}
        for name, path in self.files.items():
            names = self._headers[name]
            cells.check_columns(self.columns, names.__contains__, names, str(path), spec.question is not None)
            self.known |= set(names)

    def read(self, path: Path, name: str) -> Iterator[Found]:
        """Every row of a file (see ``FileRows``); lines without text are passed over."""
        for number, place, found in self._rows(path):
            where = f"{name}[{number}]"
            try:
                if isinstance(found, RowError):
                    raise found
                yield where, place, self._record(name, *found)
            except RowError as error:
                yield where, place, error

    def read_at(self, name: str, file: BinaryIO, place: int) -> Mapping[str, Any]:
        """One row (see ``FileRows``)."""
        try:
            data, fields, _ = self._row_at(file, place)
        except BrokenRowError as error:
            raise RowError("bad_row", str(error)) from None
        return self._record(name, data, fields)

    def refer(self, name: str, place: int, k: int, picture: cells.Picture) -> str:
        """The reference of a row's picture, which may be that of another row."""
        may_be = isinstance(picture, str) and len(picture) <= INDEX_CHARS and "index" in self._headers[name]
        if may_be and "." not in picture and "/" not in picture:
            other = self._with_pictures(name).get(str(picture))
            if other is not None:
                return f"@{name}#{other}#0"
        return super().refer(name, place, k, picture)

    def _header(self, path: Path) -> list[str]:
        try:
            with open_text(path) as file:
                data = bytearray(file.readline(_FIRST_LINE))
                fields, _ = split_row(data, 0, _MAX_COLUMNS, self._delimiter, lambda: _append(data, file, _FIRST_LINE))
                names = [cell_text(data, field).strip().removeprefix("\ufeff") for field in fields]
        except OSError as error:
            raise SourceError(f"{path}: cannot be read: {error.strerror or error}") from None
        except (RowError, BrokenRowError) as error:
            raise SourceError(f"{path}: cannot be read as {self.spec.type}: its first line: {error}") from None
        if data.startswith((b"{", b"PAR1")):
            kind = "jsonl" if data[:1] == b"{" else "parquet"
            raise SourceError(f"{path}: is no {self.spec.type}; write type: {kind}")
        if len(names) == 1 and (other := {b",": "\t", b"\t": ","}[self._delimiter]) in names[0]:
            kind = "tsv" if other == "\t" else "csv"
            raise SourceError(f"{path}: its first line is one cell, and not of {self.spec.type}; write type: {kind}")
        twice = sorted({name for name in names if name and names.count(name) > 1})
        if twice:
            raise SourceError(f"{path}: two columns have the name {twice[0]!r}")
        return names

    def _rows(self, path: Path) -> Iterator[tuple[int, int, tuple[bytearray, list[Span]] | RowError]]:
        """Rows by number, from 0, with their places; the first line is none."""
        try:
            with open_text(path) as file:
                many, place = 0, 0
                number = -1
                while True:
                    try:
                        data, fields, size = self._row_at(file, place)
                        if not data:
                            return
                        many = many or len(fields)
                        if number >= 0 and len(fields) != many and data.strip():
                            raise BrokenRowError(f"{len(fields)} cells, the first line has {many}", size)
                        if data.strip():
                            if number >= 0:
                                yield number, place, (data, fields)
                            number += 1
                        place += size
                    except BrokenRowError as error:
                        yield number, place, RowError("bad_row", str(error))
                        place += error.next
                        number += 1
        except OSError as error:
            yield 0, 0, RowError("file_unreadable", error.strerror or str(error))

    def _row_at(self, file: BinaryIO, place: int) -> tuple[bytearray, list[Span], int]:
        """The row at a place: its bytes (none at the end), its cells in them, and its size."""
        if file.tell() != place:
            file.seek(place)
        data = bytearray(file.readline(MAX_ROW_BYTES))
        if len(data) == MAX_ROW_BYTES:
            raise BrokenRowError(f"a line of more than {MAX_ROW_BYTES >> 20} MiB", len(data))
        if not data:
            return data, [], 0
        fields, size = split_row(data, 0, _MAX_COLUMNS, self._delimiter, lambda: _append(data, file, MAX_ROW_BYTES))
        return data, fields, min(size, len(data))

    def _record(self, name: str, data: bytearray, fields: list[Span]) -> dict[str, Any]:
        """The columns of the map; an empty cell is None."""
        pictures, wanted = self.columns.names("images"), {*self.columns.names(), "index"}
        found: dict[str, Any] = {}
        for column, field in zip(self._headers[name], fields, strict=True):
            if column in wanted:
                most = {"most": MAX_ROW_BYTES} if column in pictures else {}
                found[column] = cell_text(data, field, **most) or None
        return found

    def _with_pictures(self, name: str) -> dict[str, int]:
        """The places of a file's rows that hold a picture, by their ``index``; one pass, when it is first asked for."""
        if name not in self._indices:
            self._indices[name] = found = {}
            header = self._headers[name]
            index, pictures = (
                header.index("index"),
                [header.index(column) for column in self.columns.names("images") if column in header],
            )
            for _, place, row in self._rows(self.files[name]):
                if not isinstance(row, RowError) and any(row[1][at].size > INDEX_CHARS for at in pictures):
                    try:
                        found[cell_text(row[0], row[1][index])] = place
                    except RowError:
                        continue  # the row itself tells of it
        return self._indices[name]


def _append(data: bytearray, file: BinaryIO, most: int) -> bool:
    """Put the next line behind the data; False at the end, and when the row would be too large."""
    line = file.readline(max(0, most - len(data)))
    data += line
    return bool(line)
