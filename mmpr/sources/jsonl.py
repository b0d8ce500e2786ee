"""JSON, one object a line, read line by line whatever stands in the file."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from mmpr.config import Columns, Recipe, TableSource
from mmpr.errors import RowError, SourceError
from mmpr.schema import Reject, SourceRow
from mmpr.sources import cells, files
from mmpr.storage.memory import bounded_memory, too_large

MAX_LINE_BYTES = 16 << 20
_SMALL_BYTES = 1 << 16
"""Of a line that cannot take much memory, whatever is in it: a value of one character takes less than 200 bytes."""
_LOOK_ROWS, _LOOK_BYTES = 100, 8 << 20


class Jsonl:
    """JSONL files with a column map.

    A picture's reference is its path under the root, or ``@file#offset#k`` when the line itself holds picture k.
    """

    def __init__(self, spec: TableSource, recipe: Recipe, *, suffix: str = ".jsonl") -> None:
        """Raises SourceError when a file is missing or holds something else."""
        self._base, paths = files.find_files(recipe.resolve(spec.path), suffix)
        self._files = {files.label(path, self._base): path for path in paths}
        self._root = recipe.resolve(spec.images_root) if spec.images_root else None
        self._spec = spec
        self._columns = spec.columns
        self._max_bytes = recipe.images.max_bytes
        for path in paths:
            look(path, self._columns, asks=spec.question is not None)

    def rows(self) -> Iterator[SourceRow | Reject]:
        """Every row, file by file (see ``mmpr.sources.Source``)."""
        for name, path in self._files.items():
            yield from cells.make_rows(read_records(path, name), self._row, self._spec.name)

    def load(self, ref: str) -> bytes:
        """The picture that a row refers to (see ``mmpr.sources.Source``)."""
        if not ref.startswith("@"):
            return files.read_inside(self._root or self._base, ref, self._max_bytes)
        name, offset, k = ref[1:].rsplit("#", 2)
        record = read_record_at(self._files[name], int(offset))
        pictures = cells.picture_items(cells.column(record, self._columns.images), self._columns.images)
        return cells.decode_inline(pictures[int(k)], self._max_bytes)

    def _row(self, record: Mapping[str, Any], where: str, offset: int) -> SourceRow:
        name = where.rsplit(":", 1)[0]

        def refer(k: int, picture: cells.Picture) -> str:
            if isinstance(picture, bytes) or cells.is_inline(picture):
                return f"@{name}#{offset}#{k}"
            return path_ref(picture, self._root, self._files[name].parent, self._base)

        return cells.make_row(record, self._columns, where, question=self._spec.question, refer=refer)


def path_ref(path: str, root: Path | None, folder: Path, base: Path) -> str:
    """A row's path as a reference: relative to ``root``, or (it starts at its file's ``folder``) to ``base``."""
    inside = files.under_root(root or folder, path)
    if root is None and folder != base and not inside.startswith("/"):
        inside = f"{folder.relative_to(base).as_posix()}/{inside}"
    return f"./{inside}" if inside.startswith("@") else inside


def read_records(path: Path, name: str) -> Iterator[tuple[str, int, dict[str, Any] | RowError]]:
    """Each line as ("name:line", its offset in bytes, its object or what is wrong); blank lines are passed over.

    Memory is bounded by MAX_LINE_BYTES: a longer line is read in pieces and refused.
    """
    try:
        with path.open("rb") as file:
            offset = 0
            for number in itertools.count(1):
                line = file.readline(MAX_LINE_BYTES + 1)
                if not line:
                    return
                size = len(line)
                if size > MAX_LINE_BYTES:
                    while not line.endswith(b"\n") and (line := file.readline(1 << 20)):
                        size += len(line)
                    problem = RowError("line_too_long", f"{size} bytes, the limit is {MAX_LINE_BYTES}")
                    yield f"{name}:{number}", offset, problem
                elif line.strip():
                    yield f"{name}:{number}", offset, _parsed(line)
                offset += size
    except OSError as error:
        yield name, 0, RowError("file_unreadable", error.strerror or "")


def read_record_at(path: Path, offset: int) -> dict[str, Any]:
    """The object of the line that begins at ``offset``.

    Raises:
        RowError: the file no longer holds it.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            record = _parsed(file.readline(MAX_LINE_BYTES))
    except OSError as error:
        raise RowError("image_unreadable", f"{path.name}: {error.strerror}") from None
    if isinstance(record, RowError):
        raise record
    return record


def parse_object(line: bytes) -> dict[str, Any]:
    """One JSON object; its numbers come as ``cells.Number``.

    Raises:
        RowError: not_utf8, bad_json, not_an_object.
    """
    try:
        value = json.loads(
            line.decode("utf-8-sig"), parse_int=cells.Number, parse_float=cells.Number, parse_constant=_no_constant
        )
    except UnicodeDecodeError as error:
        raise RowError("not_utf8", f"byte {error.start}: {error.reason}") from None
    except RecursionError:
        raise RowError("bad_json", "nested too deeply") from None
    except ValueError as error:
        raise RowError("bad_json", str(error)[:200]) from None
    if not isinstance(value, dict):
        raise RowError("not_an_object", f"a {type(value).__name__}, not an object with columns")
    return value


def look(path: Path, columns: Columns, *, asks: bool) -> None:
    """See from a file's beginning whether it is JSONL with these columns.

    Raises:
        SourceError: it is not.
    """
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from None
    if other := _other_layout(head):
        raise SourceError(f"{path}: {other}")
    first = itertools.islice(read_records(path, path.name), _LOOK_ROWS)
    near = itertools.takewhile(lambda item: item[1] < _LOOK_BYTES, first)
    records = [record for _, _, record in near if not isinstance(record, RowError)]
    if records:
        known = {str(name) for record in records for name in record}
        cells.check_columns(
            columns, lambda name: any(cells.has_column(record, name) for record in records), known, str(path), asks
        )


def _parsed(line: bytes) -> dict[str, Any] | RowError:
    try:
        if len(line) < _SMALL_BYTES:
            return parse_object(line)
        with bounded_memory():
            return parse_object(line)
    except MemoryError:
        return RowError("row_too_large", too_large())
    except RowError as error:
        return error


def _other_layout(head: bytes) -> str | None:
    """What a file is instead of JSONL, with the remedy; None when it may be JSONL."""
    if head.startswith(b"PAR1"):
        return "is a Parquet file; write type: parquet"
    if head.startswith((b"\x1f\x8b", b"PK\x03\x04", b"\x28\xb5\x2f\xfd", b"BZh")):
        return "is compressed; unpack it first"
    if head[257:262] == b"ustar":
        return "is an archive; unpack it first"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith(b"["):
        return "is one JSON list; write one object a line (for example with jq -c '.[]')"
    if text.startswith((b"{\n", b"{\r\n")):
        return "is JSON over several lines; write one object a line (for example with jq -c .)"
    return None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
