"""Rows of Parquet, Arrow and JSONL files by their number, in bounded memory.

    open_records(path) ─▶ Records: len, [i] (a row as a dictionary), where(i) and folder(i)

Training asks for rows in a random order. Arrow files are mapped, lines of JSONL are found by their offset, and of
Parquet the row groups that were read last are kept.
"""

from __future__ import annotations

import bisect
import itertools
import json
import re
from abc import ABC, abstractmethod
from array import array
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmpr.config import Columns
from mmpr.errors import RowError, SourceError
from mmpr.inputs.table import table_type
from mmpr.sources import cells, files, jsonl
from mmpr.sources.arrow_values import READ_ERRORS
from mmpr.sources.tables import saved_files
from mmpr.storage.memory import bounded_memory, too_large

CACHE_BYTES = 256 << 20
"""Of row groups kept in memory by each process."""

_WHITE = re.compile(r"[ \t\r\n]*+")
_NO_COLUMNS = Columns(question=None, answer=None, images=None)
_OTHERS = (".csv", ".tsv", ".txt", ".gz", ".zst", ".bz2", ".xz", ".zip", ".tar", ".yaml", ".arrow")
_AROUND = ("export.json", "dataset_info.json")
_MOST_TEXT_BYTES = 256 << 20
"""Of JSON that is one list, or was compressed: it stays in memory as text."""
_SUFFIXES = (".json", ".json.gz", ".jsonl.gz", ".json.zst", ".jsonl.zst")
_GROUP_BYTES = 4 << 30
"""Of memory that reading a row group may take; a trainer has more than a reader of questions."""


class Records(ABC):
    """Rows as dictionaries of column names.

    ``groups`` are those in which files hold their rows: (file, number of the group in it, number of rows).
    ``images_root``, where it is set, is the one folder that paths of pictures start at.
    """

    images_root: Path | None = None

    def __init__(self, base: Path, groups: Sequence[tuple[Path, int, int]]) -> None:
        self._base, self._groups = base, groups
        self._starts = list(itertools.accumulate((rows for _, _, rows in groups), initial=0))
        in_file: dict[Path, int] = {}
        self._first_in_file = []
        for path, _, rows in groups:
            self._first_in_file.append(in_file.get(path, 0))
            in_file[path] = in_file.get(path, 0) + rows

    def __len__(self) -> int:
        return self._starts[-1]

    @abstractmethod
    def __getitem__(self, place: int) -> Mapping[str, Any]:
        """A row; raises RowError when it cannot be read."""

    def where(self, place: int) -> str:
        """File and row, for messages."""
        group, row = self._find(place)
        return f"{files.label(self._groups[group][0], self._base)}[{self._first_in_file[group] + row}]"

    def folder(self, place: int) -> Path:
        """The folder of the row's file; paths of pictures are relative to it."""
        return self._groups[self._find(place)[0]][0].parent

    def roots(self, place: int) -> list[Path]:
        """Where paths of a row's pictures may start, the likeliest first.

        The folder of the row's file, the folder that was named, and the folder around a file's own folder that an
        export of mmpr, or LLaMA-Factory, has made for both.
        """
        if self.images_root is not None:
            return [self.images_root]
        folder = self.folder(place)
        around = [folder.parent] if any((folder.parent / name).is_file() for name in _AROUND) else []
        return list(dict.fromkeys([folder, self._base, *around]))

    def _find(self, place: int) -> tuple[int, int]:
        """The position of the group in ``groups``, and of the row in the group."""
        if not 0 <= place < len(self):
            raise IndexError(place)
        group = bisect.bisect_right(self._starts, place) - 1
        return group, place - self._starts[group]


class ParquetRecords(Records):
    """Rows of Parquet files; the row groups read last stay in memory, up to ``cache_bytes`` of them."""

    def __init__(
        self,
        base: Path,
        paths: Sequence[Path],
        columns: Sequence[str] | None = None,
        optional: Sequence[str] = (),
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        """Read the files' footers; rows have these ``columns`` (None: all) and those ``optional`` ones that are there.

        Raises:
            SourceError: a file is no Parquet, or lacks a column.
        """
        self._columns = None if columns is None else [*columns, *optional]
        self._cache_bytes = cache_bytes
        self._cache: OrderedDict[int, pa.Table] = OrderedDict()
        groups = []
        for path in paths:
            try:
                with pq.ParquetFile(path) as file:
                    names = file.schema_arrow.names
                    groups += [(path, g, file.metadata.row_group(g).num_rows) for g in range(file.num_row_groups)]
            except READ_ERRORS as error:
                raise SourceError(f"{path}: cannot be read as Parquet: {error}") from None
            if missing := [name for name in columns or () if name not in names]:
                raise SourceError(f"{path}: has no column {', '.join(missing)}; it has: {', '.join(names)}")
        super().__init__(base, groups)

    def __getitem__(self, place: int) -> Mapping[str, Any]:
        group, row = self._find(place)
        try:
            with bounded_memory(_GROUP_BYTES):
                return dict(self._table(group).slice(row, 1).to_pylist()[0])
        except READ_ERRORS as error:
            why = too_large(_GROUP_BYTES) if isinstance(error, MemoryError) else error
            raise RowError("file_unreadable", f"{self.where(place)}: {why}"[:300]) from None

    def _table(self, group: int) -> pa.Table:
        if group in self._cache:
            self._cache.move_to_end(group)
            return self._cache[group]
        path, number, _ = self._groups[group]
        with pq.ParquetFile(path) as file:
            table = file.read_row_group(number, columns=self._columns, use_threads=False)
        self._cache[group] = table
        while len(self._cache) > 1 and sum(kept.nbytes for kept in self._cache.values()) > self._cache_bytes:
            self._cache.popitem(last=False)
        return table


class ArrowRecords(Records):
    """Rows of the Arrow streams that ``Dataset.save_to_disk`` writes, mapped into memory."""

    def __init__(self, base: Path, paths: Sequence[Path]) -> None:
        """Raises SourceError when a file is something else."""
        self._batches: list[pa.RecordBatch] = []
        groups = []
        for path in paths:
            try:
                with pa.ipc.open_stream(pa.memory_map(str(path))) as stream:
                    for number, batch in enumerate(stream):
                        batch.validate()
                        self._batches.append(batch)
                        groups.append((path, number, batch.num_rows))
            except READ_ERRORS as error:
                raise SourceError(f"{path}: cannot be read as an Arrow stream of datasets: {error}") from None
        super().__init__(base, groups)

    def __getitem__(self, place: int) -> Mapping[str, Any]:
        batch, row = self._find(place)
        try:
            one = self._batches[batch].slice(row, 1)
            one.validate(full=True)  # nothing has checked the mapped buffers so far
            return dict(one.to_pylist()[0])
        except READ_ERRORS as error:
            raise RowError("bad_value", f"{self.where(place)}: {error}"[:300]) from None


class JsonlRecords(Records):
    """Objects of JSONL files, one a line; lines are found by their offsets, 12 bytes each."""

    def __init__(self, base: Path, paths: Sequence[Path]) -> None:
        """Find the lines; one that is no object becomes a row that cannot be read."""
        self._offsets, self._lines = array("q"), array("i")
        groups = []
        for path in paths:
            before = len(self._offsets)
            for where, offset, _ in jsonl.read_records(path, path.name):
                self._offsets.append(offset)
                self._lines.append(int(where.rpartition(":")[2]) if ":" in where else 0)
            groups.append((path, 0, len(self._offsets) - before))
        super().__init__(base, groups)

    def __getitem__(self, place: int) -> Mapping[str, Any]:
        return jsonl.read_record_at(self._groups[self._find(place)[0]][0], self._offsets[place])

    def where(self, place: int) -> str:
        """File and line, for messages."""
        return f"{files.label(self._groups[self._find(place)[0]][0], self._base)}:{self._lines[place]}"


class TextRecords(Records):
    """Objects of JSON files that are one list, or of compressed ones; the text stays in memory, 16 bytes a row more."""

    def __init__(self, path: Path) -> None:
        """Read the file once. Raises SourceError when it is something else, or larger than 256 MiB."""
        self._text = _text_of(path)
        self._spans = array("q")
        self._is_list = self._text.lstrip()[:1] == "["
        for start, end in _items(self._text, path) if self._is_list else _lines(self._text):
            self._spans.extend((start, end))
        super().__init__(path.parent, [(path, 0, len(self._spans) // 2)])

    def __getitem__(self, place: int) -> Mapping[str, Any]:
        self._find(place)
        start, end = self._spans[2 * place : 2 * place + 2]
        return jsonl.parse_object(self._text[start:end].encode("utf-8", "surrogatepass"))

    def where(self, place: int) -> str:
        """The file, and the number of the object in it from 0."""
        return f"{files.label(self._groups[0][0], self._base)}[{place}]"


def _text_of(path: Path) -> str:
    """The text of a file, unpacked if it is compressed.

    Raises:
        SourceError: it cannot be read, is larger than is kept in memory, or is no UTF-8.
    """
    try:
        with pa.input_stream(str(path), compression="detect") as stream:
            data = bytearray()
            while piece := stream.read(1 << 20):
                data += piece
                if len(data) > _MOST_TEXT_BYTES:
                    remedy = "unpack it and write one object a line (for example with jq -c '.[]')"
                    raise SourceError(f"{path}: holds more than {_MOST_TEXT_BYTES >> 20:,} MiB of JSON; {remedy}")
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(f"{path}: is not UTF-8 text: byte {error.start}: {error.reason}") from None
    except (pa.ArrowException, OSError, MemoryError) as error:
        raise SourceError(f"{path}: cannot be read: {error}") from None


def _items(text: str, path: Path) -> Iterator[tuple[int, int]]:
    """Where each item of a JSON list begins and ends."""
    decoder = json.JSONDecoder(parse_int=str, parse_float=str)  # they are not looked at here
    end = len(text) - len(text.lstrip()) + 1
    while True:
        start = end + len(_WHITE.match(text, end)[0])  # type: ignore[index]
        if text.startswith("]", start):
            return
        try:
            _, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError) as error:
            raise SourceError(f"{path}: is no JSON list: {error}"[:300]) from None
        yield start, end
        end += len(_WHITE.match(text, end)[0])  # type: ignore[index]
        if text.startswith(",", end):
            end += 1
        elif not text.startswith("]", end):
            raise SourceError(f"{path}: is no JSON list: no comma at character {end:,}")


def _lines(text: str) -> Iterator[tuple[int, int]]:
    """Where each line that is not blank begins and ends."""
    start = 0
    for line in text.split("\n"):
        if line.strip():
            yield start, start + len(line)
        start += len(line) + 1


def open_records(path: Path, images_root: Path | None = None) -> Records:
    """Rows of a Parquet or JSON file, of a folder of such files, or of what ``Dataset.save_to_disk`` wrote.

    JSON is one object a line, or one list; it may be compressed with gzip or zstd. ``images_root`` is where the paths
    of pictures start (None: see ``Records.roots``).

    Raises:
        SourceError: it is something else.
    """
    records = _open(path)
    records.images_root = images_root
    return records


def _open(path: Path) -> Records:
    if path.is_file() and path.name.endswith(_SUFFIXES):
        return TextRecords(path)
    kind = table_type(path)
    if kind == "datasets":
        return ArrowRecords(path, saved_files(path))
    if kind in ("jsonl", "imagefolder"):
        base, found = files.find_files(path, ".jsonl")
        for file in found:
            jsonl.look(file, _NO_COLUMNS, asks=True)
        return JsonlRecords(base, found)
    if kind is None and path.is_file() and path.suffix in _OTHERS:
        raise SourceError(
            f"{path}: pairs are read from Parquet (.parquet), JSON (.jsonl, .json; .gz, .zst) and folders"
        )
    return ParquetRecords(*files.find_files(path, ".parquet"))


def read_picture(records: Records, place: int, picture: cells.Picture, max_bytes: int) -> bytes:
    """The file of a picture of row ``place``; a path starts at one of ``Records.roots``, and never leads out of it.

    Raises:
        RowError: it cannot be had; of several roots the first says why.
    """
    if cells.is_inline(picture):
        return cells.decode_inline(picture, max_bytes)
    missing: list[RowError] = []
    for root in records.roots(place):
        try:
            return files.read_inside(root, files.under_root(root, str(picture)), max_bytes)
        except RowError as error:
            if error.reason == "image_outside_root":
                error = RowError(error.reason, f"{error.detail}; data.images_root names another root")
            missing.append(error)
            if error.reason not in ("image_missing", "image_outside_root"):
                break
    raise missing[0]
