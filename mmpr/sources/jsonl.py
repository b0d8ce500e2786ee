"""JSON: one object a line, read line by line whatever stands in the file, or one list of objects, item by item."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from mmpr.config import Columns, Recipe, TableSource
from mmpr.errors import RowError, SourceError
from mmpr.sources import cells
from mmpr.sources.file_rows import FileRows, Found
from mmpr.sources.json_lists import begins_list, items_from, list_items
from mmpr.sources.streams import open_text
from mmpr.sources.values import Number
from mmpr.storage.memory import bounded_memory, too_large

MAX_LINE_BYTES = 16 << 20
_SMALL_BYTES = 1 << 16
"""Of a line that cannot take much memory, whatever is in it: a value of one character takes less than 200 bytes."""
_LONGEST_BYTES = 1 << 30
"""Of a line that is passed over; a file with a longer one is not read on."""
_LOOK_ROWS, _LOOK_BYTES = 100, 8 << 20
SUFFIXES = (".jsonl", ".ndjson")


class Jsonl(FileRows):
    """JSON files with a column map; a row's place is where it begins in its file's text."""

    def __init__(
        self, spec: TableSource, recipe: Recipe, *, suffixes: tuple[str, ...] = SUFFIXES, but: tuple[str, ...] = ()
    ) -> None:
        """Files with these suffixes, but not those of a folder that have these names.

        Raises SourceError when a file is missing or holds something else.
        """
        super().__init__(spec, recipe, suffixes)
        self.files = {name: path for name, path in self.files.items() if path.name not in but or len(self.files) == 1}
        for path in self.files.values():
            self.check(path, first_records(path))

    def check(self, path: Path, records: list[dict[str, Any]]) -> None:
        """See from a file's first rows whether it has the columns of the map (SourceError when it has not)."""
        self.known |= check_records(records, self.columns, path, asks=self.spec.question is not None)

    def shape(self, record: dict[str, Any]) -> dict[str, Any]:
        """The columns of an object (RowError when it has another form)."""
        return record

    def read(self, path: Path, name: str) -> Iterator[Found]:
        """Every row of a file (see ``FileRows``)."""
        for where, place, found in read_records(path, name):
            try:
                yield where, place, found if isinstance(found, RowError) else self.shape(found)
            except RowError as error:
                yield where, place, error

    def read_at(self, name: str, file: BinaryIO, place: int) -> Mapping[str, Any]:
        """One row (see ``FileRows``)."""
        return self.shape(_record_at(file, place))


def read_records(path: Path, name: str) -> Iterator[Found]:
    """Each row as ("name:line", where it begins, its object or what is wrong); blank lines are passed over.

    The items of a list are "name[number]", from 0. Memory is bounded by MAX_LINE_BYTES: what is longer is refused.
    """
    try:
        with open_text(path) as file:
            if begins_list(file):
                for number, (place, item) in enumerate(list_items(file, MAX_LINE_BYTES)):
                    yield f"{name}[{number}]", place, item if isinstance(item, RowError) else _parsed(item)
            else:
                yield from _lines(file, name)
    except OSError as error:
        yield name, 0, RowError("file_unreadable", error.strerror or str(error))


def _lines(file: BinaryIO, name: str) -> Iterator[Found]:
    offset = 0
    for number in itertools.count(1):
        line = file.readline(MAX_LINE_BYTES + 1)
        if not line:
            return
        size = len(line)
        if size > MAX_LINE_BYTES:
            while not line.endswith(b"\n") and size <= _LONGEST_BYTES and (line := file.readline(1 << 20)):
                size += len(line)
            problem = RowError("line_too_long", f"{size} bytes, the limit is {MAX_LINE_BYTES}")
            yield f"{name}:{number}", offset, problem
            if size > _LONGEST_BYTES:
                yield f"{name}:{number}", offset, RowError("file_unreadable", "the rest of the file is not read")
                return
        elif line.strip():
            yield f"{name}:{number}", offset, _parsed(line)
        offset += size


def read_record_at(path: Path, offset: int) -> dict[str, Any]:
    """The object of the row that begins at ``offset``.

    Raises:
        RowError: the file no longer holds it.
    """
    try:
        with open_text(path) as file:
            return _record_at(file, offset)
    except OSError as error:
        raise RowError("image_unreadable", f"{path.name}: {error.strerror or error}") from None


def _record_at(file: BinaryIO, offset: int) -> dict[str, Any]:
    file.seek(0)
    if begins_list(file):
        _, found = next(items_from(file, offset, MAX_LINE_BYTES), (0, RowError("bad_json", "the file has changed")))
    else:
        file.seek(offset)
        found = file.readline(MAX_LINE_BYTES)
    record = found if isinstance(found, RowError) else _parsed(found)
    if isinstance(record, RowError):
        raise record
    return record


def parse_object(line: bytes) -> dict[str, Any]:
    """One JSON object; its numbers come as ``Number``.

    Raises:
        RowError: not_utf8, bad_json, not_an_object.
    """
    try:
        # NaN and Infinity are floats, unlike all other numbers: who asks for their column finds out.
        value = json.loads(line.decode("utf-8-sig"), parse_int=Number, parse_float=Number)
    except UnicodeDecodeError as error:
        raise RowError("not_utf8", f"byte {error.start}: {error.reason}") from None
    except RecursionError:
        raise RowError("bad_json", "nested too deeply") from None
    except ValueError as error:
        raise RowError("bad_json", str(error)[:200]) from None
    if not isinstance(value, dict):
        raise RowError("not_an_object", f"a {type(value).__name__}, not an object with columns")
    return value


def look(path: Path, columns: Columns, *, asks: bool) -> set[str]:
    """See from a file's beginning whether it is JSON with these columns; returns those that it has.

    Raises:
        SourceError: it is not.
    """
    return check_records(first_records(path), columns, path, asks=asks)


def check_records(records: list[dict[str, Any]], columns: Columns, path: Path, *, asks: bool) -> set[str]:
    """See whether a file's first rows have these columns; returns those that they have (SourceError as ``look``)."""
    if records:
        top = {str(name) for record in records for name in record}
        cells.check_columns(
            columns, lambda name: any(cells.has_column(record, name) for record in records), top, str(path), asks
        )
    return {name for record in records for name in cells.names_in(record)}


def first_records(path: Path) -> list[dict[str, Any]]:
    """The good rows at a file's beginning.

    Raises:
        SourceError: the file cannot be read, or is of another layout.
    """
    try:
        with open_text(path) as file:
            head = file.read(512)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror or error}") from None
    if other := _other_layout(head):
        raise SourceError(f"{path}: {other}")
    first = itertools.islice(read_records(path, path.name), _LOOK_ROWS)
    near = itertools.takewhile(lambda item: item[1] < _LOOK_BYTES, first)
    return [record for _, _, record in near if not isinstance(record, RowError)]


def parse_bounded(line: bytes) -> dict[str, Any]:
    """``parse_object`` in bounded memory (RowError, too, for what takes more: row_too_large)."""
    if len(line) < _SMALL_BYTES:
        return parse_object(line)
    try:
        with bounded_memory():
            return parse_object(line)
    except MemoryError:
        raise RowError("row_too_large", too_large()) from None


def _parsed(line: bytes) -> dict[str, Any] | RowError:
    try:
        return parse_bounded(line)
    except RowError as error:
        return error


def _other_layout(head: bytes) -> str | None:
    """What a file is instead of JSON lines or a list, with the remedy; None when it may be one of them."""
    if head.startswith(b"PAR1"):
        return "is a Parquet file; write type: parquet"
    if head.startswith((b"PK\x03\x04", b"\xfd7zXZ")):
        return "is compressed; unpack it first"
    if head[257:262] == b"ustar":
        return "is an archive; unpack it first, or write type: webdataset"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith((b"{\n", b"{\r\n")):
        return "is JSON over several lines; write one object a line (for example with jq -c .), or a list of objects"
    first = text.split(b"\n")[0]
    if first and first[:1] not in b"{[" and b"\t" in first:
        return "is no JSON; the first line has tabs: write type: tsv"
    if first and first[:1] not in b"{[" and b"," in first:
        return "is no JSON; the first line has commas: write type: csv"
    return None
